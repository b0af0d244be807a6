//! What a user sees of a run: a display while it lasts, an ending after it, results on stdout.
//!
//! Texts in events and reports are sanitised where they are made; nothing here looks into them again. A reader who
//! goes away (a broken pipe) never stops a run.

mod ending;
mod grid;
mod json;
mod lines;
mod plain;
mod progress;
mod results;
mod rows;
mod style;
mod table;
mod tty;

#[cfg(test)]
pub(crate) mod script;

pub(crate) use grid::{Align, Column, Grid};
pub(crate) use progress::{Display, Progress, Terminal, display, is_ci};
pub(crate) use results::{Format, write_results};
pub(crate) use style::{Color, Tone, ago, count, duration, shorten, size};
