//! The programs of `examples` on real engines and a real registry.

use crate::project::{Project, crane};
use crate::support::distribution::{Distribution, Setup};
use crate::support::engines::Engine;

#[expect(dead_code, reason = "`main` is for a terminal")]
#[path = "../../examples/build.rs"]
mod build;
#[expect(dead_code, reason = "`main` is for a terminal")]
#[path = "../../examples/join.rs"]
mod join;

on_both_engines!(examples_build_a_plan_and_join_its_images);

async fn examples_build_a_plan_and_join_its_images(engine: Engine) {
    let registry = Distribution::start(Setup::Plain);
    let host = engine.host.clone();
    let project = Project::new(engine, "library");
    project.busybox(&format!("LABEL of={}\n", project.name));
    project.plan(registry.address(), "platforms: [linux/amd64, linux/arm64]");

    let built = build::build(&project.path("build.yaml"), host.parse().unwrap()).await.unwrap();
    assert_eq!(built.exit_code(), 0, "{built:#?}");
    let index = built.verified().next().unwrap();

    let at = |tag: &str| project.reference(registry.address(), tag);
    let joined = join::join(&at("joined"), &[at("1.0-amd64"), at("1.0-arm64")]).await.unwrap();
    assert_eq!(joined.exit_code(), 0, "{joined:#?}");
    assert_eq!(joined.verified().next().unwrap().digest, index.digest);
    assert_eq!(crane(&["digest", &at("joined")]).await, index.digest.to_string());
}
