//! Reads the build context: the files of a directory without those in `.dockerignore`, in the order that `BuildKit`
//! requires.
//!
//! All functions are synchronous, so callers run them where blocking is allowed. Open a directory with [`Root::open`].
//! Walk it with [`Root::walk`] and the [`Selection`] of the receiver. Open the requested entries with
//! [`Root::open_file`]. No file outside of the root is ever opened, even if another program replaces files by symbolic
//! links during the walk.

mod dockerfile;
mod entry;
mod error;
mod filter;
mod follow;
mod frontend;
mod given;
mod ignore;
mod ignore_file;
mod memory;
mod open;
mod root;
#[cfg(test)]
mod testing;
mod walk;

pub use dockerfile::{
    AddedLines, AddedStages, Base, BaseQuery, NamedSource, Role, StageError, StageName, StageNameError, Staged,
    add_stages, bases, can_have_stages, copies_everything, lines_of_control_characters, lines_of_step, named_sources,
    stages_of,
};
pub use entry::{ContextEntry, EntryKind};
pub use error::{ContextError, IgnoreFileFault};
pub use filter::Selection;
pub use frontend::is_dockers_frontend;
pub use given::{GivenDockerfile, dockerfile_at};
pub use ignore::{IgnoreVerdict, MatchInfo, Pattern, PatternError, Patterns, parse_ignore_file};
pub use ignore_file::{IgnoreFile, MAX_IGNORE_FILE_BYTES};
pub use open::{MAX_DOCKERFILE_BYTES, OpenFile};
pub use root::Root;
pub use walk::Walk;
