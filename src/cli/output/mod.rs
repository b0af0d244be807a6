//! What a user sees of a run: a display while it lasts, an ending after it, results on stdout.
//!
//! Everything is written as a [`Line`] or as a JSON document of `polyarch::text`, which are sanitised where they are
//! written, whatever they were made of. A reader who goes away (a broken pipe) never stops a run.

mod ending;
mod excerpt;
mod grid;
mod json;
mod line;
mod lines;
mod plain;
mod progress;
mod results;
mod rows;
mod schema;
mod style;
pub(crate) mod table;
mod tty;
mod writer;

#[cfg(test)]
pub(crate) mod held;
#[cfg(test)]
mod hostile;
#[cfg(test)]
pub(crate) mod script;

pub(crate) use grid::{Align, Column, Grid};
pub(crate) use line::Line;
pub(crate) use progress::{Display, Lost, Progress, Terminal, display, is_ci};
pub(crate) use results::{Format, not_joined, write_results};
pub(crate) use schema::{EVENTS_SCHEMA, RESULTS_SCHEMA};
pub(crate) use style::{Color, Tone, ago, count, duration, shorten, size};
pub(crate) use writer::{Lines, Pace, Paced};
