//! What a run's end is written to besides stdout: the report, and what CI systems read.

mod dotenv;
mod github;
mod published;
mod summary;
mod written;

pub(crate) use written::Files;
#[cfg(test)]
pub(crate) use written::texts;
