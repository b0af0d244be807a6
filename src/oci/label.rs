//! What images are labelled with that polyarch builds.

/// The label of an image's config that says by which name the plan has it that it was built from. It is how `clean` knows
/// what polyarch made.
pub const IMAGE_LABEL: &str = "dev.polyarch.image";
