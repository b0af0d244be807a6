//! All tags of an image, in all registries, show one index.

use super::index::VerifyFault;
use crate::oci::Digest;
use crate::run::place::Source;

/// Holds what the tags of one image show against each other. Gives each tag that shows something else than the first
/// one does, with that in words.
#[must_use]
pub fn disagreements<'a>(shown: &[(&'a Source, &Digest)]) -> Vec<(&'a Source, VerifyFault)> {
    let Some((first, right)) = shown.first() else { return Vec::new() };
    let others = shown.iter().filter(|(_, digest)| digest != right);
    let told = others.map(|(other, digest)| {
        let message = format!("it shows {digest}, and {first} shows {right}");
        let hint = format!("`polyarch inspect {first} {other}` shows the difference; publish the image again to move its tags to one index");
        (*other, VerifyFault::untrue(None, &message).with_hint(&hint))
    });
    told.collect()
}
