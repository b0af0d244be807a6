//! Moves an arch tag to an image that is in the registry without a tag: BuildKit alone pushes by digest only.

use crate::oci::{Digest, Selector, TagRef};
use crate::run::event::failure::failure;
use crate::run::event::{Failure, Phase};
use crate::run::publish::target::FRESH;
use crate::run::storage::Storage;
use crate::run::storage::error::of_storage;
use crate::run::storage::put_tag::{NotPut, TagToMove, put_tag};

/// Moves the arch tag `name` to the manifest `built`, and reads it back.
pub(super) async fn move_arch_tag(
    storage: &Storage,
    tag: TagToMove<'_>,
    name: &TagRef,
    built: &Digest,
) -> Result<(), Failure> {
    let failed = |doing: &str, error| of_storage(Phase::Push, &format!("{doing} {name}"), &error);
    let there = storage.head(&Selector::Tag(name.tag.clone())).await.map_err(|error| failed("ask for", error))?;
    let before = there.flatten();
    if before.as_ref() == Some(built) {
        return Ok(());
    }
    let manifest = storage.manifest(&Selector::Digest(built.clone()), FRESH).await;
    let manifest = manifest.map_err(|error| failed("read the image for", error))?;
    put_tag(storage, tag, &manifest).await.map_err(|not_put| match not_put {
        NotPut::Immutable(failure) => failure,
        NotPut::Failed(error) => failed("move", error),
    })?;
    let shown = storage.moved(&name.tag, before.as_ref()).await.map_err(|error| failed("read", error))?;
    if shown.digest() == built {
        return Ok(());
    }
    let message = format!("{name} shows {}, and polyarch moved it to {built}", shown.digest());
    let hint = "run this again; another run may move the same tag at the same time";
    Err(failure(Phase::Verify, &message, Some(hint.into())))
}
