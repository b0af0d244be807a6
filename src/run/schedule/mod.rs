//! The schedule of a build: each job with its engine, and the jobs that it builds on.

pub(super) mod assign;
pub(super) mod candidate;
pub(super) mod create;
pub(super) mod dispatcher;
pub(super) mod engines;
pub(super) mod goal;
pub(super) mod names;
pub(super) mod order;
pub(super) mod reach;
pub(super) mod scheduled;
