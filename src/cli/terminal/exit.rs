//! Names the exit codes that belong to no phase.

use std::process::ExitCode;

/// Everything was done and verified.
pub(crate) const OK: u8 = 0;
/// Bad usage, plan or context.
pub(crate) const USAGE: u8 = 2;
/// A fault in polyarch.
pub(crate) const INTERNAL: u8 = 70;
/// The end of `--timeout`, `--wait` or `timeout:`.
pub(crate) const TIMEOUT: u8 = 124;

/// The end of a command that printed its messages already.
pub(crate) fn code(code: u8) -> ExitCode {
    ExitCode::from(code)
}
