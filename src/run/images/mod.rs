//! Lists the images of a repository, and the indexes that list each image.

mod catalog;
mod error;
pub(super) mod image;
mod item;
mod listed;
mod overview;

pub(super) use catalog::Catalog;
pub use error::ImagesError;
pub use image::{ImageKind, ListedBy, RepositoryImage};
#[cfg(test)]
pub(super) use item::{ConfigFacts, ListedEntry, ReadImage};
pub(super) use item::{Item, ItemContent};
pub use listed::{RepositoryImages, images};
pub(super) use overview::Overview;
