//! The integration tests that need loopback and the disk, and nothing else.

#[cfg(test)]
mod registry_faults;
#[cfg(test)]
mod support;
