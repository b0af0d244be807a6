//! The tests on real engines and real registries.
