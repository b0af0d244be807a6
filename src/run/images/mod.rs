//! The images of a repository: which are there, and which index lists which.

mod catalog;
mod error;
mod item;
mod listed;

pub use error::ImagesError;
pub use listed::{ImageKind, ListedBy, RepositoryImage, RepositoryImages, images};
