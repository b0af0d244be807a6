//! Image configs: the labels and the program of an image.

pub(super) mod label;
pub(super) mod start;
