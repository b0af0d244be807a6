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

pub use digest::{Digest, DigestError};
pub use index::draft::Entry;
pub use manifest::media_type::MediaType;
pub use name::location::{LayoutPath, LocatedReference, Location, LocationError};
pub use name::reference::{
    DigestRef, Reference, ReferenceError, RegistryHost, Repository, RepositoryPath, Selector, Tag, TagRef,
};
pub use platform::normal_form::{Platform, PlatformError};

// The other rooms and the program use these names. They are not on the pages of the library.
#[doc(hidden)]
pub use config::label::{IMAGE_LABEL, REVISION};
#[doc(hidden)]
pub use config::start::Start;
#[doc(hidden)]
pub use digest::Hasher;
#[doc(hidden)]
pub use index::annotation::{Annotation, AnnotationError, AnnotationScope, Annotations};
#[doc(hidden)]
pub use index::attestation::{Attestation, AttestationError};
#[doc(hidden)]
pub use index::child::Child;
#[doc(hidden)]
pub use index::child_error::ChildError;
#[doc(hidden)]
pub use index::draft::{DraftError, EncodeError, EncodedIndex, IndexDraft, NoEntry};
#[doc(hidden)]
pub use index::entry_override::EntryOverride;
#[doc(hidden)]
pub use index::format::{IndexFormat, NotDocker};
#[doc(hidden)]
pub use index::listed::SourceEntry;
#[doc(hidden)]
pub use json::fields::Fields;
pub(crate) use json::{document, loose, null};
#[doc(hidden)]
pub use manifest::content::{Content, ImageIndex, ImageManifest};
#[doc(hidden)]
pub use manifest::descriptor::Descriptor;
#[doc(hidden)]
pub use manifest::platform_fields::PlatformFields;
#[doc(hidden)]
pub use manifest::raw::{MAX_CONFIG_BYTES, MAX_MANIFEST_BYTES, ManifestError, RawManifest};
#[doc(hidden)]
pub use manifest::unread::Unread;
#[doc(hidden)]
pub use platform::demands::Demands;
#[cfg(test)]
pub(crate) use platform::elf;
#[doc(hidden)]
pub use platform::elf::ElfMachine;
#[doc(hidden)]
pub use platform::spelling::{PlatformSpelling, platforms_in};
