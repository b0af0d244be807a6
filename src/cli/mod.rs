//! Reads the command line, runs the command and shows the result.
//!
//! `caller` has the programs that start polyarch for a user. `args` has the arguments as the user typed them. `input` makes plans, registries and settings from them. `command`
//! runs the command, and `output` and `terminal` show the result.

mod args;
mod caller;
mod command;
mod input;
mod output;
mod start;
mod terminal;

pub(crate) use start::start;
pub(crate) use terminal::exit::INTERNAL;
