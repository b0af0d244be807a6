//! The programs that start polyarch for a user: the docker CLI, and shells that complete a command line.

pub(super) mod docker;
pub(super) mod shells;
