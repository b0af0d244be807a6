//! Values of container images: references, digests, platforms, manifests, the image index.
//!
//! This room does no I/O, has no async code, and imports no other room. Every type is parsed once, when a value enters
//! polyarch. No later code can create it from an unchecked string.

mod annotation;
mod attestation;
mod child;
mod demands;
mod descriptor;
mod digest;
pub(crate) mod document;
pub(crate) mod elf;
mod fields;
pub(crate) mod fixed;
mod format;
mod index;
mod known;
mod label;
mod location;
pub(crate) mod loose;
mod manifest;
mod media_type;
pub(crate) mod null;
mod platform;
mod reference;
pub(crate) mod spent;
mod start;
mod suffix;
mod words;

pub use annotation::{Annotation, AnnotationError, AnnotationScope, Annotations};
pub use attestation::{Attestation, AttestationError};
pub use child::{Child, ChildError, EntryOverride, REVISION};
pub use demands::Demands;
pub use descriptor::{Descriptor, PlatformFields};
pub use digest::{Digest, DigestError, Hasher};
pub use elf::ElfMachine;
pub use fields::{Fields, Unread};
pub use format::{IndexFormat, NotDocker};
pub use index::{DraftError, EncodeError, EncodedIndex, Entry, IndexDraft, NoEntry};
pub use known::platforms_in;
pub use label::IMAGE_LABEL;
pub use location::{LayoutPath, LocatedReference, Location, LocationError};
pub use manifest::{
    Content, ImageIndex, ImageManifest, MAX_CONFIG_BYTES, MAX_MANIFEST_BYTES, ManifestError, RawManifest,
};
pub use media_type::MediaType;
pub use platform::{Platform, PlatformError, PlatformWords};
pub use reference::{
    DigestRef, Reference, ReferenceError, RegistryHost, Repository, RepositoryPath, Selector, Tag, TagRef,
};
pub use start::Start;
pub use words::Listed;
