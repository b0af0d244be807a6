//! Stages for named contexts. polyarch adds them to the Dockerfile if the engine's BuildKit does not know contexts.

use std::collections::{BTreeMap, BTreeSet};

use super::engine_facts::EngineFacts;
use crate::buildkit::BaseImage;
use crate::context::{AddedStages, StageName};
use crate::plan::{BuildSpec, ImageName, NamedContext};

impl EngineFacts {
    /// The stages that stand for the contexts of `build` if the engine's BuildKit does not know contexts.
    /// [`Self::lacks`] names the contexts that cannot be stages.
    #[must_use]
    pub fn stages(&self, build: &BuildSpec, bases: &BTreeMap<ImageName, BaseImage>) -> AddedStages {
        let stage = |(name, context): (StageName, &NamedContext)| match context {
            NamedContext::Image(image) => bases.get(image).map(|base| (name, base.clone().into())),
            NamedContext::Reference(reference) => Some((name, reference.clone())),
            NamedContext::Directory(_) | NamedContext::Remote(_) => None,
        };
        self.staged(build).filter_map(stage).collect()
    }

    /// The names of these stages. polyarch knows them before it knows the places of all images.
    #[must_use]
    pub fn stage_names(&self, build: &BuildSpec) -> BTreeSet<StageName> {
        self.staged(build).map(|(name, _)| name).collect()
    }

    fn staged<'a>(&self, build: &'a BuildSpec) -> impl Iterator<Item = (StageName, &'a NamedContext)> {
        let staged = build.contexts.iter().filter(|_| !self.knows_contexts());
        staged.filter_map(|(name, context)| Some((name.as_str().parse().ok()?, context)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{ApiVersion, ImageStore};
    use crate::oci::Reference;
    use crate::plan::{self, ArchTags, Facts, Overrides, SourceText};

    const BUILT_ON: &str = "
version: 1
defaults: { tags: [x], platforms: [linux/amd64] }
images:
  a:
    contexts:
      parent: image:base
      alpine:latest: docker-image://127.0.0.1:5000/alpine:3
      src: ../other
      context: ../third
  base: {}
";

    fn facts(minor: u16) -> EngineFacts {
        let (platform, api) = ("linux/amd64".parse().unwrap(), ApiVersion { major: 1, minor });
        EngineFacts {
            version: "x".into(),
            api: Some(api),
            buildkit: api.buildkit(),
            platform,
            runs: Vec::new(),
            store: ImageStore::GraphDriver,
            runc: None,
        }
    }

    #[test]
    fn old_engine_gets_named_images_as_stages() {
        let repository = "127.0.0.1:5000/base".parse::<Reference>().unwrap().repository;
        let base = BaseImage::OnEngine(repository.tag("x-amd64".parse().unwrap()));
        let bases = BTreeMap::from([("base".parse().unwrap(), base)]);
        let source = SourceText { path: "build.yaml".into(), text: BUILT_ON.to_owned() };
        let plan = plan::resolve(&source, &BTreeMap::new(), &Facts::new(), &Overrides::default()).unwrap();
        let build = &plan.images[0].jobs[0].build().unwrap().spec;
        let stages = facts(41).stages(build, &bases).into_iter();
        let stages: Vec<_> = stages.map(|(name, image)| format!("{name} {image}")).collect();
        assert_eq!(stages, ["alpine 127.0.0.1:5000/alpine:3", "parent 127.0.0.1:5000/base:x-amd64"]);
        assert_eq!(facts(42).stages(build, &bases).len(), 0);
        let lacks: Vec<_> = facts(41).lacks(build, ArchTags::Keep).into_iter().map(|(key, _)| key).collect();
        assert_eq!(lacks, ["contexts.context", "contexts.src"]);
        assert_eq!(facts(42).lacks(build, ArchTags::Keep), []);
    }
}
