//! `polyarch inspect`

mod command;
mod difference;
mod document;
mod text;

pub(crate) use command::run;
