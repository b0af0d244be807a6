//! The command line: what a user types and what a user sees.
#![expect(dead_code, unused_imports, reason = "the commands that show things are not here yet")]

mod diagnostic;
mod output;
