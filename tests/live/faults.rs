//! An engine that dies, a disk that is full, a person who has enough: told clearly, and no final tag moves.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::project::{Project, crane};
use crate::support::distribution::{Distribution, Setup};
use crate::support::engines::{Engine, PrivateEngine};
use crate::support::parts;
use crate::support::program::Running;

on_both_engines!(
    stopped_run_ends_its_steps_on_the_engine,
    frozen_engine_does_not_block_a_stop_or_the_next_run,
    killed_engine_moves_no_tag_and_the_next_run_converges,
    full_disk_of_the_engine_is_reported,
    failed_build_shows_step_lines_and_a_hint,
);

const TWO_PLATFORMS: &str = "platforms: [linux/amd64, linux/arm64]";

/// A step that says that it runs, and runs until it is ended. Its name is in its command line.
fn endless(project: &Project) -> String {
    let name = &project.name;
    let script = format!("echo up; while :; do /bin/busybox sleep 1000; done # {name}-endless");
    format!("RUN [\"/bin/busybox\", \"sh\", \"-c\", \"{script}\"]\n")
}

/// Waits until both platforms run [`endless`].
async fn both_run(project: &Project, building: &mut Running) {
    for platform in ["linux/amd64", "linux/arm64"] {
        building.stderr_line(&format!("{} {platform} │ up", project.name)).await;
    }
}

async fn published(project: &Project, registry: &Distribution) -> String {
    crane(&["digest", &project.reference(registry.address(), "1.0")]).await
}

async fn stopped_run_ends_its_steps_on_the_engine(engine: Engine) {
    let registry = Distribution::start(Setup::Plain);
    let project = Project::new(engine, "ended");
    project.busybox("");
    project.plan(registry.address(), TWO_PLATFORMS);
    project.build(&[]).await;
    let before = published(&project, &registry).await;

    project.busybox(&endless(&project));
    for (signal, code, said) in
        [(Signal::INT, 130, "interrupted"), (Signal::TERM, 143, "terminated"), (Signal::KILL, 137, "")]
    {
        let mut building = project.start(&["build"]);
        both_run(&project, &mut building).await;
        assert!(processes(&project) >= 2, "the steps' processes are not seen from here");
        let asked = Instant::now();
        building.signal(signal);
        let ended = building.finish().await.expect_code(code);
        assert!(asked.elapsed() < Duration::from_secs(5), "it took {:?}", asked.elapsed());
        assert!(ended.stderr.contains(said) && ended.stdout.is_empty(), "{}", ended.stderr);
        let left = Duration::from_secs(10).saturating_sub(asked.elapsed());
        parts::eventually("no step runs on the engine", left, || processes(&project) == 0).await;
        assert_eq!(published(&project, &registry).await, before);
    }
}

async fn frozen_engine_does_not_block_a_stop_or_the_next_run(engine: Engine) {
    let private = PrivateEngine::start(&engine, "frozen").await;
    let project = Project::new(private.engine.clone(), "frozen");
    project.busybox(&endless(&project));
    project.plan("local", TWO_PLATFORMS);
    let mut building = project.start(&["build"]);
    both_run(&project, &mut building).await;
    private.signal(Signal::STOP);
    let asked = Instant::now();
    building.signal(Signal::INT);
    building.finish().await.expect_code(130);
    assert!(asked.elapsed() < Duration::from_secs(5), "it took {:?}", asked.elapsed());
    let refused = project.run(&["build"]).await.expect_code(3);
    assert!(refused.stderr.contains("the engine did not answer within 10 s"), "{}", refused.stderr);
    private.signal(Signal::CONT);
    project.busybox("");
    project.build(&[]).await;
}

/// Processes of this machine, in containers too, that run [`endless`].
fn processes(project: &Project) -> usize {
    let marker = format!("{}-endless", project.name);
    let command = |entry: fs::DirEntry| fs::read(entry.path().join("cmdline")).ok();
    let commands = fs::read_dir("/proc").unwrap().filter_map(|entry| command(entry.ok()?));
    commands.filter(|command| String::from_utf8_lossy(command).contains(&marker)).count()
}

