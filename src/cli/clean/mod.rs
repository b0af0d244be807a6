//! `polyarch clean`

mod args;
mod command;
mod document;
mod text;

pub(crate) use args::CleanArgs;
pub(crate) use command::run;
