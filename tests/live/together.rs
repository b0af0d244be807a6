//! Runs of one plan at once: on one engine, with one registry. None fails that would not fail alone.
//!
//! `POLYARCH_TEST_TOGETHER="50 10 5"` is how often two, four and eight of them run.

use std::path::Path;
use std::time::Duration;

use futures::future::join_all;
use rustix::process::Signal;

use crate::project::{Project, crane};
use crate::support::distribution::{Distribution, Setup};
use crate::support::engines::Engine;
use crate::support::parts::{self, LIMIT};
use crate::support::program::{Finished, Home};

on_both_engines!(
    concurrent_runs_with_the_embedded_registry_all_succeed,
    concurrent_runs_with_one_registry_all_succeed,
    concurrent_runs_leave_no_temporary_image_names,
    pushes_survive_a_killed_embedded_registry_holder,
    pushes_survive_the_end_of_the_embedded_registry_holder,
);

/// How many run at once, and how often.
fn races() -> [(usize, usize); 3] {
    let said = std::env::var("POLYARCH_TEST_TOGETHER").unwrap_or_else(|_| "5 2 1".to_owned());
    let mut counts = said.split_whitespace().map(|count| count.parse().unwrap());
    [2, 4, 8].map(|runs| (runs, counts.next().unwrap()))
}

/// A plan that nobody built yet, without a registry.
fn new_plan(engine: &Engine) -> Project {
    let project = Project::new(engine.clone(), "together");
    project.busybox(&format!("LABEL of={}\n", project.name));
    project.plan("local", "platforms: [linux/amd64, linux/arm64]");
    let text = std::fs::read_to_string(project.path("build.yaml")).unwrap();
    project.write("build.yaml", text.replace("registry: local\n", ""));
    project
}

async fn at_once(project: &Project, runs: usize, args: &[&str]) -> Vec<Finished> {
    join_all((0..runs).map(|_| project.run(args))).await
}

/// Names on the engine that are a run's own, of the project's image.
async fn own_names(project: &Project) -> Vec<String> {
    let listed = parts::printed(&project.engine.docker(["images", "--format={{.Repository}}:{{.Tag}}"]).await);
    let ours = listed.lines().filter(|name| name.contains(&project.name) && name.contains(":polyarch-run-"));
    ours.map(str::to_owned).collect()
}

#[expect(clippy::print_stdout, reason = "how much was tried, for who asked for more")]
async fn race(engine: &Engine, registry: Option<&Distribution>) {
    for (runs, rounds) in races() {
        for round in 0..rounds {
            let project = new_plan(engine);
            let registry = registry.map(|registry| registry.address().to_string());
            let args = registry.iter().flat_map(|address| ["--registry", address.as_str()]);
            let args: Vec<_> = ["build"].into_iter().chain(args).collect();
            let ended = at_once(&project, runs, &args).await;
            let published = ended[0].stdout.clone();
            for run in ended {
                let run = run.expect_code(0);
                assert_eq!(run.stdout, published, "round {round} of {runs}");
            }
            assert_eq!(own_names(&project).await, Vec::<String>::new());
        }
        println!("{rounds} races of {runs}, {}: every run ended with 0", engine.host);
    }
}

async fn concurrent_runs_with_the_embedded_registry_all_succeed(engine: Engine) {
    race(&engine, None).await;
}

async fn concurrent_runs_with_one_registry_all_succeed(engine: Engine) {
    race(&engine, Some(&Distribution::start(Setup::Plain))).await;
}