async fn killed_engine_moves_no_tag_and_the_next_run_converges(engine: Engine) {
    let private = PrivateEngine::start(&engine, "killed").await;
    let registry = Distribution::start(Setup::Plain);
    let project = Project::new(private.engine.clone(), "killed");
    project.busybox("");
    project.plan(registry.address(), TWO_PLATFORMS);
    project.build(&[]).await;
    let before = published(&project, &registry).await;

    project.busybox(&endless(&project));
    let mut building = project.start(&["build"]);
    both_run(&project, &mut building).await;
    let killed = Instant::now();
    private.signal(Signal::KILL);
    let failed = building.finish().await.expect_code(4);
    assert!(killed.elapsed() < Duration::from_secs(10), "it took {:?} to notice", killed.elapsed());
    for text in ["the connection to the engine was lost", "the engine's log", "not moved"] {
        assert!(failed.stderr.contains(text), "no {text:?} in\n{}", failed.stderr);
    }
    assert!(failed.stdout.is_empty());
    assert_eq!(published(&project, &registry).await, before);
    // Without an engine nothing is started.
    let refused = project.run(&["build"]).await.expect_code(3);
    assert!(refused.stderr.contains("start Docker"), "{}", refused.stderr);

    private.restart().await;
    project.busybox("LABEL after=death\n");
    project.build(&[]).await;
    assert_ne!(published(&project, &registry).await, before);
}

async fn full_disk_of_the_engine_is_reported(engine: Engine) {
    let private = PrivateEngine::start_on_a_disk_of("64m", &engine, "full").await;
    let project = Project::new(private.engine.clone(), "full");
    project.busybox("COPY large /large\n");
    project.plan("local", TWO_PLATFORMS);
    File::create(project.context().join("large")).unwrap().set_len(100 << 20).unwrap();
    let failed = project.run(&["build"]).await.expect_code(4);
    for text in ["no space left on device", "free space on the engine's disk"] {
        assert!(failed.stderr.contains(text), "no {text:?} in\n{}", failed.stderr);
    }
}

/// The platform of each image is the engine's own: nothing is emulated.
async fn failed_build_shows_step_lines_and_a_hint(engine: Engine) {
    let registry = Distribution::start(Setup::Plain);
    let project = Project::new(engine, "broken");
    project.plan(registry.address(), "platforms: [linux/amd64]");
    project.busybox("");
    project.write("context/run.sh", "echo hello\n");
    fs::set_permissions(project.context().join("run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    let copy = "COPY busybox-amd64 /bin/sh\n";
    let cases: [(String, &[&str]); 5] = [
        (
            format!("FROM scratch\n{copy}RUN echo to stdout; \\\n    echo to stderr >&2; exit 3\n"),
            &[
                "ended with exit code 3\n",
                "Dockerfile:3\n",
                " 4 | >     echo to stderr",
                "  to stdout\n",
                "  to stderr\n",
            ],
        ),
        (
            format!("FROM scratch\n{copy}COPY src/app.conf /etc/\n"),
            &["`src/app.conf` does not exist in the context", " 3 | > COPY src/app.conf", ".dockerignore"],
        ),
        (
            format!("FROM scratch AS build\n{copy}FROM scratch\nCOPY --from=build /out/app /app\n"),
            &["`out/app` does not exist in `build`", " 4 | > COPY --from=build", "or create the file in `build`"],
        ),
        (
            format!("FROM scratch\n{copy}COPY run.sh /\nRUN [\"/run.sh\"]\n"),
            &["exec format error", " 4 | > RUN [\"/run.sh\"]", "begin a script with `#!/bin/sh`"],
        ),
        (format!("FROM scratch\n{copy}RNU make\n"), &["line 3: unknown instruction: RNU", "correct the line"]),
    ];
    for (dockerfile, texts) in cases {
        project.write("context/Dockerfile", &dockerfile);
        let failed = project.run(&["build", "--progress", "plain"]).await.expect_code(4);
        let (_, ending) = failed.stderr.split_once("\nerror: ").expect("there is an error");
        for text in texts {
            assert!(ending.contains(text), "{text:?} is not in\n{ending}");
        }
        assert!(!ending.contains("install emulation") && !ending.contains("/var/lib"), "{ending}");
    }
}
