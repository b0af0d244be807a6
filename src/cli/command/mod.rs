//! The commands of polyarch.

pub(super) mod build;
pub(super) mod check;
pub(super) mod clean;
pub(super) mod copy;
pub(super) mod digest;
pub(super) mod doctor;
pub(super) mod dry_run;
pub(super) mod engines;
pub(super) mod images;
pub(super) mod init;
pub(super) mod inspect;
pub(super) mod join;
pub(super) mod matrix;
pub(super) mod plan;
pub(super) mod prune;
pub(super) mod schema;
pub(super) mod serve;
pub(super) mod shell;
pub(super) mod verify;
