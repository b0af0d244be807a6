//! Shows a run to the user: a display while the run lasts, an ending after it, and results on stdout.
//!
//! All output is a [`Line`] or a JSON document of `polyarch::text`. The writer sanitises every
//! text in both. A reader that goes away (a broken pipe) never stops a run.

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
pub(crate) use style::{Color, Tone, ago, columns, count, duration, pad, pad_start, shorten, size};
pub(crate) use writer::{Lines, Pace, Paced};
