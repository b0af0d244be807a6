//! `polyarch images`

mod args;
mod command;
mod document;
mod text;

pub(crate) use args::ImagesArgs;
pub(crate) use command::run;
