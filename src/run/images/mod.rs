//! Lists the images of a repository, and the indexes that list each image.

mod catalog;
mod error;
mod item;
mod listed;
mod overview;

pub(super) use catalog::Catalog;
pub use error::ImagesError;
pub(super) use item::{Item, ItemContent};
#[cfg(test)]
pub(super) use item::{ListedEntry, ReadImage, Says};
pub use listed::{ImageKind, ListedBy, RepositoryImage, RepositoryImages, images};
pub(super) use overview::Overview;
