//! `polyarch verify`

mod command;
mod engines;
mod finding;
pub(super) mod outcome;
mod schema;
mod told;

pub(crate) use command::run;
pub(crate) use schema::SCHEMA;
