//! Step 1: drafts an index of exactly the planned platforms, and encodes it.

use super::target::Target;
use crate::oci::{Child, EncodeError, EncodedIndex, IndexDraft, IndexFormat, Platform};
use crate::run::event::failure::failure;
use crate::run::event::image_reporter::ImageReporter;
use crate::run::event::{Failure, ImageEvent, Phase};
use crate::run::fetch::found::Found;

/// Drafts and encodes the index of `target`.
pub(in crate::run) fn index<P>(target: &Target<P>, found: Vec<Found>) -> Result<EncodedIndex, Failure> {
    encode(draft(target, found)?, IndexFormat::Auto)
}

/// Drafts an index of exactly the planned platforms.
pub(in crate::run) fn draft<P>(target: &Target<P>, found: Vec<Found>) -> Result<IndexDraft, Failure> {
    let children: Vec<Child> = found.into_iter().map(|found| found.child).collect();
    let planned: Vec<Platform> = target.expected.iter().map(|(platform, _)| platform.clone()).collect();
    let draft = IndexDraft::new(&planned, children);
    draft.map_err(|error| failure(Phase::Verify, &error.to_string(), None))
}

/// Encodes the draft.
pub(in crate::run) fn encode(draft: IndexDraft, format: IndexFormat) -> Result<EncodedIndex, Failure> {
    draft.encode(format).map_err(|error| match error {
        EncodeError::NotDocker(_) => failure(
            Phase::Verify,
            &error.to_string(),
            Some("pass `--index-format auto` to publish an OCI index".into()),
        ),
        EncodeError::Manifest(_) => failure(Phase::Verify, &format!("cannot encode the index: {error}"), None),
    })
}

/// Reports the index.
pub(in crate::run) async fn report(index: &EncodedIndex, reporter: ImageReporter<'_>) {
    let manifest = index.manifest();
    let joined = ImageEvent::Joined {
        digest: manifest.digest().clone(),
        media_type: manifest.media_type().to_string().into(),
        entries: index.entries(),
    };
    reporter.emit(joined).await;
}
