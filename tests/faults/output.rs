//! Outputs that are closed, full or unread.

use std::fs;
use std::path::Path;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;

use super::world::{World, says};
use crate::support::program::{Finished, Run};
use crate::support::scripted_engine::Script;

/// The program started by a shell, which has it as `$0`.
async fn shell(world: &World, script: &str) -> Finished {
    let run = Run::of("/bin/bash", &world.home, ["-o", "pipefail", "-c", script, env!("CARGO_BIN_EXE_polyarch")]);
    run.env("DOCKER_HOST", world.engine.host()).finish().await
}

/// More lines than a pipe holds.
const PIPE: usize = 2_000;
/// More lines than a pipe and polyarch hold.
const ALL: usize = 10_000;

/// A build that writes so many lines for each platform.
fn talkative(lines: usize) -> Script {
    Script::default().solve(move |call| async move {
        for line in 0..lines {
            call.log(&format!("{line}: one more line of a talkative build, as long as such lines are\n"));
        }
        call.built()
    })
}

#[tokio::test]
async fn closed_stdout_and_stderr_do_not_stop_a_build() {
    for script in [
        r#""$0" build >&-"#,
        r#""$0" build 2>&-"#,
        r#""$0" build >&- 2>&- <&-"#,
        r#""$0" build | true"#,
        r#""$0" build 2>&1 >/dev/null | true"#,
        r#""$0" build --progress json 2>&1 >/dev/null | head -1"#,
        r#""$0" build --format json | true"#,
    ] {
        let world = World::start(talkative(PIPE)).await;
        let finished = shell(&world, script).await;
        assert_eq!(finished.code(), 0, "{script}\n{}", finished.stderr);
        assert!(!finished.stderr.contains("panicked"), "{script}\n{}", finished.stderr);
        assert_eq!(world.put(), ["1.0", "latest"], "{script}");
    }
}

#[tokio::test]
async fn unread_stderr_does_not_block_a_build() {
    let world = World::start(talkative(ALL)).await;
    // The shell holds the pipe open and reads nothing of it.
    let finished = shell(&world, r#"mkfifo pipe; exec 4<>pipe; "$0" build 2>pipe"#).await.expect_code(0);
    assert!(finished.stdout.contains("/hello@sha256:"), "{}", finished.stdout);
    assert_eq!(world.put(), ["1.0", "latest"]);
}

#[tokio::test]
async fn unread_stderr_does_not_block_a_failure() {
    let script = Script::default().solve(async |call| {
        for line in 0..ALL {
            call.log(&format!("{line}: one more line of a talkative build, as long as such lines are\n"));
        }
        Err(tonic::Status::unknown("exit code: 2"))
    });
    let world = World::start(script).await;
    shell(&world, r#"mkfifo pipe; exec 4<>pipe; "$0" build 2>pipe"#).await.expect_code(4);
    world.assert_untouched();
}

/// Reads a pipe at 100 kB/s until nobody writes to it any more.
async fn read_slowly(pipe: &Path) -> String {
    let mut pipe = tokio::net::unix::pipe::OpenOptions::new().open_receiver(pipe).unwrap();
    let mut pace = tokio::time::interval(Duration::from_millis(40));
    let (mut read, mut part) = (Vec::new(), [0; 4096]);
    loop {
        pace.tick().await;
        match pipe.read(&mut part).await.unwrap() {
            0 => return String::from_utf8(read).unwrap(),
            length => read.extend(&part[..length]),
        }
    }
}

#[tokio::test]
async fn slow_reader_loses_only_log_lines() {
    for (progress, lost, last) in
        [("plain", "lines of logs were not shown", "exit code 4"), ("json", "not_shown", r#""exit_code":4"#)]
    {
        let script = Script::default().solve(async |call| {
            for line in 0..50_000 {
                call.log(&format!("{line}: one more line of a talkative build, as long as such lines are\n"));
            }
            Err(tonic::Status::unknown("process \"/bin/make\" did not complete successfully: exit code: 2"))
        });
        let world = World::start(script).await;
        let pipe = world.home.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let script = format!(r#""$0" build --progress {progress} 2>pipe"#);
        let (finished, read) = tokio::join!(shell(&world, &script), read_slowly(&pipe));
        finished.expect_code(4);
        for text in [lost, "exit code: 2", last] {
            assert!(read.contains(text), "{progress}: {text} is not in\n{read}");
        }
        let losses = read.matches(lost).count();
        assert!(losses < 60, "{progress}: loss is said {losses} times");
        let ending = read.lines().last().unwrap();
        assert!(ending.contains(last), "{progress}: {ending}");
    }
}

#[tokio::test]
async fn full_stdout_is_an_error() {
    let world = World::start(Script::default()).await;
    let finished = shell(&world, r#""$0" build >/dev/full"#).await.expect_code(70);
    says(&finished, &["cannot write stdout", "No space left"]);
}

#[tokio::test]
async fn report_on_a_full_device_is_an_error() {
    let world = World::start(Script::default()).await;
    let finished = shell(&world, r#""$0" build --report /dev/full"#).await.expect_code(70);
    says(&finished, &["cannot write the report", "/dev/full", "No space left"]);
    // All else is done, and said.
    assert!(finished.stdout.contains("/hello@sha256:"), "{}", finished.stdout);
    assert_eq!(world.put(), ["1.0", "latest"]);
}

#[tokio::test]
async fn unwritable_report_is_refused_before_the_build() {
    for (path, words) in [("nowhere/report.json", "No such file"), ("context", "directory")] {
        let world = World::start(Script::default()).await;
        let finished = shell(&world, &format!(r#""$0" build --report {path}"#)).await.expect_code(2);
        says(&finished, &["cannot write the report", path, words]);
        assert_eq!(world.engine.counts().solves.started, 0);
        world.assert_untouched();
    }
}

#[tokio::test]
async fn full_disk_leaves_no_partial_report() {
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

#[tokio::test]
async fn verbose_prints_each_request_but_not_into_json_events() {
    let world = World::start(Script::default()).await;
    let missing = format!("{}/hello:9", world.registry.host());
    let request = format!("debug: GET http://{}/v2/hello/manifests/9: 404: MANIFEST_UNKNOWN", world.registry.host());
    for (args, shown) in [(&["inspect", &*missing][..], 0), (&["-v", "inspect", &missing], 1)] {
        let finished = Run::new(&world.home, args).finish().await.expect_code(7);
        assert_eq!(finished.stderr.matches(&request).count(), shown, "{}", finished.stderr);
        assert_eq!(finished.stderr.contains("http://"), shown > 0, "{}", finished.stderr);
    }
    let built = world.run(&["build", "--verbose"]).finish().await.expect_code(0);
    says(&built, &["debug: PUT http://", "/v2/hello/manifests/latest: 201"]);
    let quiet = Run::new(&world.home, ["build", "-v", "--progress", "json"])
        .env("DOCKER_HOST", world.engine.host())
        .finish()
        .await
        .expect_code(0);
    assert!(quiet.stderr.lines().all(|line| line.starts_with('{')), "{}", quiet.stderr);
}
