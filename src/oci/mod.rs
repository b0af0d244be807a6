//! Values of container images: references, digests, platforms, manifests, the image index.
//!
//! This room does no I/O, has no async code, and imports no other room. Every type is parsed once, when a value enters
//! polyarch. No later code can create it from an unchecked string.

mod config;
mod digest;
mod index;
mod json;
mod manifest;
mod name;
mod platform;
pub(crate) mod refusal;

pub use config::label::{IMAGE_LABEL, REVISION};
pub use config::start::Start;
pub use digest::{Digest, DigestError, Hasher};
pub use index::annotation::{Annotation, AnnotationError, AnnotationScope, Annotations};
pub use index::attestation::{Attestation, AttestationError};
pub use index::child::Child;
pub use index::child_error::ChildError;
pub use index::draft::{DraftError, EncodeError, EncodedIndex, Entry, IndexDraft, NoEntry};
pub use index::entry_override::EntryOverride;
pub use index::format::{IndexFormat, NotDocker};
pub use index::listed::Listed;
pub use json::fields::Fields;
pub(crate) use json::{document, loose, null};
pub use manifest::content::{Content, ImageIndex, ImageManifest};
pub use manifest::descriptor::Descriptor;
pub use manifest::media_type::MediaType;
pub use manifest::platform_fields::PlatformFields;
pub use manifest::raw::{MAX_CONFIG_BYTES, MAX_MANIFEST_BYTES, ManifestError, RawManifest};
pub use manifest::unread::Unread;
pub use name::location::{LayoutPath, LocatedReference, Location, LocationError};
pub use name::reference::{
    DigestRef, Reference, ReferenceError, RegistryHost, Repository, RepositoryPath, Selector, Tag, TagRef,
};
pub use platform::demands::Demands;
#[cfg(test)]
pub(crate) use platform::elf;
pub use platform::elf::ElfMachine;
pub use platform::normal_form::{Platform, PlatformError};
pub use platform::spelling::{PlatformWords, platforms_in};
