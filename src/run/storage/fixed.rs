//! Immutable arch tags: you never wrote these tags, so the failure says where they come from.

use crate::engine::ImageStore;
use crate::oci::{Digest, Tag, TagRef};
use crate::run::event::failure::failure;
use crate::run::event::{Failure, Phase};

/// The fewest hexadecimal digits of a short commit.
const SHORT_COMMIT: usize = 7;

/// An arch tag that the registry does not move.
pub(in crate::run) struct FixedArchTag<'a> {
    /// The arch tag.
    pub(in crate::run) name: &'a TagRef,
    /// The first final tag of its image. By default the arch tag begins with it.
    pub(in crate::run) first: Option<&'a Tag>,
}

impl FixedArchTag<'_> {
    /// The arch tag has `there`, but this run has `new`. Both are digests of manifests.
    pub(in crate::run) fn refused(&self, there: &Digest, new: &Digest) -> Failure {
        self.failed(&there.to_string(), &new.to_string())
    }

    /// The arch tag shows the manifest `named` of the image `found`, but the engine built `built`. An engine without
    /// containerd's image store knows only the IDs of images.
    pub(in crate::run) fn refused_image(
        &self,
        store: ImageStore,
        built: &Digest,
        found: &Digest,
        named: &Digest,
    ) -> Failure {
        match store {
            ImageStore::Containerd => self.refused(named, built),
            ImageStore::GraphDriver => {
                self.failed(&format!("{named} (image ID {found})"), &format!("the image ID {built}"))
            }
        }
    }

    /// A refusal of the registry with the next step for an arch tag.
    pub(in crate::run) fn hinted(&self, refused: Failure) -> Failure {
        Failure { hint: Some(self.hint().into()), ..refused }
    }

    fn failed(&self, there: &str, new: &str) -> Failure {
        let message = format!("{} is immutable and has {there}; this run has {new}", self.name);
        failure(Phase::Push, &message, Some(self.hint()))
    }

    fn hint(&self) -> String {
        let retry = "build only the missing platforms with --platform, then run `polyarch join`: a rebuild has new \
                     timestamps";
        let tag = self.name.tag.as_str();
        if names_commit(tag) {
            return format!("run `polyarch join` if all arch tags exist; otherwise {retry}");
        }
        let change = match self.first.filter(|first| tag.contains(first.as_str())) {
            Some(first) => format!("change the first tag `{first}`, from which this arch tag comes"),
            None => "change `arch_tag`".to_owned(),
        };
        format!("{change}, for example to one with ${{git.sha}}; if you repeat a build of the same commit, {retry}")
    }
}

/// Whether a part of the tag looks like a commit. Such a tag is as new as its commit.
fn names_commit(tag: &str) -> bool {
    let is_commit = |part: &str| part.len() >= SHORT_COMMIT && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    tag.split(|c: char| !c.is_ascii_alphanumeric()).any(is_commit)
}
