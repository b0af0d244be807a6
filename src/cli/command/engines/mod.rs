//! `polyarch engines`

mod command;
mod document;
mod gather;
mod listed;
#[cfg(test)]
mod samples;
mod schema;
mod text;

pub(crate) use command::run;
pub(crate) use schema::SCHEMA;
