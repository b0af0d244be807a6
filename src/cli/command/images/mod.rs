//! `polyarch images`

pub(super) mod cells;
mod command;
mod document;
pub(super) mod outcome;
mod text;

pub(crate) use command::{refused, run};
