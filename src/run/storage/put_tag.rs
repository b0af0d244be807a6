//! Moves a tag to a manifest. A registry may refuse to move an immutable tag, even to the manifest that the tag names
//! already. One rule holds for final tags and arch tags, and for pushes of polyarch and of engines: the same content is
//! a success, and other content is a failure that names both digests.

use super::error::StorageError;
use super::store::Storage;
use crate::engine::ImageStore;
use crate::oci::{Digest, Location, RawManifest, Selector, Tag, TagRef};
use crate::registry::Visibility;
use crate::run::event::cause::IMMUTABLE;
use crate::run::event::failure::failure;
use crate::run::event::{Failure, Phase};

/// The fewest hexadecimal digits of a short commit.
const SHORT_COMMIT: usize = 7;

/// A tag that this run moves.
#[derive(Clone, Copy)]
pub(in crate::run) enum TagToMove<'a> {
    /// A final tag, or the copy of an arch tag in another registry.
    Final(&'a TagRef<Location>),
    /// An arch tag. You never wrote this tag, so the failure says where it comes from.
    Arch {
        name: &'a TagRef,
        /// The first final tag of its image. By default the arch tag begins with it.
        first: Option<&'a Tag>,
    },
}

/// How a tag came to name the manifest.
#[derive(PartialEq, Eq)]
pub(in crate::run) enum Put {
    Now,
    /// The tag named the manifest already, although the storage refused the request.
    Known,
}

/// Why a tag does not name the manifest.
pub(in crate::run) enum NotPut {
    /// The tag is immutable and names another manifest.
    Immutable(Failure),
    /// The storage refused the request or failed.
    Failed(StorageError),
}

/// The content that an immutable tag names, compared with the content of this run.
pub(in crate::run) enum Comparison<T> {
    Same(T),
    /// The tag names other content.
    Other(Failure),
    /// polyarch cannot read the tag, or cannot compare the contents.
    Unknown,
}

impl NotPut {
    /// Whether the storage certainly refused the request, so that nothing moved.
    pub(in crate::run) fn is_settled(&self) -> bool {
        match self {
            Self::Immutable(_) => true,
            Self::Failed(error) => error.is_settled(),
        }
    }
}

/// Moves `tag` in `storage` to `manifest`.
pub(in crate::run) async fn put_tag(
    storage: &Storage,
    tag: TagToMove<'_>,
    manifest: &RawManifest,
) -> Result<Put, NotPut> {
    let selector = Selector::Tag(tag.tag().clone());
    let Err(error) = storage.put_manifest(&selector, manifest).await else { return Ok(Put::Now) };
    if !error.is_immutable() {
        return Err(NotPut::Failed(error));
    }
    let named = storage.manifest(&selector, Visibility::Settled).await;
    let compared = match named.map(|named| named.digest().clone()) {
        Ok(named) if named == *manifest.digest() => Comparison::Same(Put::Known),
        Ok(named) => Comparison::Other(tag.refused(&named, manifest.digest())),
        Err(_) => Comparison::Unknown,
    };
    settle(compared, NotPut::Immutable, NotPut::Failed(error))
}

/// Decides after a push to an immutable tag was refused. `refused` is the refusal, which counts if polyarch cannot
/// compare the contents.
pub(in crate::run) fn settle<T, E>(
    compared: Comparison<T>,
    other: impl FnOnce(Failure) -> E,
    refused: E,
) -> Result<T, E> {
    match compared {
        Comparison::Same(same) => Ok(same),
        Comparison::Other(failure) => Err(other(failure)),
        Comparison::Unknown => Err(refused),
    }
}

impl TagToMove<'_> {
    fn tag(&self) -> &Tag {
        match self {
            Self::Final(name) => &name.tag,
            Self::Arch { name, .. } => &name.tag,
        }
    }

    /// The failure if the tag is immutable and has `there`, but this run has `new`. Both are digests of manifests.
    pub(in crate::run) fn refused(&self, there: &Digest, new: &Digest) -> Failure {
        self.failed(&there.to_string(), &new.to_string())
    }

    /// The failure if the tag shows the manifest `named` of the image `found`, but the engine built `built`. An engine
    /// without containerd's image store knows only the IDs of images.
    pub(in crate::run) fn refused_image(
        &self,
        store: ImageStore,
        built: &Digest,
        found: &Digest,
        named: &Digest,
    ) -> Failure {
        match store {
            ImageStore::Containerd | ImageStore::None => self.refused(named, built),
            ImageStore::GraphDriver => {
                self.failed(&format!("{named} (image ID {found})"), &format!("the image ID {built}"))
            }
        }
    }

    /// The next step of the user.
    pub(in crate::run) fn hint(&self) -> String {
        match self {
            Self::Final(_) => {
                "publish this image under another tag, because the registry does not move this tag; even \
                               a rebuild of the same inputs has new timestamps"
                    .to_owned()
            }
            Self::Arch { name, first } => hint_for_arch_tag(&name.tag, *first),
        }
    }

    fn failed(&self, there: &str, new: &str) -> Failure {
        let (phase, name) = match self {
            Self::Final(name) => (Phase::Publish, name.to_string()),
            Self::Arch { name, .. } => (Phase::Push, name.to_string()),
        };
        failure(phase, &format!("{name} is immutable and has {there}; this run has {new}"), Some(self.hint()))
            .because(IMMUTABLE)
    }
}

fn hint_for_arch_tag(tag: &Tag, first: Option<&Tag>) -> String {
    let retry =
        "build only the missing platforms with --platform, then run `polyarch join`: a rebuild has new timestamps";
    let tag = tag.as_str();
    if names_commit(tag) {
        return format!("run `polyarch join` if all arch tags exist; otherwise {retry}");
    }
    let change = match first.filter(|first| tag.contains(first.as_str())) {
        Some(first) => format!("change the first tag `{first}`, from which this arch tag comes"),
        None => "change `arch_tag`".to_owned(),
    };
    format!("{change}, for example to one with ${{git.sha}}; if you repeat a build of the same commit, {retry}")
}

/// Whether a part of the tag looks like a commit. Such a tag is as new as its commit.
fn names_commit(tag: &str) -> bool {
    let is_commit = |part: &str| part.len() >= SHORT_COMMIT && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    tag.split(|c: char| !c.is_ascii_alphanumeric()).any(is_commit)
}
