//! The command line: what a user types and what a user sees.

mod args;
mod audience;
mod backlog;
mod build;
mod check;
mod clean;
mod copy;
mod diagnostic;
mod digest;
mod doctor;
mod dry_run;
mod edit;
mod ending;
mod exit;
mod files;
mod habits;
mod images;
mod inspect;
mod join;
mod load;
mod matrix;
mod notices;
mod output;
mod plan;
mod prune;
mod reach;
mod repositories;
mod serve;
mod settings;
mod signals;
mod start;
mod stderr;
mod stdout;
mod verify;

pub(crate) use exit::INTERNAL;
pub(crate) use start::start;
