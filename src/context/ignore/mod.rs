//! Ignore patterns: the globs of Go and the expressions that moby makes from them.

mod glob;
mod patterns;
mod regexp;

pub(super) use glob::{Glob, clean};
pub use patterns::{MatchInfo, Pattern, PatternError, Patterns, Verdict, parse_ignore_file};
