//! What `RUN` steps find around them, and which stages the cache is not used for.

use crate::project::{BUSYBOX, Project};
use crate::support::distribution::{Distribution, Setup};
use crate::support::engines::Engine;
use crate::support::parts;
use crate::support::program::Finished;

on_both_engines!(extra_hosts_are_known_to_steps, no_cache_filter_reruns_only_the_named_stage);

/// Whether a step printed exactly `said` on `platform`.
fn printed(built: &Finished, platform: &str, said: &str) -> bool {
    built.stderr.lines().any(|line| line.contains(&format!(" {platform} ")) && line.ends_with(said))
}

/// A step that echoes `words` for the shell. Its comment keeps it out of what other tests left in the cache.
fn echo(project: &Project, words: &str) -> String {
    format!("RUN [\"/bin/busybox\", \"sh\", \"-c\", \"echo {words} # {}\"]\n", project.name)
}

const HOSTS: &str = "\
extra_hosts: [\"db.internal:10.0.0.5\", \"db.internal:fd00::5\"]
platforms:
  linux/amd64:
  linux/arm64: { extra_hosts: { db.internal: 10.0.0.6 } }
";

async fn extra_hosts_are_known_to_steps(engine: Engine) {
    let registry = Distribution::start(Setup::Plain);
    let project = Project::new(engine, "hosts");
    project.busybox(&echo(&project, "knows $(/bin/busybox awk '/db.internal/ {print $1}' /etc/hosts)."));
    project.plan(registry.address(), HOSTS);
    let built = project.run(&["build"]).await.expect_code(0);
    assert!(printed(&built, "linux/amd64", "knows 10.0.0.5 fd00::5."), "{}", built.stderr);
    assert!(printed(&built, "linux/arm64", "knows 10.0.0.6."), "{}", built.stderr);
}

const STAGES: &str = "\
platforms:
  linux/amd64: { no_cache_filter: [Again] }
  linux/arm64:
";

async fn no_cache_filter_reruns_only_the_named_stage(engine: Engine) {
    let registry = Distribution::start(Setup::Plain);
    let project = Project::new(engine, "stages");
    parts::add_busybox(&project.context());
    let kept = BUSYBOX.replace("FROM scratch", "FROM scratch AS kept");
    let (first, second) = (echo(&project, "this is kept."), echo(&project, "this is again."));
    project.write("context/Dockerfile", format!("{kept}{first}FROM kept AS again\n{second}"));
    project.plan(registry.address(), STAGES);
    project.run(&["build"]).await.expect_code(0);
    let rebuilt = project.run(&["build"]).await.expect_code(0);
    for (platform, said, run) in [
        ("linux/amd64", "this is kept.", false),
        ("linux/amd64", "this is again.", true),
        ("linux/arm64", "this is kept.", false),
        ("linux/arm64", "this is again.", false),
    ] {
        assert_eq!(printed(&rebuilt, platform, said), run, "{platform} {said}\n{}", rebuilt.stderr);
    }
}

const LIMITS: &str = "\
shm_size: 32m
ulimits: { nofile: { soft: 1000, hard: 2000 } }
platforms:
  linux/amd64:
  linux/arm64: { shm_size: 1048576, ulimits: { nofile: 500 } }
";
const LOOK: &str = "shm $(/bin/busybox df -k /dev/shm | /bin/busybox awk 'END {print $2}') \
    files $(ulimit -Sn):$(ulimit -Hn).";

#[tokio::test]
async fn shm_size_and_ulimits_apply_per_platform() {
    let registry = Distribution::start(Setup::Plain);
    let project = Project::new(Engine::new(), "limits");
    project.busybox(&echo(&project, LOOK));
    project.plan(registry.address(), LIMITS);
    let built = project.run(&["build"]).await.expect_code(0);
    assert!(printed(&built, "linux/amd64", "shm 32768 files 1000:2000."), "{}", built.stderr);
    assert!(printed(&built, "linux/arm64", "shm 1024 files 500:500."), "{}", built.stderr);
}

#[tokio::test]
async fn steps_run_under_the_planned_cgroup() {
    let registry = Distribution::start(Setup::Plain);
    let project = Project::new(Engine::new(), "cgroup");
    project.busybox(&echo(&project, "in $(/bin/busybox tail -n 1 /proc/self/cgroup)."));
    // The name of a slice, for engines whose cgroups are systemd's.
    project.plan(registry.address(), "platforms: [linux/amd64]\ncgroup_parent: polyarchtest.slice");
    let built = project.run(&["build"]).await.expect_code(0);
    // In a cgroup namespace a step sees its own group as the root: there it is proof enough that the engine took it.
    let found = built.stderr.contains("/polyarchtest.slice/") || printed(&built, "linux/amd64", "in 0::/.");
    assert!(found, "{}", built.stderr);
}

#[tokio::test]
async fn limits_are_refused_on_an_engine_that_ignores_them() {
    let registry = Distribution::start(Setup::Plain);
    let project = Project::new(Engine::old(), "refused");
    project.busybox("");
    project.plan(registry.address(), LIMITS);
    let refused = project.run(&["build"]).await.expect_code(3);
    for platform in ["linux/amd64", "linux/arm64"] {
        let words =
            format!("cannot build {} {platform} with `shm_size`, `ulimits`: its BuildKit is too old", project.name);
        assert!(refused.stderr.contains(&words), "{words}:\n{}", refused.stderr);
    }
}
