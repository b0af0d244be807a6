//! Checks that all tags of an image show one index in all registries.

use super::index::VerifyFault;
use crate::oci::Digest;
use crate::run::storage::Source;

/// Compares the digests that the tags of one image show. Returns each tag whose digest differs from the first tag's, by
/// its place in `shown`, with the fault.
#[must_use]
pub fn disagreements(shown: &[(&Source, &Digest)]) -> Vec<(usize, VerifyFault)> {
    let Some((first, right)) = shown.first() else { return Vec::new() };
    let others = shown.iter().enumerate().filter(|(_, (_, digest))| digest != right);
    let told = others.map(|(place, (other, digest))| {
        let message = format!("it points to {digest}, but {first} points to {right}");
        let hint = format!(
            "publish the image again to move its tags to one index; run `polyarch inspect {first} {other}` to see the \
             difference"
        );
        (place, VerifyFault::untrue(None, &message).with_hint(&hint))
    });
    told.collect()
}
