//! Reads the command line, runs the command and shows the result.

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
mod help;
#[cfg(test)]
mod help_page;
mod images;
mod inspect;
mod join;
mod load;
mod matrix;
mod notices;
mod output;
mod plan;
mod platforms;
mod prune;
mod reach;
mod repositories;
mod schema;
mod serve;
mod settings;
mod shell;
mod signals;
mod start;
mod stderr;
mod stdout;
mod verify;

pub(crate) use exit::INTERNAL;
pub(crate) use start::start;
