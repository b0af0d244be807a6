//! One process that builds and builds: what a build opened is closed when the next one runs, however it ended.

use std::fs;
use std::time::Duration;

use rustix::process::Signal;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::project::Project;
use crate::support::engines::{Engine, PrivateEngine};
use crate::support::parts;

on_both_engines!(long_run_leaves_nothing_open);

/// Builds one after the other; the one after them is interrupted.
const BUILDS: usize = 25;

/// Builds before the files are counted: connections that are kept are there then.
const WARM_UP: usize = 2;

/// How the build of a number ends.
fn how(number: usize) -> &'static str {
    match number {
        // Two of them: one of all is not ended, but interrupted.
        11 | 17 => "hangs",
        number if number % 5 == 3 => "fails",
        _ => "ends",
    }
}

/// A plan of many images on an engine that builds one at a time. Each has a step that stands at the gate.
fn one_after_the_other(project: &Project, port: u16) {
    let (shell, name) = ("/bin/busybox", &project.name);
    let says = format!("{shell} echo $HOW {name} $NUMBER; [ $HOW != hangs ] || {shell} sleep 1000");
    let script = format!("{{ {says}; }} | {shell} nc 127.0.0.1 {port}; [ $HOW = ends ]");
    project.busybox(&format!("ARG NUMBER\nARG HOW\nRUN [\"{shell}\", \"sh\", \"-c\", \"{script}\"]\n"));
    let image = |number| {
        let how = how(number);
        let timeout = if how == "hangs" { ", timeout: 6s" } else { "" };
        format!("  {name}-{number}: {{ args: {{ NUMBER: \"{number}\", HOW: {how} }}{timeout} }}\n")
    };
    let images: String = (0..=BUILDS).map(image).collect::<Vec<_>>().concat();
    project.write(
        "build.yaml",
        format!(
            "version: 1\nregistry: local\nengines: {{ one: {{ host: \"{}\", slots: 1 }} }}\n\
             defaults: {{ context: context, tags: [x], platforms: [linux/amd64], network: host }}\nimages:\n{images}",
            project.engine.host
        ),
    );
}

/// The next step that stands at the gate, and how it will end.
async fn next(gate: &TcpListener) -> (BufReader<TcpStream>, String) {
    let (step, _) = tokio::time::timeout(parts::LIMIT, gate.accept()).await.unwrap().unwrap();
    let (mut step, mut said) = (BufReader::new(step), String::new());
    step.read_line(&mut said).await.unwrap();
    (step, said.split(' ').next().unwrap().to_owned())
}

async fn long_run_leaves_nothing_open(engine: Engine) {
    let private = PrivateEngine::start(&engine, "endurance").await;
    let project = Project::new(private.engine.clone(), "endurance");
    let gate = TcpListener::bind("127.0.0.1:0").await.unwrap();
    one_after_the_other(&project, gate.local_addr().unwrap().port());
    let at_rest = private.open_files();
    let building = project.start(&["build", "--no-push"]);
    let files = format!("/proc/{}/fd", building.pid().as_raw_nonzero());
    let open = || (fs::read_dir(&files).unwrap().count(), private.open_files());
    let soon = Duration::from_secs(10);
    let mut warm = None;
    for build in 0..BUILDS {
        let (mut step, how) = next(&gate).await;
        if build >= WARM_UP {
            // What is closed is closed in a moment.
            let (ours, theirs) = *warm.get_or_insert_with(open);
            let as_before = || (ours, theirs) == open();
            parts::eventually(
                &format!("files at build {build}, {ours} here and {theirs} at the engine"),
                soon,
                as_before,
            )
            .await;
        }
        if how == "hangs" {
            // The engine ends the step: the build took longer than it may.
            let broken = tokio::time::timeout(parts::LIMIT, step.read_to_end(&mut Vec::new())).await;
            drop(broken.expect("the engine ends the step"));
        }
    }
    let (_step, _) = next(&gate).await;
    building.signal(Signal::INT);
    let finished = building.finish().await.expect_code(130);
    // Engines before 23.0 do not say which lines failed: then the command stands before its exit code.
    let stderr = finished.stderr.replace("exit code: 1", "ended with exit code 1");
    for (what, least) in [("│ built in", 18), ("ended with exit code 1", 4), ("took longer than its timeout", 1)] {
        let lines = stderr.lines().filter(|line| line.contains(what)).count();
        assert!(lines >= least, "{what:?} {lines} times in\n{}", finished.stderr);
    }
    parts::eventually("the engine is as before the run", soon, || private.open_files() <= at_rest).await;
}
