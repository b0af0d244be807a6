//! A made-up repository for the tests of `judge`.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde_json::json;

use super::error::CleanError;
use super::keep::{Decision, Keep, Order, Scope};
use super::retention::{Judgement, judge};
use crate::oci::{Digest, MediaType, Tag};
use crate::run::images::{ConfigFacts, Item, ItemContent, ListedEntry, ReadImage};

/// A repository. Each manifest has a name, and the digest of that name.
#[derive(Debug, Default)]
pub(super) struct World {
    pub(super) items: BTreeMap<Digest, Item>,
    pub(super) unread: BTreeMap<Tag, String>,
}

pub(super) fn digest(name: &str) -> Digest {
    Digest::of(name.as_bytes())
}

pub(super) fn keep(newest: usize) -> Keep {
    let (tags, dropped) = (Vec::new(), Vec::new());
    Keep { newest, order: Order::Push, tags, dropped, scope: Scope::Built, image: None }
}

fn at(time: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(time)
}

/// An item. The time 0 stands for an unknown time.
fn item(time: u64, tags: &str, inside: ItemContent) -> Item {
    let tags = tags.split_whitespace().map(|tag| tag.parse().unwrap()).collect();
    Item { tags, pushed_at: (time > 0).then(|| at(time)), inside, ..Item::default() }
}

fn image(config: &str, says: ConfigFacts) -> ItemContent {
    let config = json!({ "mediaType": config, "digest": digest(config), "size": 1 });
    let config = serde_json::from_value(config).unwrap();
    ItemContent::Image(Box::new(ReadImage { config, subject: None, says: Some(says) }))
}

impl World {
    /// An image whose name ends in its architecture. Its config has an odd creation time, which the judge must not
    /// use.
    pub(super) fn image(mut self, name: &str, label: Option<&str>, time: u64, tags: &str) -> Self {
        let platform = name.rsplit_once('-').and_then(|(_, arch)| format!("linux/{arch}").parse().ok());
        let created = Some(at(u64::from(name.bytes().fold(0_u8, u8::wrapping_add))));
        let says = ConfigFacts { platform, created, built_as: label.map(str::to_owned) };
        let inside = image("application/vnd.oci.image.config.v1+json", says);
        self.items.insert(digest(name), item(time, tags, inside));
        self
    }

    /// A manifest that is not an image.
    pub(super) fn artifact(mut self, name: &str, time: u64, tags: &str) -> Self {
        let inside = image("application/vnd.cncf.helm.config.v1+json", ConfigFacts::default());
        self.items.insert(digest(name), item(time, tags, inside));
        self
    }

    /// Two images that polyarch built, with arch tags, in an index with `tags`. The index is pushed after the images.
    pub(super) fn publication(self, version: &str, time: u64, tags: &str) -> Self {
        let [amd64, arm64] = ["amd64", "arm64"].map(|arch| format!("{version}-{arch}"));
        let arch_tag = |arch| tags.split_whitespace().next().map_or_else(String::new, |tag| format!("{tag}-{arch}"));
        let world = self.image(&amd64, Some("hello"), time, &arch_tag("amd64"));
        let world = world.image(&arm64, Some("hello"), time, &arch_tag("arm64"));
        world.index(version, &[&amd64, &arm64], if time == 0 { 0 } else { time + 1 }, tags)
    }

    /// An index of the `entries`. `att:IMAGE` is an attestation of that image.
    pub(super) fn index(mut self, name: &str, entries: &[&str], time: u64, tags: &str) -> Self {
        let entry = |name: &&str| {
            let attests = name.strip_prefix("att:").map(digest);
            let media_type = if name.starts_with("index") { MediaType::OciIndex } else { MediaType::OciManifest };
            let is_attestation = attests.is_some();
            ListedEntry { digest: digest(name), media_type, platform: None, attests, is_attestation }
        };
        let entries = entries.iter().map(entry).collect();
        self.items.insert(digest(name), item(time, tags, ItemContent::Index(entries)));
        self
    }

    /// A manifest that cannot be read.
    pub(super) fn unreadable(mut self, name: &str, time: u64, tags: &str) -> Self {
        self.items.insert(digest(name), item(time, tags, ItemContent::Unread("odd".into())));
        self
    }

    pub(super) fn judged(&self, keep: &Keep) -> Result<Judgement, CleanError> {
        judge(&self.items, &self.unread, keep)
    }

    /// The verdicts on `names`.
    pub(super) fn verdicts(&self, keep: &Keep, names: &[&str]) -> Vec<Decision> {
        let verdicts = self.judged(keep).unwrap().verdicts;
        assert_eq!(verdicts.len(), self.items.len(), "each manifest has a verdict");
        names.iter().map(|name| verdicts[&digest(name)].clone()).collect()
    }

    pub(super) fn verdict(&self, newest: usize, name: &str) -> Decision {
        self.verdicts(&keep(newest), &[name]).remove(0)
    }

    pub(super) fn going(&self, newest: usize, names: &[&'static str]) -> Vec<&'static str> {
        let verdicts = self.verdicts(&keep(newest), names);
        names.iter().zip(verdicts).filter(|(_, verdict)| verdict.goes()).map(|(name, _)| *name).collect()
    }
}
