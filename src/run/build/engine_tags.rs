//! `--load`: gives the built images their names on the engines, and reads each name back.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::engine::{Engine, PlatformImage};
use crate::oci::{Digest, EntryOverride, Platform, PlatformFields, Tag, TagRef};
use crate::run::event::failure::of_engine;
use crate::run::event::image_reporter::ImageReporter;
use crate::run::event::{Event, Failure, ImageEvent, Phase, Warning};
use crate::run::publish::target::Target;
use crate::run::schedule::names::one_of;
use crate::run::schedule::scheduled::ScheduledBuild;
use crate::run::storage::engine_names;

/// The reason why the image is not joined.
const LOADED: &str = "--load";

/// A platform that was built, on its engine.
pub(in crate::run) struct BuiltPlatform {
    pub(in crate::run) engine: Arc<Engine>,
    /// The arch tag, which names the platform's image on the engine.
    pub(in crate::run) arch_tag: Tag,
    pub(in crate::run) part: PlatformImage,
}

/// An image with all platforms built. It gets its names on the engines next.
pub(super) struct ImageToName {
    target: Target,
    built: Vec<BuiltPlatform>,
}

/// The image that a job built, under the name that belongs to this run.
pub(in crate::run) fn part(own: &TagRef, scheduled: &ScheduledBuild, id: Digest) -> PlatformImage {
    let job = &scheduled.job;
    let name = format!("{}:{}", own.repository.familiar(), own.tag);
    PlatformImage { name, id, platform: job.platform.clone(), fields: fields(&job.platform, &job.entry) }
}

/// The platform fields of an entry, the same as in a published index.
fn fields(platform: &Platform, entry: &EntryOverride) -> PlatformFields {
    let (words, claimed) = (entry.platform.clone().unwrap_or_else(|| platform.clone().into()), entry.over(platform));
    PlatformFields {
        architecture: words.platform().architecture().to_owned(),
        os: words.platform().os().to_owned(),
        os_version: claimed.demands().version().map(str::to_owned),
        os_features: claimed.demands().features().iter().map(|feature| String::from(&**feature)).collect(),
        variant: words.variant().filter(|variant| !variant.is_empty()).map(str::to_owned),
    }
}

impl ImageToName {
    /// Takes the built images in any order.
    pub(in crate::run) fn new(target: Target, mut built: Vec<BuiltPlatform>) -> Self {
        built.sort_by_key(|one| target.arch_tags.iter().position(|(tag, _)| *tag == one.arch_tag));
        Self { target, built }
    }

    /// Sets the names, engine by engine. Each engine names the images that it built.
    pub(in crate::run) async fn run(self, events: &mpsc::Sender<Event>) -> Result<(), Failure> {
        let reporter = ImageReporter { image: &self.target.image, events };
        let mut engines: Vec<(Arc<Engine>, Vec<Tag>, Vec<PlatformImage>)> = Vec::new();
        for BuiltPlatform { engine, arch_tag, part } in self.built {
            match engines.iter_mut().find(|(known, ..)| Arc::ptr_eq(known, &engine)) {
                Some((_, arch_tags, parts)) => {
                    arch_tags.push(arch_tag);
                    parts.push(part);
                }
                None => engines.push((engine, vec![arch_tag], vec![part])),
            }
        }
        for (engine, arch_tags, parts) in &engines {
            let naming = Naming { target: &self.target, engine, arch_tags, reporter };
            naming.run(parts).await?;
        }
        reporter.emit(ImageEvent::NotJoined { reason: LOADED.into() }).await;
        Ok(())
    }
}

/// The names of one image on one engine.
struct Naming<'a> {
    target: &'a Target,
    engine: &'a Engine,
    /// The arch tags, which name the parts on the engine.
    arch_tags: &'a [Tag],
    reporter: ImageReporter<'a>,
}

impl Naming<'_> {
    async fn run(&self, parts: &[PlatformImage]) -> Result<(), Failure> {
        let platforms: Vec<_> = parts.iter().map(|part| &part.platform).collect();
        if let [_, _, ..] = parts
            && self.engine.facts().names_indexes()
        {
            for tag in &self.target.tags {
                let id = engine_names::name_index(self.engine, parts, self.name(), tag).await;
                let id = id.map_err(|error| of_engine(Phase::Publish, &error))?;
                self.named(tag, id, parts).await;
            }
            return Ok(());
        }
        // The preflight refused every image without a platform for the name.
        let Some(own) = one_of(&platforms, self.engine.facts()) else { return Ok(()) };
        for tag in &self.target.tags {
            let named = engine_names::name_image(self.engine, &parts[own].id, self.name(), tag).await;
            named.map_err(|error| of_engine(Phase::Publish, &error))?;
            self.named(tag, parts[own].id.clone(), &parts[own..=own]).await;
        }
        self.report_others(own, parts).await;
        Ok(())
    }

    fn name(&self) -> &str {
        self.target.storage.path().short()
    }

    async fn named(&self, tag: &Tag, id: Digest, parts: &[PlatformImage]) {
        let what = ImageEvent::Loaded {
            engine: self.engine.name().to_string().into(),
            name: format!("{}:{tag}", self.name()).into(),
            id,
            platforms: parts.iter().map(|part| part.platform.clone()).collect(),
        };
        self.reporter.emit(what).await;
    }

    /// Reports the names of the platforms that the image's name does not show.
    async fn report_others(&self, own: usize, parts: &[PlatformImage]) {
        let others = parts.iter().zip(self.arch_tags).enumerate().filter(|(index, _)| *index != own);
        let repository = self.target.storage.familiar();
        let other =
            |(_, (part, tag)): (usize, (&PlatformImage, &Tag))| format!("{} is {repository}:{tag}", part.platform);
        let others: Vec<_> = others.map(other).collect();
        if others.is_empty() {
            return;
        }
        let engine = self.engine.name();
        let others = others.join(", ");
        let message = format!(
            "engine {engine} can name only one platform of an image; the other platforms have their own names: {others}"
        );
        self.reporter.warn(Warning { image: None, platform: None, message: message.into(), hint: None }).await;
    }
}
