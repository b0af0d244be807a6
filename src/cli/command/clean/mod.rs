//! `polyarch clean`

mod command;
mod document;
pub(super) mod outcome;
mod text;

pub(crate) use command::run;
