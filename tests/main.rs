//! The integration tests that need loopback and the disk, and nothing else.

mod support;
