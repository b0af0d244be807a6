//! `polyarch init`

mod command;
mod dockerfiles;
mod plan;
mod remote;

pub(crate) use command::run;
