//! The embedded registry: OCI distribution on loopback, so that a plan works before a registry is named.
