//! Displays of a run, while it lasts and at its end.

mod ending;
#[cfg(test)]
pub(crate) mod held;
#[cfg(test)]
pub(crate) mod hostile;
pub(super) mod json;
mod lines;
mod plain;
pub(crate) mod progress;
mod rows;
#[cfg(test)]
pub(crate) mod script;
mod tty;
pub(super) mod view;
