//! The arguments of every command as clap reads them.

pub(super) mod clean;
pub(super) mod command_line;
mod edit;
pub(super) mod habits;
mod help;
#[cfg(test)]
mod help_page;
pub(super) mod images;
pub(super) mod platforms;
pub(super) mod refusal;
pub(super) mod shared;
pub(super) mod tools;
pub(super) mod values;
pub(super) mod verify;
