//! Ignore patterns: the globs of Go and the expressions that moby makes from them.

mod glob;
mod patterns;
mod regexp;

pub(super) use glob::{Glob, clean};
pub use patterns::{IgnoreVerdict, MatchInfo, Pattern, PatternError, Patterns, parse_ignore_file};
