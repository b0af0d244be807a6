//! Writes the files at a run's end: the report, and the files that CI systems read.

mod dotenv;
mod github;
mod published;
pub(in crate::cli) mod results;
mod summary;
mod written;

pub(crate) use written::Files;
#[cfg(test)]
pub(crate) use written::texts;
