//! Why an image that was read is not the expected one.

use crate::oci::{AttestationError, ChildError, Digest, MediaType, Platform};
use crate::run::event::cause::{Cause, Reason};
use crate::run::storage::error::StorageError;

/// The reason why there is no usable child manifest.
#[derive(Debug, thiserror::Error)]
pub(in crate::run) enum ConfirmError {
    /// The registry did not answer with content, or the layout has none.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The content is not an image of the planned platform.
    #[error(transparent)]
    Child(#[from] ChildError),
    /// The content is not an attestation of the image.
    #[error(transparent)]
    Untrue(#[from] AttestationError),
    /// A nested index cannot be read.
    #[error("its index {digest} cannot be read")]
    Nested {
        /// The digest of the nested index.
        digest: Digest,
        /// The reason.
        source: Box<Self>,
    },
    /// The manifest exists, but a part that it names is missing.
    #[error("its {part} {digest} is missing")]
    Part {
        /// The kind of the part: an image, a config.
        part: &'static str,
        /// The digest of the part.
        digest: Digest,
        /// The reason.
        source: Box<StorageError>,
    },
    /// The attestation attests no image of its index.
    #[error("it attests no image of the index")]
    Astray,
    /// An attestation of the image cannot be used.
    #[error("its attestation {digest} cannot be used")]
    Attestation {
        /// The digest of the attestation's manifest.
        digest: Digest,
        /// The reason.
        source: Box<Self>,
    },
    /// The image has more attestations than polyarch accepts.
    #[error("it has {count} attestations, and polyarch accepts at most {most}")]
    Attestations {
        /// The number of attestations in the index.
        count: usize,
        /// The number of attestations that polyarch accepts.
        most: usize,
    },
    /// The index does not list the planned platform exactly once.
    #[error("the index lists {count} images for {platform} instead of one; it has {held}")]
    Index {
        /// The number of entries with the platform.
        count: usize,
        /// The planned platform.
        platform: Platform,
        /// The platforms in the index.
        held: String,
    },
    /// The content is an artifact: a Helm chart, a signature.
    #[error("it is {0}, not an image")]
    Artifact(String),
    /// An entry names no platform. Or an image without an index has a config that names no platform.
    #[error("it names no platform")]
    NoPlatform,
    /// The tag ends in the name of another architecture.
    #[error("is {0}, but its tag names another architecture; not joined")]
    Suffix(Platform),
    /// The user annotated an index of several images as a single image.
    #[error("it is an index of {0} images, and only a single image can be annotated")]
    Several(usize),
    /// None of the images has a wanted platform.
    #[error("it contains {held}; none of them is {wanted}")]
    Unwanted {
        /// The platforms of the images.
        held: String,
        /// The wanted platforms.
        wanted: String,
    },
    /// The size in the entry differs from the size of the manifest.
    #[error("the entry specifies {claimed} bytes, but the manifest has {actual}")]
    Size {
        /// The size in the entry, in bytes.
        claimed: u64,
        /// The size of the manifest, in bytes.
        actual: u64,
    },
    /// The media type in the entry differs from the media type of the manifest.
    #[error("the entry specifies media type {claimed}, but the manifest has {actual}")]
    MediaType {
        /// The media type in the entry.
        claimed: MediaType,
        /// The media type of the manifest.
        actual: MediaType,
    },
    /// The index lists more than polyarch reads.
    #[error("it lists {count} manifests of {bytes} bytes: more than polyarch reads of one index")]
    Large {
        /// The number of manifests, at least.
        count: usize,
        /// The sum of the sizes in their entries.
        bytes: u64,
    },
    /// The index's entry for the platform does not lead to its image.
    #[error("{platform}: {why}")]
    Entry {
        /// The platform.
        platform: Platform,
        /// The fault.
        why: String,
    },
    /// The image is of another commit than the plan: another pipeline pushed it.
    #[error("its revision is {found}, but the plan has {planned}")]
    Revision {
        /// The revision in the image's label.
        found: String,
        /// The revision in the plan.
        planned: String,
    },
    /// polyarch waited until the time limit without an answer.
    #[error("the registry did not answer in time")]
    NoAnswer,
    /// Indexes are nested too deep.
    #[error("its indexes are nested too deep")]
    Deep,
    /// It is another image than the built one.
    #[error("the registry has another image: {found}; the engine built {built}")]
    Other {
        /// The digest that the engine built.
        built: Digest,
        /// The digest in the registry, of the same kind as `built`: of a config or of a manifest.
        found: Digest,
        /// The digest that the registry shows for the selector.
        named: Digest,
    },
}

impl From<&ConfirmError> for Cause {
    fn from(error: &ConfirmError) -> Self {
        match error {
            ConfirmError::Storage(error) => error.into(),
            ConfirmError::Part { source, .. } => source.as_ref().into(),
            ConfirmError::Nested { source, .. } | ConfirmError::Attestation { source, .. } => source.as_ref().into(),
            ConfirmError::NoAnswer => Self::Registry { reason: Reason::Timeout, status: None },
            _ => Self::Content,
        }
    }
}

impl ConfirmError {
    /// Adds the digest of the attestation to `source`.
    pub(in crate::run) fn attestation(digest: &Digest, source: Self) -> Self {
        Self::Attestation { digest: digest.clone(), source: Box::new(source) }
    }

    /// Adds the missing part to `error`. Any error except "not found" is returned unchanged.
    pub(super) fn part(part: &'static str, digest: &Digest, error: StorageError) -> Self {
        if !error.is_not_found() {
            return Self::Storage(error);
        }
        Self::Part { part, digest: digest.clone(), source: Box::new(error) }
    }

    /// Whether the registry has the content, but polyarch refuses it: exit code 7. An image or index with a missing
    /// part is refused too, because it cannot be pulled.
    pub(in crate::run) fn is_refusal(&self) -> bool {
        match self {
            Self::Storage(error) => error.is_refusal(),
            Self::Attestation { source, .. } | Self::Nested { source, .. } => {
                source.is_missing() || source.is_refusal()
            }
            Self::NoAnswer => false,
            Self::Part { .. }
            | Self::Child(_)
            | Self::Untrue(_)
            | Self::Astray
            | Self::Attestations { .. }
            | Self::Index { .. }
            | Self::Artifact(_)
            | Self::NoPlatform
            | Self::Suffix(_)
            | Self::Several(_)
            | Self::Unwanted { .. }
            | Self::Size { .. }
            | Self::MediaType { .. }
            | Self::Large { .. }
            | Self::Entry { .. }
            | Self::Revision { .. }
            | Self::Deep
            | Self::Other { .. } => true,
        }
    }

    /// Whether the reference names no content.
    pub(in crate::run) fn is_missing(&self) -> bool {
        matches!(self, Self::Storage(error) if error.is_not_found())
    }

    /// Whether a later push by another run may help.
    pub(in crate::run) fn may_come(&self) -> bool {
        self.is_missing() || matches!(self, Self::Revision { .. } | Self::NoAnswer)
    }

    /// The next step for the user.
    pub(in crate::run) fn hint(&self) -> Option<String> {
        match self {
            Self::Storage(error) => error.hint(),
            Self::Nested { source, .. } => source.hint(),
            Self::Part { .. } => Some("push the image again: the registry lost a part of it, or never had it".into()),
            Self::Child(ChildError::Platform { .. }) => Some(
                "override the entry if only the config is wrong: `entry:` in the plan, `--annotate` with references"
                    .into(),
            ),
            Self::Suffix(platform) => Some(format!(
                "push the image that the tag names, or confirm its platform: --annotate SOURCE={platform}"
            )),
            Self::Artifact(_) => Some("name an image, or copy the artifact with `polyarch copy`".into()),
            Self::Several(_) => Some("name the image by its digest, or choose it with `--platform`".into()),
            Self::Attestation { .. } | Self::Attestations { .. } => {
                Some("set `attestations: strip` to publish the index without attestations".into())
            }
            Self::Revision { .. } => Some(
                "build and push it again, or check out its commit before you join: another pipeline pushed it".into(),
            ),
            Self::Other { .. } => Some("run this again: another run may have built or pushed this tag".into()),
            Self::Child(_)
            | Self::Untrue(_)
            | Self::Astray
            | Self::Index { .. }
            | Self::Unwanted { .. }
            | Self::NoPlatform
            | Self::NoAnswer
            | Self::Deep
            | Self::Large { .. }
            | Self::Entry { .. }
            | Self::MediaType { .. }
            | Self::Size { .. } => None,
        }
    }
}
