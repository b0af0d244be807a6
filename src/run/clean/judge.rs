//! Which images go. Pure: what a repository has goes in, a verdict on each of its manifests comes out.
//!
//! A publication is an index all of whose images polyarch built, or such an image that no index lists and that has a tag of
//! its own. What arch tags alone name, or nothing, is a part of one, or was left by a run that failed.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use super::super::images::{Item, Overview};
use super::keep::{Goes, Keep, Stays, Verdict};
use crate::oci::{Digest, Platform, Tag};

/// A verdict on each manifest.
pub(super) fn judge(items: &BTreeMap<Digest, Item>, keep: &Keep) -> BTreeMap<Digest, Verdict> {
    let overview = Overview::of(items);
    let mut judge = Judge { keep, overview: &overview, verdicts: BTreeMap::new(), newest: None };
    judge.publications();
    judge.listed();
    judge.verdicts.into_iter().map(|(digest, verdict)| (digest.clone(), verdict)).collect()
}

struct Judge<'j, 'a> {
    keep: &'j Keep,
    overview: &'j Overview<'a>,
    verdicts: BTreeMap<&'a Digest, Verdict>,
    /// When the newest publication that stays was pushed or made.
    newest: Option<SystemTime>,
}

/// An index, and the images that it lists.
type Publication<'a> = (&'a Digest, BTreeSet<&'a Digest>);

