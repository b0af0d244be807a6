//! `polyarch verify`

mod args;
mod command;
mod engines;
mod finding;
mod told;

pub(crate) use args::VerifyArgs;
pub(crate) use command::run;
