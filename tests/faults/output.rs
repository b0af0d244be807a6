//! F2, F3: outputs that are closed, full, or not read.

use std::fs;
use std::path::Path;

use super::world::{World, says};
use crate::support::program::{Finished, Run};
use crate::support::scripted_engine::Script;

/// The program started by a shell, which has it as `$0`.
async fn shell(world: &World, script: &str) -> Finished {
    let run = Run::of("/bin/bash", &world.home, ["-o", "pipefail", "-c", script, env!("CARGO_BIN_EXE_polyarch")]);
    run.env("DOCKER_HOST", world.engine.host()).finish().await
}

/// A build that writes more than any pipe holds.
fn talkative() -> Script {
    Script::default().solve(async |call| {
        for line in 0..20_000 {
            call.log(&format!("{line}: one more line of a talkative build, as long as such lines are\n"));
        }
        call.built()
    })
}

#[tokio::test]
async fn f2_nobody_needs_to_read_what_is_printed() {
    for script in [
        r#""$0" build >&-"#,
        r#""$0" build 2>&-"#,
        r#""$0" build >&- 2>&- <&-"#,
        r#""$0" build | true"#,
        r#""$0" build 2>&1 >/dev/null | true"#,
        r#""$0" build --progress json 2>&1 >/dev/null | head -1"#,
        r#""$0" build --format json | true"#,
    ] {
        let world = World::start(talkative()).await;
        let finished = shell(&world, script).await;
        assert_eq!(finished.code(), 0, "{script}\n{}", finished.stderr);
        assert!(!finished.stderr.contains("panicked"), "{script}\n{}", finished.stderr);
        assert_eq!(world.put(), ["1.0", "latest"], "{script}");
    }
}

#[tokio::test]
async fn f2_a_stderr_that_is_never_read_holds_nothing_up() {
    let world = World::start(talkative()).await;
    // The shell holds the pipe open and reads nothing of it.
    let finished = shell(&world, r#"mkfifo pipe; exec 4<>pipe; "$0" build 2>pipe"#).await.expect_code(0);
    assert!(finished.stdout.contains("/hello@sha256:"), "{}", finished.stdout);
    assert_eq!(world.put(), ["1.0", "latest"]);
}

#[tokio::test]
async fn f2_a_failure_with_a_stderr_that_is_never_read_still_ends() {
    let script = Script::default().solve(async |call| {
        for line in 0..20_000 {
            call.log(&format!("{line}: one more line of a talkative build, as long as such lines are\n"));
        }
        Err(tonic::Status::unknown("exit code: 2"))
    });
    let world = World::start(script).await;
    shell(&world, r#"mkfifo pipe; exec 4<>pipe; "$0" build 2>pipe"#).await.expect_code(4);
    world.assert_untouched();
}

/// The reader takes nothing until the build has failed: by then more waits than polyarch keeps.
#[tokio::test]
async fn a_slow_reader_loses_log_lines_and_nothing_else() {
    for (progress, lost, last) in
        [("plain", "lines of logs were not shown", "exit code 4"), ("json", "not_shown", r#""exit_code":4"#)]
    {
        let (failed, mut has_failed) = tokio::sync::mpsc::unbounded_channel();
        let script = Script::default().solve(move |call| {
            for line in 0..50_000 {
                call.log(&format!("{line}: one more line of a talkative build, as long as such lines are\n"));
            }
            failed.send(()).unwrap();
            std::future::ready(Err(tonic::Status::unknown("process \"/bin/make\" did not complete: exit code: 2")))
        });
        let world = World::start(script).await;
        let script = format!(
            r#"mkfifo pipe gate; exec 4<>pipe; "$0" build --progress {progress} 2>pipe & read <gate; cat pipe >&2 4>&- &
            reader=$!; exec 4>&-; wait -n %1; code=$?; wait $reader; exit $code"#
        );
        let gate = world.home.path().join("gate");
        let opened = async {
            has_failed.recv().await.unwrap();
            tokio::task::spawn_blocking(move || fs::write(gate, "go\n")).await.unwrap().unwrap();
        };
        let (finished, ()) = tokio::join!(shell(&world, &script), opened);
        let finished = finished.expect_code(4);
        says(&finished, &[lost, "exit code: 2", last]);
        let losses = finished.stderr.matches(lost).count();
        assert!(losses < 20, "{progress}: loss is said {losses} times");
        let ending = finished.stderr.lines().last().unwrap();
        assert!(ending.contains(last), "{progress}: {ending}");
    }
}

#[tokio::test]
async fn f2_results_that_cannot_be_written_are_no_success() {
    let world = World::start(Script::default()).await;
    let finished = shell(&world, r#""$0" build >/dev/full"#).await.expect_code(70);
    says(&finished, &["cannot write stdout", "No space left"]);
}

#[tokio::test]
async fn f3_a_report_that_cannot_be_written_is_no_success() {
    let world = World::start(Script::default()).await;
    let finished = shell(&world, r#""$0" build --report /dev/full"#).await.expect_code(70);
    says(&finished, &["cannot write the report", "/dev/full", "No space left"]);
    // All else is done, and said.
    assert!(finished.stdout.contains("/hello@sha256:"), "{}", finished.stdout);
    assert_eq!(world.put(), ["1.0", "latest"]);
}

#[tokio::test]
async fn f3_a_report_that_could_not_be_written_is_known_before_anything_is_built() {
    for (path, words) in [("nowhere/report.json", "No such file"), ("context", "directory")] {
        let world = World::start(Script::default()).await;
        let finished = shell(&world, &format!(r#""$0" build --report {path}"#)).await.expect_code(2);
        says(&finished, &["cannot write the report", path, words]);
        assert_eq!(world.engine.counts().solves.started, 0);
        world.assert_untouched();
    }
}

#[tokio::test]
async fn f3_a_full_disk_leaves_no_half_report() {
    let world = World::start(Script::default()).await;
    let disk = world.home.path().join("disk");
    fs::create_dir(&disk).unwrap();
    // A file system of its own in a name space of its own: it goes with the shell.
    let script = r#"mount -t tmpfs -o size=4k tmpfs disk && head -c 4096 /dev/zero >disk/full &&
        { "$0" build --report disk/report.json; code=$?; ls disk; exit $code; }"#;
    let mut args = vec!["--mount", "--", "/bin/bash", "-c", script];
    args.push(env!("CARGO_BIN_EXE_polyarch"));
    let run = Run::of("unshare", &world.home, args).env("DOCKER_HOST", world.engine.host());
    let finished = run.finish().await.expect_code(70);
    says(&finished, &["cannot write the report", "No space left"]);
    assert!(finished.stdout.ends_with("full\n") && !finished.stdout.contains(".tmp"), "{}", finished.stdout);
    assert!(Path::new(&disk).exists());
}
