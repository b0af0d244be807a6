//! Step 4: moves the final tags of one repository, the only commit point.

use super::current_tags::{self, CurrentTag};
use crate::oci::{MediaType, RawManifest, Tag};
use crate::run::event::cause::Cause;
use crate::run::event::failure::failure;
use crate::run::event::image_reporter::ImageReporter;
use crate::run::event::shutdown::Shutdown;
use crate::run::event::{Failure, ImageEvent, Phase};
use crate::run::storage::Storage;
use crate::run::storage::error::{StorageError, of_storage};
use crate::run::storage::put_tag::{NotPut, Put, TagToMove, put_tag};

/// Moves each of `tags` that does not name `manifest` to it.
pub(in crate::run) async fn move_tags(
    storage: &Storage,
    tags: &[CurrentTag],
    manifest: &RawManifest,
    reporter: ImageReporter<'_>,
    shutdown: &Shutdown,
) -> Result<(), Failure> {
    for CurrentTag { tag, unchanged, .. } in tags {
        let tag = storage.tag(tag.clone());
        let mut unchanged = *unchanged;
        if !unchanged {
            if let Some(reason) = shutdown.reason() {
                let message = format!("{tag} was not published: {reason}");
                return Err(failure(Phase::Publish, &message, None).because(Cause::Cancelled));
            }
            reporter.emit(ImageEvent::Tagging { tag: tag.clone() }).await;
            let put = put_tag(storage, TagToMove::Final(&tag), manifest).await;
            if put.as_ref().is_err_and(NotPut::is_settled) {
                reporter.emit(ImageEvent::TagRefused { tag: tag.clone() }).await;
            }
            unchanged = put.map_err(|not_put| not_moved(&tag, manifest, not_put))? == Put::Known;
        }
        reporter.emit(ImageEvent::Tagged { tag, unchanged }).await;
    }
    Ok(())
}

/// Moves an arch tag in the repository of a copy to `manifest`, unless the tag names it already.
pub(super) async fn copy_arch_tag(
    storage: &Storage,
    tag: &Tag,
    manifest: &RawManifest,
    reporter: ImageReporter<'_>,
) -> Result<(), Failure> {
    let current = current_tags::read(storage, std::slice::from_ref(tag), manifest.digest()).await?;
    let tag = storage.tag(tag.clone());
    let mut unchanged = current.iter().all(|tag| tag.unchanged);
    if !unchanged {
        let put = put_tag(storage, TagToMove::Final(&tag), manifest).await;
        unchanged = put.map_err(|not_put| not_moved(&tag, manifest, not_put))? == Put::Known;
    }
    reporter.emit(ImageEvent::ArchTagCopied { tag, unchanged }).await;
    Ok(())
}

fn not_moved(tag: &impl std::fmt::Display, manifest: &RawManifest, not_put: NotPut) -> Failure {
    match not_put {
        NotPut::Immutable(failure) => failure,
        NotPut::Failed(error) => {
            let failure = of_storage(Phase::Publish, &format!("publish {tag}"), &error);
            Failure { hint: failure.hint.or_else(|| not_accepted(manifest, &error).map(Into::into)), ..failure }
        }
    }
}

/// The hint if a registry refuses a manifest. Some registries do not accept OCI indexes.
fn not_accepted(manifest: &RawManifest, error: &StorageError) -> Option<String> {
    let invalid = matches!(error.status(), Some(400 | 405 | 415));
    let hint = "publish Docker images without attestations or annotations: polyarch then pushes a Docker manifest \
                list, which a registry without OCI indexes accepts";
    (invalid && *manifest.media_type() == MediaType::OciIndex).then(|| hint.to_owned())
}
