//! Publishes an index. `publication` walks the steps in order, and each step is a file: `draft`, `stage`, `check`,
//! `move_tags`, `read_back`.

pub(super) mod atomic;
mod check;
pub(super) mod current_tags;
pub(super) mod draft;
mod gates;
mod losses;
pub(super) mod move_tags;
pub(super) mod options;
pub(super) mod publication;
pub(super) mod publisher;
pub(super) mod read_back;
pub(super) mod remove_arch_tags;
pub(super) mod stage;
pub(super) mod target;
