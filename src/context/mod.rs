//! The build context, read only: what `.dockerignore` leaves of a directory, in the order that `BuildKit` wants.

mod glob;
mod ignore;
mod regexp;

pub use ignore::{MatchInfo, Pattern, PatternError, Patterns, Verdict, parse_ignore_file};
