//! Reads the build context: the files of a directory without those in `.dockerignore`, in the order that `BuildKit`
//! requires.
//!
//! All functions are synchronous, so callers run them where blocking is allowed. Open a directory with [`Root::open`].
//! Walk it with [`Root::walk`] and the [`Selection`] of the receiver. Open the requested entries with
//! [`Root::open_file`]. No file outside of the root is ever opened, even if another program replaces files by symbolic
//! links during the walk.

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
