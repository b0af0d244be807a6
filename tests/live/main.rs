//! The tests on real engines and real registries.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on says so by panicking"
)]

#[macro_use]
mod project;

mod attesting;
mod bare_buildkit;
mod bases;
mod beginning;
mod caching;
mod checking;
mod ci;
mod cleaning;
mod contexts;
mod copies;
mod editing;
mod embedded;
mod endpoints;
mod endurance;
mod exporting;
mod faults;
mod fleet;
mod gates;
mod graph;
mod importing;
mod inputs;
mod interop;
mod joining;
mod killing;
mod layouts;
mod library;
mod loading;
mod lost;
mod over_ssh;
mod platforms;
mod plugin;
mod reading;
mod readme;
mod refused;
mod repeated;
mod sandbox;
mod secrets;
mod seeds;
mod split;
mod ssh;
#[path = "../support/mod.rs"]
mod support;
mod testbed;
mod together;
mod unreached;
mod untagged;
