//! The library as another program uses it: its builders, and the programs of `examples`.

use std::fs;

use polyarch::event::{Event, ImageEvent};
use polyarch::oci::LocatedReference;
use polyarch::plan::{Environment, Facts, Overrides, Plan, SourceText, resolve};
use polyarch::report::Outcome;
use polyarch::{Build, Cause, Copy, Inspect, Join, Phase, Reason, Shutdown, Verify};

use crate::faults::world::{HELLO, World};
use crate::support::images::{Document, Image};
use crate::support::scripted_engine::Script;

#[expect(dead_code, reason = "`main` is for a terminal")]
#[path = "../examples/inspect.rs"]
mod inspect;
#[expect(dead_code, reason = "`main` is for a terminal")]
#[path = "../examples/plan.rs"]
mod plan;

fn parsed(text: &str) -> LocatedReference {
    text.parse().unwrap()
}

fn resolved(text: String, world: &World) -> Plan {
    let source = SourceText { path: world.home.path().join("build.yaml"), text };
    resolve(&source, &Environment::new(), &Facts::new(), &Overrides::default()).unwrap()
}

/// An index of two platforms under `tag`, and its images under tags of their own.
fn push_index(world: &World, tag: &str) {
    let images = ["linux/amd64", "linux/arm64"].map(|platform| Image::oci(platform, tag));
    for (image, arch) in images.iter().zip(["amd64", "arm64"]) {
        world.store.push("web", &format!("{tag}-{arch}"), image);
    }
    world.store.put("web", tag, &Document::index_of(&images));
}

#[test]
fn plan_example_prints_each_job() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("build.yaml");
    fs::write(&path, format!("version: 1\n{HELLO}")).unwrap();
    assert_eq!(plan::jobs(&path).unwrap(), ["hello linux/amd64 1.0-amd64", "hello linux/arm64 1.0-arm64"]);
    fs::write(&path, "version: 1\nimages: {}\n").unwrap();
    assert!(plan::jobs(&path).is_err());
}

#[tokio::test]
async fn inspect_example_prints_each_platform() {
    let world = World::start(Script::default()).await;
    push_index(&world, "1.0");
    let reference = format!("{}/web:1.0", world.registry.host());
    let platforms = inspect::platforms(&reference).await.unwrap();
    assert_eq!(platforms.len(), 2, "{platforms:?}");
    assert!(platforms[0].starts_with("linux/amd64 sha256:") && platforms[1].starts_with("linux/arm64 sha256:"));
    let missing = inspect::platforms(&format!("{}/web:2.0", world.registry.host())).await.unwrap_err();
    assert!(missing.to_string().ends_with("web:2.0 does not exist"), "{missing}");
}

#[tokio::test]
async fn library_build_reports_the_verified_index() {
    let world = World::start(Script::default()).await;
    let plan = resolved(format!("version: 1\nregistry: {}\n{HELLO}", world.registry.host()), &world);
    let (seen, mut events) = tokio::sync::mpsc::unbounded_channel();
    let on_event = move |_, event: &Event| {
        if let Event::Image { what: ImageEvent::Tagged { tag, .. }, .. } = event {
            seen.send(tag.to_string()).unwrap();
        }
    };
    let building = Build::new(plan).engine(world.engine.host().parse().unwrap()).run_with(on_event);
    let report = tokio::spawn(building).await.unwrap();
    assert_eq!((report.exit_code(), report.run.outcome), (0, Outcome::Succeeded), "{report:#?}");
    assert_eq!(report.verified().count(), 1);
    let mut tags = Vec::new();
    while let Some(tag) = events.recv().await {
        tags.push(tag);
    }
    assert_eq!(tags, ["1.0", "latest"].map(|tag| format!("{}/hello:{tag}", world.registry.host())));
}

#[tokio::test]
async fn library_build_without_a_registry_is_refused() {
    let world = World::start(Script::default()).await;
    let plan = resolved(format!("version: 1\n{HELLO}"), &world);
    let report = Build::new(plan).engine(world.engine.host().parse().unwrap()).run().await;
    assert_eq!((report.exit_code(), report.run.exit_code), (2, 2));
    let failure = report.failures().next().unwrap();
    assert!(failure.phase == Phase::Plan && failure.message.contains("names no registry"), "{failure:?}");
}

