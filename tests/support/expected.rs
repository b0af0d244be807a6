//! Expected outputs: whole files that a person reads. `SNAPSHOTS=overwrite` writes the files that differ.

use std::path::Path;

use snapbox::Data;

/// Compares a text with a file of the package, letter for letter.
#[track_caller]
pub(crate) fn is_file(path: impl AsRef<Path>, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    snapbox::assert_data_eq!(text, Data::read_from(&file, None).raw());
}
