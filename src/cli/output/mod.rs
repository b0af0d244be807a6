//! Shows a run to the user: a display while the run lasts, an ending after it, and results on stdout.
//!
//! All output is a [`Line`](super::terminal::line::Line) or a JSON document of `polyarch::text`. The writer sanitises
//! every text in both. A reader that goes away (a broken pipe) never stops a run.

mod backlog;
pub(super) mod display;
pub(super) mod ending;
pub(super) mod fanout;
pub(super) mod files;
pub(super) mod schema;
