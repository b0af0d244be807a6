//! Reads the command line, runs the command and shows the result.
//!
//! `args` has the arguments as the user typed them. `input` makes plans, registries and settings from them. `command`
//! runs the command, and `output` and `terminal` show the result.

mod args;
mod command;
mod input;
mod output;
mod start;
mod terminal;

pub(crate) use start::start;
pub(crate) use terminal::exit::INTERNAL;
