//! The build context, read only: what `.dockerignore` leaves of a directory, in the order that `BuildKit` wants.
//!
//! Synchronous: a caller runs it where blocking is allowed. [`Root::open`] a directory, [`Root::walk`] it with the
//! [`Selection`] that the receiver sent, and [`Root::open_file`] the entries whose content it asks for. Nothing
//! outside of the root is opened, whatever is swapped for a symbolic link meanwhile.

mod bases;
mod dockerfile;
mod entry;
mod error;
mod filter;
mod follow;
mod frontend;
mod glob;
mod here;
mod ignore;
mod ignore_file;
mod instructions;
mod memory;
mod open;
mod regexp;
mod root;
mod stages;
#[cfg(test)]
mod testing;
mod variables;
mod walk;

pub use bases::{Base, BaseQuery, NamedSource, Role, bases, copies_everything, named_sources};
pub use dockerfile::{GivenDockerfile, dockerfile_at};
pub use entry::{Entry, Kind};
pub use error::{ContextError, IgnoreFileFault};
pub use filter::Selection;
pub use frontend::is_dockers_frontend;
pub use ignore::{MatchInfo, Pattern, PatternError, Patterns, Verdict, parse_ignore_file};
pub use ignore_file::{IgnoreFile, MAX_IGNORE_FILE_BYTES};
pub use instructions::{lines_of_control_characters, lines_of_step};
pub use open::{MAX_DOCKERFILE_BYTES, OpenFile};
pub use root::Root;
pub use stages::{
    AddedLines, AddedStages, StageError, StageName, StageNameError, Staged, add_stages, can_have_stages, stages_of,
};
pub use walk::Walk;
