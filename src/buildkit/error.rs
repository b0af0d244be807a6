//! Why a call of BuildKit failed.

use std::sync::Arc;

use super::fault::BuildFault;
use super::request::CacheTarget;
use crate::auth::AuthError;
use crate::context::ContextError;
use crate::oci::TagRef;

/// The reasons. The room that made the connection knows the engine, and gives it a text and a hint.
#[derive(Debug)]
pub(crate) enum BuildKitError {
    /// The other end has no BuildKit that polyarch can use.
    Absent(String),
    /// The connection ended in the middle of a call.
    Lost(String),
    /// The build failed.
    Build(Box<BuildFault>),
    /// BuildKit built the image, but could not export its cache.
    CacheExport { to: CacheTarget, message: String },
    /// polyarch could not read the build context.
    Context(Arc<ContextError>),
    /// polyarch could not get credentials for a registry.
    Credentials(Arc<AuthError>),
    /// BuildKit answered, but without the requested result.
    NoProof(String),
    /// BuildKit could not push the image.
    Push(String),
    /// BuildKit read nothing of the context for this many seconds, after these bytes of files.
    UploadStalled { bytes: u64, seconds: u64 },
    /// Another build gave this name to an image at the same time.
    NameTaken(TagRef),
}
