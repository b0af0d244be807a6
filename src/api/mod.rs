//! Builders for programs that use polyarch as a library.
//!
//! The constructor of a builder takes the input of the run. Each setting with a default has a method. `run` does the work.
//! The functions of [`crate::run`] do the same with everything in their arguments.

mod access;
mod build;
mod copy;
pub mod event;
mod join;
mod read;
mod record;
pub mod report;
mod setters;

pub use access::Access;
pub use build::Build;
pub use copy::Copy;
pub use join::Join;
pub use read::{Inspect, Verify};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::LocatedReference;
    use crate::plan::{Environment, Facts, Overrides, SourceText, resolve};

    fn is_send<T: Send>(_: &T) {}

    #[test]
    fn futures_of_all_builders_can_be_spawned() {
        let text = "version: 1\nimages: { web: { tags: [a], platforms: [linux/amd64] } }\n".to_owned();
        let source = SourceText { path: "build.yaml".into(), text };
        let plan = resolve(&source, &Environment::new(), &Facts::new(), &Overrides::default()).unwrap();
        let reference: LocatedReference = "ghcr.io/acme/web:1.0".parse().unwrap();
        is_send(&Build::new(plan.clone()).run());
        is_send(&Join::plan(plan).run());
        is_send(&Join::references(reference.clone(), [reference.clone()]).run());
        is_send(&Copy::new(reference.clone(), reference.clone()).run());
        is_send(&Verify::new(reference.clone()).run());
        is_send(&Inspect::new(reference).run());
    }
}