#[tokio::test]
async fn library_build_that_is_stopped_first_sends_no_request() {
    let world = World::start(Script::default()).await;
    let plan = resolved(format!("version: 1\nregistry: {}\n{HELLO}", world.registry.host()), &world);
    let (stopper, shutdown) = Shutdown::new();
    stopper.stop("the user left");
    let building = Build::new(plan).engine("unix:///nowhere/engine.sock".parse().unwrap()).shutdown(shutdown);
    let report = building.run().await;
    assert_eq!((report.exit_code(), report.run.stopped.as_deref()), (1, Some("the user left")), "{report:#?}");
    assert_eq!(world.registry.lines(), Vec::<String>::new());
}

#[tokio::test]
async fn library_joins_copies_and_verifies_references() {
    let world = World::start(Script::default()).await;
    push_index(&world, "1.0");
    let at = |tag: &str| parsed(&format!("{}/web:{tag}", world.registry.host()));
    let joined = Join::references(at("new"), [at("1.0-amd64"), at("1.0-arm64")]).target(at("newer")).run().await;
    assert_eq!((joined.exit_code(), joined.verified().count()), (0, 1), "{joined:#?}");
    assert_eq!(world.put(), ["new", "newer"]);

    let platforms = ["linux/amd64", "linux/arm64"].map(|platform| platform.parse().unwrap());
    let verified = Verify::new(at("newer")).platforms(platforms.clone()).run().await.unwrap();
    assert_eq!(verified.entries.len(), 2);
    let fewer = Verify::new(at("newer")).platforms(platforms.into_iter().take(1)).run().await.unwrap_err();
    assert!(fewer.iter().all(|failure| failure.phase == Phase::Verify), "{fewer:?}");

    let layout = world.home.path().join("layout");
    let target = parsed(&format!("oci:{}:1.0", layout.display()));
    let copied = Copy::new(at("new"), target.clone()).run().await;
    assert_eq!(copied.exit_code(), 0, "{copied:#?}");
    let same = Verify::new(target).run().await.unwrap();
    assert_eq!(same.index.digest, verified.index.digest);
}

#[tokio::test]
async fn library_failures_have_a_typed_cause() {
    let world = World::start(Script::default()).await;
    push_index(&world, "1.0");
    let missing = Verify::new(parsed(&format!("{}/web:2.0", world.registry.host()))).run().await.unwrap_err();
    assert_eq!(missing[0].cause, Cause::Registry { reason: Reason::NotFound, status: Some(404) });
    let shown: Box<dyn std::error::Error> = missing[0].clone().into();
    assert_eq!(shown.to_string(), missing[0].message.as_str());

    let unreachable = Inspect::new(parsed("127.0.0.1:1/web:1.0")).run().await.unwrap_err();
    assert_eq!(unreachable[0].cause, Cause::Registry { reason: Reason::Unreachable, status: None });
    let absent = Inspect::new(parsed("oci:nowhere:1.0")).run().await.unwrap_err();
    assert_eq!(absent[0].cause, Cause::Layout(Reason::NotFound));

    let tagged = parsed(&format!("{}/web:1.0", world.registry.host()));
    let other = Verify::new(tagged).platforms(["linux/riscv64".parse().unwrap()]).run().await.unwrap_err();
    assert!(other.iter().all(|failure| failure.cause == Cause::Content), "{other:?}");

    let plan = resolved(format!("version: 1\nregistry: {}\n{HELLO}", world.registry.host()), &world);
    let report = Build::new(plan).engine("unix:///nowhere/engine.sock".parse().unwrap()).run().await;
    assert_eq!(report.failures().next().unwrap().cause, Cause::Engine(Reason::Unreachable));
    let waiting = Join::references(parsed("oci:nowhere"), []).run().await;
    assert_eq!(waiting.failures().next().unwrap().cause, Cause::Plan);
    assert!(!serde_json::to_string(&report).unwrap().contains("cause"), "the cause is not in JSON");
}

#[tokio::test]
async fn library_refuses_references_without_a_tag() {
    let world = World::start(Script::default()).await;
    push_index(&world, "1.0");
    let host = world.registry.host();
    let (tagged, bare) = (parsed(&format!("{host}/web:1.0")), parsed("oci:nowhere"));
    for report in [
        Join::references(bare.clone(), [tagged.clone()]).run().await,
        Join::references(tagged.clone(), []).run().await,
        Copy::new(tagged, bare).run().await,
    ] {
        assert_eq!(report.exit_code(), 2, "{report:#?}");
    }
    world.assert_untouched();
}
