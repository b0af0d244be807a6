//! The exit codes that are not a phase's.

use std::process::ExitCode;

/// Everything was done and verified.
pub(crate) const OK: u8 = 0;
/// Bad usage, plan or context.
pub(crate) const USAGE: u8 = 2;
/// A fault of ours.
pub(crate) const INTERNAL: u8 = 70;
/// A timeout of ours.
pub(crate) const TIMEOUT: u8 = 124;

/// A command's end that was already told to the user, or has nothing to tell.
pub(crate) fn code(code: u8) -> ExitCode {
    ExitCode::from(code)
}
