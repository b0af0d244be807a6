//! The plan of this repository on the embedded registry, as a person at a laptop meets it.

use std::path::Path;

use rustix::process::Signal;
use serde_json::Value;

use crate::project::Project;
use crate::support::engines::Engine;
use crate::support::parts;

on_both_engines!(hello_plan_is_built_run_read_and_pulled);

async fn hello_plan_is_built_run_read_and_pulled(engine: Engine) {
    let project = Project::new(engine, "hello");
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let repository = format!("hello.repository={}", project.name);
    let run_build = || project.command(&["build", "--set", &repository]).folder(here).finish();

    let built = run_build().await.expect_code(0);
    let by_digest = built.stdout.trim_end().to_owned();
    let (repository_name, digest) = by_digest.split_once('@').unwrap();
    let by_tag = format!("{repository_name}:1.0");
    assert_eq!(by_digest.lines().count(), 1, "one line an image: {by_digest}");

    // The engine has it under its own name, with what it printed the first time.
    let hello = |reference: &str, args: &[&str]| {
        let args = [&["run", "--rm", "--network=none", "--pull=never"], args, &[reference]].concat();
        let engine = project.engine.clone();
        let args: Vec<_> = args.into_iter().map(str::to_owned).collect();
        async move { parts::printed(&engine.docker(args).await) }
    };
    assert_eq!(hello(&format!("{}:1.0", project.name), &[]).await, "Hello from linux/amd64, built by polyarch");
    assert_eq!(hello(&format!("{}:latest", project.name), &[]).await, "Hello from linux/amd64, built by polyarch");

    // Nobody serves it now: each command holds the registry as long as it needs it.
    let read = |args: &'static [&'static str]| {
        let args = [args, &[by_tag.as_str()]].concat();
        let command = project.command(&args);
        async move { command.finish().await.expect_code(0).stdout }
    };
    assert_eq!(read(&["verify"]).await, built.stdout);
    let table = read(&["inspect"]).await;
    for text in ["linux/amd64", "linux/arm64", digest] {
        assert!(table.contains(text), "no {text} in\n{table}");
    }
    let raw = read(&["inspect", "--raw"]).await;
    assert_eq!(polyarch::oci::Digest::of(raw.as_bytes()).as_str(), digest);
    let json: Value = serde_json::from_str(&read(&["inspect", "--json"]).await).unwrap();
    assert_eq!(json["digest"], digest);
    assert_eq!(json["entries"][1]["platform"]["architecture"], "arm64");

    // Served, both engines pull the platform that is their own, and the one that they are asked for.
    let mut serving = project.start(&["serve"]);
    serving.stdout_line("127.0.0.1:").await;
    for puller in Engine::both() {
        let _cleanup = puller.cleanup(&project.name);
        for (args, line) in [
            (&["--platform=linux/arm64"][..], "Hello from linux/arm64, built by polyarch"),
            (&[], "Hello from linux/amd64, built by polyarch"),
        ] {
            // 20.10 keeps one platform of an index: what is there goes first.
            drop(puller.cleanup(&project.name));
            let pull = [&["pull", "--quiet"], args, &[by_digest.as_str()]].concat();
            parts::printed(&puller.docker(pull).await);
            let run = [&["run", "--rm", "--network=none"], args, &[by_digest.as_str()]].concat();
            assert_eq!(parts::printed(&puller.docker(run).await), line, "{}", puller.host);
        }
    }
    // A second build uses the registry of the one who serves, and finds nothing to do.
    assert_eq!(run_build().await.expect_code(0).stdout, built.stdout);
    serving.signal(Signal::TERM);
    serving.finish().await.expect_code(0);
}
