//! Writes lines and errors to the terminal. The writer sanitises every text.

pub(super) mod diagnostic;
pub(super) mod excerpt;
pub(super) mod exit;
pub(super) mod grid;
pub(super) mod line;
pub(super) mod screen;
pub(super) mod signals;
pub(super) mod stderr;
pub(super) mod stdout;
pub(super) mod style;
pub(super) mod table;
pub(super) mod typed;
pub(super) mod writer;
