//! `polyarch verify`

mod args;
mod command;
mod engines;
mod finding;
mod schema;
mod told;

pub(crate) use args::VerifyArgs;
pub(crate) use command::run;
pub(crate) use schema::SCHEMA;
