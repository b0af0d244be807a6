//! What a script around the program relies on: pipes, captured results, events, reports.

use std::fs;
use std::process::Stdio;

use serde_json::Value;

use super::{PLAN, plan};
use crate::support::program::{Home, Run};

/// Runs a shell in which `polyarch` is the program.
async fn shell(home: &Home, script: &str) -> (i32, String, String) {
    let mut command = tokio::process::Command::new("/bin/bash");
    let bin = std::path::Path::new(env!("CARGO_BIN_EXE_polyarch")).parent().unwrap().to_owned();
    command.args(["-c", script]).current_dir(home.path()).env_clear().stdin(Stdio::null());
    command.env("PATH", format!("{}:/usr/bin:/bin", bin.display()));
    command.env("HOME", home.path()).env("POLYARCH_HOME", home.polyarch());
    let output = crate::support::parts::output(command).await;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

#[tokio::test]
async fn closed_pipe_is_not_an_error() {
    let home = Home::new();
    plan(&home, PLAN);
    let script = "set -o pipefail; polyarch plan --schema | head -1; echo ${PIPESTATUS[0]}";
    assert_eq!(shell(&home, script).await, (0, "{\n0\n".into(), String::new()));
    let script = "polyarch plan | true; echo ${PIPESTATUS[0]}";
    assert_eq!(shell(&home, script).await, (0, "0\n".into(), String::new()));
}

#[tokio::test]
async fn full_stdout_of_plan_exits_70() {
    let home = Home::new();
    plan(&home, PLAN);
    let (code, _, stderr) = shell(&home, "polyarch plan > /dev/full").await;
    assert_eq!((code, stderr.as_str()), (70, "error: cannot write stdout: No space left on device (os error 28)\n"));
}

#[tokio::test]
async fn events_are_json_even_if_the_plan_is_invalid() {
    let home = Home::new();
    plan(&home, "version: 1\nimages:\n  a: { tags: [x], platforms: [linux/amd64], zz: 1 }\n");
    for args in [["build", "--progress", "json"], ["join", "--progress", "json"]] {
        let ran = Run::new(&home, args).finish().await.expect_code(2);
        let events: Vec<Value> = ran.stderr.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
        let names: Vec<_> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
        assert_eq!(names, ["polyarch", "failed", "finished"]);
        assert_eq!(events[1]["phase"], "plan");
        assert_eq!(events[1]["message"], "build.yaml:3:45: an image has no key `zz`");
        assert_eq!(events[2]["report"]["run"]["exit_code"], 2);
    }
}

#[tokio::test]
async fn report_is_written_however_the_run_ends() {
    let home = Home::new();
    let report =
        || -> Value { serde_json::from_str(&fs::read_to_string(home.path().join("report.json")).unwrap()).unwrap() };
    Run::new(&home, ["build", "--report", "report.json"]).finish().await.expect_code(2);
    assert_eq!(report()["run"]["failures"][0]["message"], "there is no build.yaml and no polyarch.yaml here");
    plan(&home, PLAN);
    Run::new(&home, ["join", "--report", "report.json"]).finish().await.expect_code(6);
    let report = report();
    assert_eq!((&report["version"], &report["run"]["exit_code"]), (&1.into(), &6.into()));
    assert_eq!(report["run"]["outcome"], "failed");
    let left: Vec<_> = fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains(".tmp")), "{left:?}");
}