impl<'a> Judge<'_, 'a> {
    /// Judges what no index lists.
    fn publications(&mut self) {
        let (mut named, mut unnamed, mut left) = (Vec::new(), Vec::new(), Vec::new());
        for (digest, item) in self.overview.items {
            if self.overview.listed(digest).next().is_some() {
                continue;
            }
            let images = self.images(digest, item);
            match (images, self.own_tag(item)) {
                (None, _) => self.stays(digest, Stays::NotOurs),
                (Some(images), Some(_)) => named.push((digest, images)),
                (Some(images), None) if !item.entries().is_empty() => unnamed.push((digest, images)),
                (Some(_), None) => left.push(digest),
            }
        }
        let main = self.main(&named, &unnamed);
        let digests =
            |publications: &mut dyn Iterator<Item = &Publication<'a>>| publications.map(|one| one.0).collect();
        for digest in self.rank(digests(&mut named.iter())) {
            self.verdicts.insert(digest, Verdict::Goes(Goes::Old));
        }
        for digest in self.rank(digests(&mut main.iter().copied())) {
            self.goes_unless_recent(digest, Goes::Old);
        }
        let covers: Vec<_> = named.iter().chain(main).collect();
        for part in unnamed.iter().filter(|(digest, _)| !covers.iter().any(|(cover, _)| cover == digest)) {
            self.part(part, &covers);
        }
        for digest in left {
            match self.kept(digest) {
                Some(tag) => self.stays(digest, Stays::Kept(tag)),
                None => self.goes_unless_recent(digest, Goes::Unlisted),
            }
        }
    }

    /// The images that polyarch built: of an index all that it lists, or none.
    fn images(&self, digest: &'a Digest, item: &'a Item) -> Option<BTreeSet<&'a Digest>> {
        if item.entries().is_empty() {
            return self.is_built(item).then(|| BTreeSet::from([digest]));
        }
        let (attestations, images): (Vec<_>, Vec<_>) = item.entries().iter().partition(|entry| entry.is_attestation);
        let images: BTreeSet<_> = images.into_iter().map(|entry| &entry.digest).collect();
        let is_built = |digest: &&Digest| self.overview.items.get(*digest).is_some_and(|item| self.is_built(item));
        let is_ours = !images.is_empty()
            && images.iter().all(is_built)
            && attestations.iter().all(|entry| entry.attests.as_ref().is_some_and(|image| images.contains(image)));
        is_ours.then_some(images)
    }

    fn is_built(&self, item: &Item) -> bool {
        let label = item.says().and_then(|says| says.built_as.as_deref());
        label.is_some_and(|label| self.keep.is_about(label))
    }

    /// A tag that is no arch tag. An index of several platforms has no other.
    fn own_tag(&self, item: &'a Item) -> Option<&'a Tag> {
        let images = item.entries().iter().filter(|entry| !entry.is_attestation).collect::<Vec<_>>();
        let of = |digest: &Digest| self.overview.items.get(digest)?.says()?.platform.as_ref();
        let platform: Option<&Platform> = match images.as_slice() {
            [] => item.says().and_then(|says| says.platform.as_ref()),
            [one] => of(&one.digest),
            _ => return item.tags.first(),
        };
        item.tags.iter().find(|tag| !tag.names_an_architecture(platform))
    }

    /// Those of `unnamed` that are publications themselves: no other one is of the same images, or of more. An engine pushes
    /// an image with what attests it as an index of its own.
    fn main<'p>(&self, named: &[Publication<'a>], unnamed: &'p [Publication<'a>]) -> Vec<&'p Publication<'a>> {
        let order = |(digest, _): &Publication<'a>| (self.overview.time(digest), *digest);
        let covers = |one: &Publication<'a>, other: &Publication<'a>| {
            one.1.is_subset(&other.1) && (one.1.len() < other.1.len() || order(one) < order(other))
        };
        let is_main = |one: &&Publication<'a>| {
            !named.iter().any(|other| one.1.is_subset(&other.1)) && !unnamed.iter().any(|other| covers(one, other))
        };
        unnamed.iter().filter(is_main).collect()
    }

    /// Lets the newest of `publications` stay, as long as there is room, and those with a tag that is kept. Gives the others.
    fn rank(&mut self, publications: Vec<&'a Digest>) -> Vec<&'a Digest> {
        let (mut dated, undated): (Vec<_>, Vec<_>) =
            publications.into_iter().partition(|digest| self.overview.time(digest).is_some());
        for digest in undated {
            self.stays(digest, Stays::Undated);
        }
        dated.sort_by_cached_key(|digest| Reverse(self.overview.time(digest)));
        let stand = self.verdicts.values().filter(|verdict| **verdict == Verdict::Stays(Stays::Newest)).count();
        let room = self.keep.newest.saturating_sub(stand).min(dated.len());
        let last = dated[..room].last().and_then(|digest| self.overview.time(digest));
        let mut others = dated.split_off(room);
        for digest in dated {
            self.publication_stays(digest, Stays::Newest);
        }
        others.retain(|digest| {
            let is_as_new = last.is_some() && self.overview.time(digest) == last;
            let why = self.kept(digest).map(Stays::Kept).or(is_as_new.then_some(Stays::AsNew));
            let goes = why.is_none();
            if let Some(why) = why {
                self.publication_stays(digest, why);
            }
            goes
        });
        others
    }

    /// Judges an index without a tag of its own whose images are those of other publications, or some of them.
    fn part(&mut self, (digest, images): &Publication<'a>, covers: &[&Publication<'a>]) {
        let stays = |cover: &Digest| self.verdicts.get(cover).is_some_and(|verdict| !verdict.goes());
        let staying = covers.iter().find(|(cover, of_cover)| images.is_subset(of_cover) && stays(cover));
        match (self.kept(digest), staying) {
            (Some(tag), _) => self.stays(digest, Stays::Kept(tag)),
            (None, Some((cover, _))) => self.stays(digest, Stays::PartOf((*cover).clone())),
            (None, None) => self.goes_unless_recent(digest, Goes::Old),
        }
    }

    /// Judges what indexes list.
    fn listed(&mut self) {
        for (digest, item) in self.overview.items {
            let mut indexes = self.overview.listed(digest);
            let Some((first, entry)) = indexes.clone().next() else { continue };
            // An index within another one is none of ours, and so stays what lists it.
            let stays = |index: &Digest| self.verdicts.get(index).is_none_or(|verdict| !verdict.goes());
            let own_tag = || match &item.tags {
                tags if entry.is_attestation => tags.first(),
                _ => self.own_tag(item).or_else(|| self.stray_tag(digest, item)),
            };
            let verdict = if let Some((index, _)) = indexes.find(|(index, _)| stays(index)) {
                Verdict::Stays(Stays::Listed(index.clone()))
            } else if let Some(tag) = self.kept(digest) {
                Verdict::Stays(Stays::Kept(tag))
            } else if let Some(tag) = own_tag() {
                Verdict::Stays(Stays::OwnTag(tag.clone()))
            } else if entry.is_attestation {
                Verdict::Goes(Goes::Attests(first.clone()))
            } else {
                Verdict::Goes(Goes::Listed(first.clone()))
            };
            self.verdicts.insert(digest, verdict);
        }
    }

    /// An arch tag that is of none of the indexes that list the image: it may be for one that is on its way.
    fn stray_tag(&self, digest: &Digest, item: &'a Item) -> Option<&'a Tag> {
        let indexes = self.overview.listed(digest).filter_map(|(index, _)| self.overview.items.get(index));
        let names: Vec<_> = indexes.flat_map(|index| &index.tags).collect();
        item.tags.iter().find(|tag| !names.iter().any(|name| tag.as_str().contains(name.as_str())))
    }

    fn kept(&self, digest: &Digest) -> Option<Tag> {
        self.keep.names(&self.overview.items.get(digest)?.tags).cloned()
    }

    fn goes_unless_recent(&mut self, digest: &'a Digest, why: Goes) {
        let is_old = |time| self.keep.newest == 0 || self.newest.is_some_and(|newest| time < newest);
        let verdict = match self.overview.time(digest) {
            None => Verdict::Stays(Stays::Undated),
            Some(time) if is_old(time) => Verdict::Goes(why),
            Some(_) => Verdict::Stays(Stays::Recent),
        };
        self.verdicts.insert(digest, verdict);
    }

    fn publication_stays(&mut self, digest: &'a Digest, why: Stays) {
        self.newest = self.newest.max(self.overview.time(digest));
        self.stays(digest, why);
    }

    fn stays(&mut self, digest: &'a Digest, why: Stays) {
        self.verdicts.insert(digest, Verdict::Stays(why));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::super::super::images::{ItemContent, ListedEntry, ReadImage, Says};
    use super::super::keep::OfPlan;
    use super::*;
    use crate::oci::{MediaType, TagPattern};

    /// A repository that is written down: each manifest has a name, whose digest it has.
    #[derive(Debug, Default)]
    struct World(BTreeMap<Digest, Item>);

    fn digest(name: &str) -> Digest {
        Digest::of(name.as_bytes())
    }

    fn at(time: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(time)
    }

    fn item(time: u64, tags: &str, inside: ItemContent) -> Item {
        let tags = tags.split_whitespace().map(|tag| tag.parse().unwrap()).collect();
        Item { tags, pushed_at: (time > 0).then(|| at(time)), inside, ..Item::default() }
    }

    impl World {
        /// An image. One of no label has none; the time 0 is none.
        fn image(mut self, name: &str, label: Option<&str>, time: u64, tags: &str) -> Self {
            let platform = name.rsplit_once('-').and_then(|(_, arch)| format!("linux/{arch}").parse().ok());
            let says = Says { platform, created: None, built_as: label.map(str::to_owned) };
            let config =
                serde_json::from_value(serde_json::json!({ "mediaType": "x", "digest": digest(name), "size": 1 }));
            let image = ReadImage { config: config.unwrap(), subject: None, says: Some(says) };
            self.0.insert(digest(name), item(time, tags, ItemContent::Image(Box::new(image))));
            self
        }

        /// Two images that polyarch built, with arch tags, in an index under tags; pushed one after the other.
        fn publication(self, version: &str, time: u64, tags: &str) -> Self {
            let [amd64, arm64] = ["amd64", "arm64"].map(|arch| format!("{version}-{arch}"));
            let world = self.image(&amd64, Some("hello"), time, &amd64).image(&arm64, Some("hello"), time, &arm64);
            world.index(version, &[&amd64, &arm64], time + 1, tags)
        }

        /// An index of what is named; `att:IMAGE` is an attestation of it.
        fn index(mut self, name: &str, entries: &[&str], time: u64, tags: &str) -> Self {
            let entry = |name: &&str| {
                let attests = name.strip_prefix("att:").map(digest);
                let media_type = if name.starts_with("index") { MediaType::OciIndex } else { MediaType::OciManifest };
                let is_attestation = attests.is_some();
                ListedEntry { digest: digest(name), media_type, platform: None, attests, is_attestation }
            };
            let entries = entries.iter().map(entry).collect();
            self.0.insert(digest(name), item(time, tags, ItemContent::Index(entries)));
            self
        }

        /// What becomes of each of `names`.
        fn verdicts(&self, keep: &Keep, names: &[&str]) -> Vec<Verdict> {
            let verdicts = judge(&self.0, keep);
            assert_eq!(verdicts.len(), self.0.len(), "a verdict on each");
            names.iter().map(|name| verdicts[&digest(name)].clone()).collect()
        }

        fn verdict(&self, newest: usize, name: &str) -> Verdict {
            self.verdicts(&keep(newest), &[name]).remove(0)
        }

        fn going(&self, newest: usize, names: &[&'static str]) -> Vec<&'static str> {
            let verdicts = self.verdicts(&keep(newest), names);
            names.iter().zip(verdicts).filter(|(_, verdict)| verdict.goes()).map(|(name, _)| *name).collect()
        }
    }

    fn keep(newest: usize) -> Keep {
        Keep { newest, tags: Vec::new(), image: None }
    }

    const NOT_OURS: Verdict = Verdict::Stays(Stays::NotOurs);

    #[test]
    fn the_newest_publications_stay_and_of_older_ones_goes_what_no_other_index_lists() {
        let world = World::default()
            .publication("1.0", 10, "1.0")
            .publication("1.1", 20, "1.1")
            .publication("1.2", 30, "1.2 latest")
            .index("shares", &["1.0-amd64", "1.2-arm64"], 25, "shares");
        let all = ["1.0", "1.0-amd64", "1.0-arm64", "1.1", "1.1-amd64", "1.1-arm64", "1.2", "1.2-amd64", "shares"];
        assert_eq!(world.going(4, &all), Vec::<&str>::new());
        assert_eq!(world.going(3, &all), ["1.0", "1.0-arm64"]);
        let listed = Verdict::Stays(Stays::Listed(digest("shares")));
        assert_eq!(world.verdict(3, "1.0-amd64"), listed);
        assert_eq!(world.going(2, &all), ["1.0", "1.0-arm64", "1.1", "1.1-amd64", "1.1-arm64"]);
        assert_eq!(world.verdict(2, "1.1-amd64"), Verdict::Goes(Goes::Listed(digest("1.1"))));
        assert_eq!(world.verdict(2, "1.2"), Verdict::Stays(Stays::Newest));
        assert_eq!(world.going(0, &all), all);
    }

    #[test]
    fn what_polyarch_did_not_build_stays_with_all_that_its_indexes_list() {
        let world = World::default()
            .publication("1.0", 10, "1.0")
            .publication("1.1", 20, "1.1")
            .image("foreign-amd64", None, 1, "foreign")
            .image("untagged-amd64", None, 1, "")
            .image("nobody-amd64", Some(""), 1, "nobody")
            .image("ours-arm64", Some("hello"), 1, "")
            .index("mixed", &["foreign-amd64", "ours-arm64"], 2, "mixed")
            .index("lacking", &["ours-arm64", "not-there"], 2, "")
            .index("empty", &[], 2, "")
            .index("index-nested", &["1.0-amd64"], 3, "")
            .index("top", &["index-nested"], 3, "top");
        for name in ["mixed", "lacking", "empty", "top", "untagged-amd64", "nobody-amd64"] {
            assert_eq!(world.verdict(0, name), NOT_OURS, "{name}");
        }
        for name in ["foreign-amd64", "ours-arm64", "index-nested", "1.0-amd64"] {
            assert!(matches!(world.verdict(0, name), Verdict::Stays(Stays::Listed(_))), "{name}");
        }
        assert_eq!(world.going(1, &["1.0", "1.0-amd64", "1.0-arm64", "1.1"]), ["1.0", "1.0-arm64"]);
    }

    #[test]
    fn of_an_image_of_a_plan_only_what_was_built_under_its_name_goes_and_its_tags_stay() {
        let world = World::default()
            .publication("1.0", 10, "1.0")
            .publication("1.1", 20, "1.1")
            .publication("1.2", 30, "1.2")
            .image("other-amd64", Some("other"), 5, "other");
        let built_as = BTreeSet::from(["hello".to_owned()]);
        let tags = BTreeSet::from(["1.0".parse().unwrap()]);
        let keep = Keep { newest: 1, tags: Vec::new(), image: Some(OfPlan { built_as, tags }) };
        let names = ["1.0", "1.0-amd64", "1.1", "1.2", "other-amd64"];
        let expected = [
            Verdict::Stays(Stays::Kept("1.0".parse().unwrap())),
            Verdict::Stays(Stays::Listed(digest("1.0"))),
            Verdict::Goes(Goes::Old),
            Verdict::Stays(Stays::Newest),
            NOT_OURS,
        ];
        assert_eq!(world.verdicts(&keep, &names), expected);
        let keep = Keep { newest: 1, tags: vec![TagPattern::new("*.1".into())], image: None };
        assert_eq!(world.verdicts(&keep, &["1.1"]), [Verdict::Stays(Stays::Kept("1.1".parse().unwrap()))]);
        assert_eq!(
            world.verdicts(&keep, &["1.0", "other-amd64"]),
            [Verdict::Goes(Goes::Old), Verdict::Goes(Goes::Old)]
        );
    }

    #[test]
    fn what_has_a_tag_goes_after_what_has_none() {
        let world = World::default()
            .publication("release", 10, "1.0")
            .publication("nightly1", 20, "")
            .publication("nightly2", 30, "")
            .publication("nightly3", 40, "latest");
        let all = ["release", "nightly1", "nightly2", "nightly3"];
        assert_eq!(world.going(1, &all), ["release", "nightly1", "nightly2"]);
        assert_eq!(world.going(2, &all), ["nightly1", "nightly2"]);
        assert_eq!(world.going(3, &all), ["nightly1"]);
        assert_eq!(world.going(4, &all), Vec::<&str>::new());
    }

    #[test]
    fn what_a_run_left_goes_when_a_publication_is_newer() {
        let world = World::default()
            .publication("1.0", 10, "1.0")
            .image("old-amd64", Some("hello"), 5, "0.9-amd64")
            .image("gone-amd64", Some("hello"), 5, "")
            .image("new-amd64", Some("hello"), 50, "1.1-amd64")
            .image("when-amd64", Some("hello"), 0, "1.1-amd64")
            .image("named-amd64", Some("hello"), 6, "lambda");
        assert_eq!(world.verdict(5, "old-amd64"), Verdict::Goes(Goes::Unlisted));
        assert_eq!(world.verdict(5, "gone-amd64"), Verdict::Goes(Goes::Unlisted));
        assert_eq!(world.verdict(5, "new-amd64"), Verdict::Stays(Stays::Recent));
        assert_eq!(world.verdict(0, "when-amd64"), Verdict::Stays(Stays::Undated));
        // A tag of its own makes it a publication.
        assert_eq!(world.verdict(2, "named-amd64"), Verdict::Stays(Stays::Newest));
        assert_eq!(world.verdict(1, "named-amd64"), Verdict::Goes(Goes::Old));
        let nothing = World::default().image("old-amd64", Some("hello"), 5, "0.9-amd64");
        assert_eq!(nothing.verdict(1, "old-amd64"), Verdict::Stays(Stays::Recent), "nothing was published since");
    }

    #[test]
    fn what_cannot_be_told_apart_by_its_age_stays() {
        let world = World::default()
            .publication("1.0", 10, "1.0")
            .publication("1.1", 10, "1.1")
            .publication("0.9", 9, "0.9")
            .index("when", &["1.0-amd64"], 0, "when");
        let stay = |name| world.verdict(1, name);
        let mut both = [stay("1.0"), stay("1.1")];
        both.sort_by_key(|verdict| *verdict == Verdict::Stays(Stays::AsNew));
        assert_eq!(both, [Verdict::Stays(Stays::Newest), Verdict::Stays(Stays::AsNew)]);
        assert_eq!((stay("0.9"), stay("when")), (Verdict::Goes(Goes::Old), Verdict::Stays(Stays::Undated)));
    }

    #[test]
    fn an_arch_tag_that_is_an_index_goes_with_the_publication_that_it_is_a_part_of() {
        let attested = |world: World, version: &str, time, tags: &str| {
            let [amd64, arm64] = ["amd64", "arm64"].map(|arch| format!("{version}-{arch}"));
            let [of_amd64, of_arm64] = [&amd64, &arm64].map(|image| format!("att:{image}"));
            let mut world = world;
            for (image, attestation) in [(&amd64, &of_amd64), (&arm64, &of_arm64)] {
                world = world.image(image, Some("hello"), time, "").image(attestation, None, time, "");
                world = world.index(&format!("{image}+"), &[image, attestation], time, image);
            }
            world.index(version, &[&amd64, &arm64, &of_amd64, &of_arm64], time + 1, tags)
        };
        let world = attested(World::default(), "1.0", 10, "1.0");
        let world = attested(world, "1.1", 20, "1.1");
        let of = ["1.0", "1.0-amd64", "1.0-amd64+", "att:1.0-amd64", "1.1", "1.1-amd64", "1.1-amd64+", "att:1.1-amd64"];
        assert_eq!(world.going(2, &of), Vec::<&str>::new());
        assert_eq!(world.verdict(2, "1.0-amd64+"), Verdict::Stays(Stays::PartOf(digest("1.0"))));
        assert_eq!(world.going(1, &of), of[..4]);
        let attests = world.verdict(1, "att:1.0-arm64");
        assert!(matches!(attests, Verdict::Goes(Goes::Attests(_))), "{attests:?}");
        // Of a run that failed: no index lists its images but its own.
        let left = world.image("1.2-amd64", Some("hello"), 15, "").index("1.2-amd64+", &["1.2-amd64"], 15, "1.2-amd64");
        assert_eq!(left.verdict(2, "1.2-amd64+"), Verdict::Goes(Goes::Old));
        assert_eq!(left.verdict(3, "1.2-amd64+"), Verdict::Stays(Stays::Newest), "there is room");
        let foreign = left.index("odd", &["1.2-amd64", "att:somebody"], 3, "odd");
        assert_eq!(foreign.verdict(0, "odd"), NOT_OURS, "it attests an image that it does not list");
    }

    #[test]
    fn an_image_whose_tag_is_not_of_the_index_that_goes_stays() {
        let world = World::default()
            .image("1.0-amd64", Some("hello"), 1, "1.0-amd64 1.1-amd64")
            .image("1.0-arm64", Some("hello"), 1, "1.0-arm64 lambda")
            .image("1.0-riscv64", Some("hello"), 1, "riscv64-1.0")
            .index("1.0", &["1.0-amd64", "1.0-arm64", "1.0-riscv64"], 2, "1.0")
            .publication("2.0", 10, "2.0");
        let tag = |tag: &str| Verdict::Stays(Stays::OwnTag(tag.parse().unwrap()));
        assert_eq!(world.verdict(1, "1.0"), Verdict::Goes(Goes::Old));
        assert_eq!(world.verdict(1, "1.0-amd64"), tag("1.1-amd64"), "a run is on its way to publish it again");
        assert_eq!(world.verdict(1, "1.0-arm64"), tag("lambda"));
        assert_eq!(world.verdict(1, "1.0-riscv64"), Verdict::Goes(Goes::Listed(digest("1.0"))));
    }

    fn worlds() -> impl Strategy<Value = World> {
        let label = prop::sample::select(vec![None, Some("hello"), Some("other"), Some("")]);
        let tags = || prop::sample::select(vec!["", "", "1.0", "1.0-amd64", "latest", "2.0 2.1"]);
        let images = prop::collection::vec((label, 0_u64..5, tags()), 1..8);
        let indexes = prop::collection::vec((prop::collection::vec(0_usize..10, 0..4), 0_u64..5, tags()), 0..8);
        (images, indexes).prop_map(|(images, indexes)| {
            let mut world = World::default();
            for (number, (label, time, tags)) in images.iter().enumerate() {
                world = world.image(&format!("{number}-amd64"), *label, *time, tags);
                world = world.image(&format!("att:{number}-amd64"), None, *time, "");
            }
            for (number, (entries, time, tags)) in indexes.iter().enumerate() {
                let name = |entry: &usize| match entry {
                    8 => format!("index{}", number.saturating_sub(1)),
                    9 => "att:0-amd64".to_owned(),
                    image => format!("{image}-amd64"),
                };
                let entries: Vec<_> = entries.iter().map(name).collect();
                let entries: Vec<_> = entries.iter().map(String::as_str).collect();
                world = world.index(&format!("index{number}"), &entries, *time, tags);
            }
            world
        })
    }

    proptest! {
        #[test]
        fn nothing_goes_that_is_not_ours_or_that_an_index_lists_which_stays(world in worlds(), newest in 0_usize..4) {
            let verdicts = judge(&world.0, &keep(newest));
            let goes = |digest: &Digest| verdicts.get(digest).is_some_and(Verdict::goes);
            for (digest, item) in &world.0 {
                for entry in item.entries().iter().filter(|_| !goes(digest)) {
                    prop_assert!(!goes(&entry.digest), "listed by what stays");
                }
                let is_built = |item: &Item| item.says().is_some_and(|says| says.built_as.as_ref().is_some_and(|name| !name.is_empty()));
                if goes(digest) && item.entries().is_empty() && !is_built(item) {
                    let attests = matches!(verdicts[digest], Verdict::Goes(Goes::Attests(_)));
                    prop_assert!(attests && item.tags.is_empty(), "{:?}", verdicts[digest]);
                }
                for entry in item.entries().iter().filter(|entry| goes(digest) && !entry.is_attestation) {
                    prop_assert!(world.0.get(&entry.digest).is_some_and(is_built), "an index of what is not ours");
                }
            }
        }
    }
}
