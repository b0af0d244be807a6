//! The integration tests that need loopback and the disk, and nothing else.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot go on says so by panicking, and what it measured by printing"
)]

mod architecture;
mod beginnings;
mod cleaning;
mod cli;
mod copying;
mod docs;
mod ecr;
mod embedded_registry;
mod examples;
mod faults;
mod fixtures;
mod images;
mod importing;
mod installing;
mod language;
mod layers;
mod library;
mod messages;
mod overrides;
mod packaging;
mod plans;
mod pruning;
mod readme;
mod registry_conformance;
mod registry_faults;
mod schemas;
mod scripted_ecr;
mod support;
mod tagging;
mod verifying;
