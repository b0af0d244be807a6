//! `polyarch doctor`

mod checkup;
mod command;
mod ecr;
mod schema;
mod text;

pub(crate) use command::run;
pub(crate) use schema::SCHEMA;
