//! The request for a build, its engines, and the checks before anything starts.

pub(super) mod agents;
pub(super) mod assign;
pub(super) mod cautions;
pub(super) mod dockerfile;
pub(super) mod engines;
pub(super) mod goal;
pub(super) mod inputs;
pub(super) mod nearby;
pub(super) mod repositories;
pub(super) mod request;
pub(super) mod secrets;
pub(super) mod warnings;
pub(super) mod withheld;
