//! The label of images that polyarch builds.

/// The label with the name of the image in the plan. `clean` uses it to recognise the images that polyarch built.
pub const IMAGE_LABEL: &str = "dev.polyarch.image";