async fn concurrent_runs_leave_no_temporary_image_names(engine: Engine) {
    let project = new_plan(&engine);
    let platform = if engine.host == Engine::new().host { "linux/amd64,linux/arm64" } else { "linux/amd64" };
    for args in [&["build", "--load", "--platform", platform][..], &["build", "--no-push"]] {
        for run in at_once(&project, 4, args).await {
            run.expect_code(0);
        }
    }
    let run = ["run", "--rm", "--network=none", &format!("{}:1.0", project.name), "/bin/busybox", "uname", "-m"];
    assert_eq!(parts::printed(&project.engine.docker(run).await), "x86_64");

    // Two commits of one image at once, which share nothing but names: each has pushed what it built.
    let registry = Distribution::start(Setup::Plain);
    let differing = join_all(["a", "b", "c", "d"].map(async |commit| {
        let mut other = Project::new(engine.clone(), "differs");
        other.name.clone_from(&project.name);
        other.busybox(&format!("LABEL of={} commit={commit}\n", project.name));
        other.plan(registry.address(), "platforms: [linux/amd64, linux/arm64]");
        let text = std::fs::read_to_string(other.path("build.yaml")).unwrap();
        // Only the arch tags are shared.
        let own = format!("[\"{commit}\"]\n    arch_tag: \"every-${{arch}}\"");
        other.write("build.yaml", text.replace("[\"1.0\", latest]", &own));
        other.run(&["build"]).await.expect_code(0);
        let reference = other.reference(registry.address(), commit);
        for platform in ["linux/amd64", "linux/arm64"] {
            let config = crane(&["config", "--platform", platform, &reference]).await;
            assert!(config.contains(&format!("\"commit\":\"{commit}\"")), "{commit} {platform}: {config}");
        }
    }));
    differing.await;
    assert_eq!(own_names(&project).await, Vec::<String>::new());
}

/// The largest upload that is under way in the embedded registry, in bytes.
fn uploading(home: &Home) -> u64 {
    let uploads = std::fs::read_dir(home.polyarch().join("registry/uploads"));
    let files = uploads.into_iter().flatten().flatten();
    files.filter_map(|file| file.metadata().ok()).map(|file| file.len()).max().unwrap_or_default()
}

/// Bytes that no compression makes fewer, and that no earlier test pushed.
fn write_noise(path: &Path, bytes: u64) {
    let mut noise = std::io::Read::take(std::fs::File::open("/dev/urandom").unwrap(), bytes);
    std::io::copy(&mut noise, &mut std::fs::File::create(path).unwrap()).unwrap();
}

/// A run pushes a large layer to the registry that another process holds. Meanwhile `signal` ends that process.
async fn holder_ends(engine: Engine, signal: Signal) {
    let project = Project::new(engine, "holder");
    write_noise(&project.path("context/noise"), 192 << 20);
    project.write("context/Dockerfile", "FROM scratch\nCOPY noise /\n");
    let name = &project.name;
    let plan = format!("version: 1\nimages:\n  {name}: {{ context: context, tags: [x], platforms: [linux/amd64] }}\n");
    project.write("build.yaml", plan);
    let mut holding = project.start(&["serve"]);
    let address = holding.stdout_line("127.0.0.1:").await.trim().to_owned();
    let building = project.start(&["build"]);
    parts::eventually("an upload is under way", LIMIT, || uploading(&project.home) > 8 << 20).await;
    holding.signal(signal);
    let ended = holding.finish().await;
    assert_eq!(ended.code(), if signal == Signal::KILL { 137 } else { 0 }, "{}", ended.stderr);
    let built = building.finish().await.expect_code(0);
    assert!(built.stdout.starts_with(&address), "the port stays: {}", built.stdout);
    project.run(&["verify", &project.name]).await.expect_code(0);
    let store = project.home.polyarch().join("registry");
    parts::eventually("no upload is left", Duration::from_secs(10), || uploading(&project.home) == 0).await;
    assert!(store.join("blobs/sha256").is_dir());
}

async fn pushes_survive_a_killed_embedded_registry_holder(engine: Engine) {
    holder_ends(engine, Signal::KILL).await;
}

async fn pushes_survive_the_end_of_the_embedded_registry_holder(engine: Engine) {
    holder_ends(engine, Signal::TERM).await;
}
