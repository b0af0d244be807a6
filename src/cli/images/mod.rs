//! `polyarch images`

mod args;
pub(super) mod cells;
mod command;
mod document;
mod text;

pub(crate) use args::ImagesArgs;
pub(crate) use command::{refused, run};
