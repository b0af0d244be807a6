//! The limits for single steps of a request.

use std::time::Duration;

/// The limits for single steps of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// TCP and TLS together.
    pub connect: Duration,
    /// From the request, with its content, to the head of the response.
    pub headers: Duration,
    /// From one part of a body to the next. After its first minute, a body must also arrive at 1 KiB/s or more.
    pub idle: Duration,
}

impl Timeouts {
    /// Limits that suit registries: 10 s, 30 s, 30 s.
    pub const STANDARD: Self =
        Self { connect: Duration::from_secs(10), headers: Duration::from_secs(30), idle: Duration::from_secs(30) };
}
