//! Recommends to tidy a large embedded registry.

use std::path::Path;

use polyarch::embedded::stored_bytes;

use crate::cli::terminal::style::size;

/// From this size, in bytes, the embedded registry is large.
const LARGE: u64 = 20_000_000_000;

/// Recommends `polyarch prune` if the registry in `directory` is large.
pub(crate) fn tell_if_large(directory: &Path) {
    let bytes = stored_bytes(directory);
    if bytes < LARGE {
        return;
    }
    let (place, size) = (directory.display(), size(bytes));
    tracing::warn!("the embedded registry in {place} uses {size}: run `polyarch prune` to see its unused content");
}
