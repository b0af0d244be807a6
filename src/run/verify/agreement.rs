//! All tags of an image, in all registries, show one index.

use super::index::VerifyFault;
use crate::oci::Digest;
use crate::run::place::Source;

/// Compares the digests that the tags of one image show. Gives each tag that shows another digest than the first tag,
/// by its place in `shown`, with the fault.
#[must_use]
pub fn disagreements(shown: &[(&Source, &Digest)]) -> Vec<(usize, VerifyFault)> {
    let Some((first, right)) = shown.first() else { return Vec::new() };
    let others = shown.iter().enumerate().filter(|(_, (_, digest))| digest != right);
    let told = others.map(|(place, (other, digest))| {
        let message = format!("it shows {digest}, and {first} shows {right}");
        let hint = format!("`polyarch inspect {first} {other}` shows the difference; publish the image again to move its tags to one index");
        (place, VerifyFault::untrue(None, &message).with_hint(&hint))
    });
    told.collect()
}
