//! `polyarch plan`

mod command;
mod text;

pub(crate) use command::run;
