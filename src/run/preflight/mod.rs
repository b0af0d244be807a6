//! The request for a build, and the checks before anything starts. `command` has one function for each command.

pub(super) mod agents;
pub(super) mod bases;
mod cautions;
pub(super) mod command;
pub(super) mod dockerfile;
pub(super) mod inputs;
pub(super) mod nearby;
pub(super) mod repositories;
pub(super) mod request;
pub(super) mod routes;
pub(super) mod secrets;
pub(super) mod sources;
mod warnings;
pub(super) mod withheld;
