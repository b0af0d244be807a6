//! `polyarch verify`

mod command;
mod engines;
mod told;

pub(crate) use command::run;
