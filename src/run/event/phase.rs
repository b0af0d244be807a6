//! The phases of a run.

use serde::Serialize;

/// The phases of a run. If several failures occur, the earliest phase decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Phase {
    /// Usage, plan or context (exit code 2).
    Plan,
    /// An engine, a registry or a credential cannot be used. No build started (3).
    Preflight,
    /// A build failed (4).
    Build,
    /// A push failed (5).
    Push,
    /// Join or publish failed (6).
    Publish,
    /// A verification failed, or polyarch refused unsafe content (7).
    Verify,
    /// A time limit of polyarch expired (124).
    Timeout,
    /// A fault of polyarch (70).
    Internal,
}
