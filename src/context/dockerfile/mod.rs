//! Reads the text of a Dockerfile: its instructions, its stages and the images that a build of it reads.

mod bases;
mod here;
mod instructions;
mod stages;
mod variables;

pub use bases::{Base, BaseQuery, NamedSource, Role, bases, copies_everything, named_sources};
pub(super) use instructions::{Instruction, instructions};
pub use instructions::{lines_of_control_characters, lines_of_step};
pub use stages::{
    AddedLines, AddedStages, StageError, StageName, StageNameError, Staged, add_stages, can_have_stages, stages_of,
};
