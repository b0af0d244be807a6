//! The schedule of a build: each job with its engine, and the jobs that it builds on.

pub(super) mod assign;
pub(super) mod create;
pub(super) mod engines;
pub(super) mod goal;
mod home;
pub(super) mod names;
pub(super) mod order;
pub(super) mod reach;
