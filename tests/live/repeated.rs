//! The same plan again: nothing to send, nothing to put, nothing left behind.

use std::time::Duration;

use serde_json::Value;

use crate::project::Project;
use crate::support::distribution::{Distribution, Setup};
use crate::support::engines::{Engine, PrivateEngine};
use crate::support::parts;

on_both_engines!(second_live_run_sends_nothing_and_moves_no_tag, twenty_runs_leave_no_open_connection_on_the_engine);
on_the_graph_engine!(second_live_run_sends_nothing_and_moves_no_tag);

async fn second_live_run_sends_nothing_and_moves_no_tag(engine: Engine) {
    let registry = Distribution::start(Setup::Plain);
    let project = Project::new(engine, "again");
    project.busybox("COPY app-${TARGETARCH} /app\nCOPY data /data\n");
    project.write("context/.dockerignore", "ignored\n");
    for file in ["app-amd64", "app-arm64", "data/one", "data/two", "ignored"] {
        project.write(&format!("context/{file}"), file);
    }
    project.plan(registry.address(), "platforms: [linux/amd64, linux/arm64]");

    let first = project.build(&[]).await;
    assert!(sent(&first) > 0);
    let before = registry.requests().len();
    let second = project.build(&[]).await;
    assert_eq!(sent(&second), 0, "bytes of unchanged files");
    let asked = registry.requests();
    let changing: Vec<_> =
        asked[before..].iter().filter(|r| !r.starts_with("GET ") && !r.starts_with("HEAD ")).collect();
    assert!(changing.is_empty(), "{changing:?}");
    // Is it there; the engine's question for its route; manifest and config of each platform, which are proved; each
    // final tag.
    let (heads, others): (Vec<_>, Vec<_>) = asked[before..].iter().partition(|request| request.starts_with("HEAD "));
    assert_eq!(others.len(), 1 + 2 + 2 * 2 + 2, "{others:#?}");
    // polyarch asks for each layer once, also for the layer that both platforms have.
    let (routes, layers): (Vec<&String>, Vec<&String>) =
        heads.into_iter().partition(|request| request.ends_with("/polyarch-route"));
    assert_eq!((routes.len(), layers.len()), (1, 5), "{layers:#?}");
    assert!(layers.iter().all(|request| request.contains("/blobs/sha256:")), "{layers:#?}");
    assert_eq!(second["images"][0]["index"], first["images"][0]["index"]);
    for tag in second["images"][0]["tags"].as_array().unwrap() {
        assert_eq!(tag["state"], "unchanged", "{tag}");
    }

    // What one platform needs was changed: it alone is built and put again.
    project.write("context/app-arm64", "another");
    let third = project.build(&[]).await;
    assert_eq!(sent(&third), "another".len() as u64, "bytes of the file that changed");
    let platforms = |report: &Value| report["images"][0]["platforms"].clone();
    assert_eq!(platforms(&third)[0]["reference"], platforms(&first)[0]["reference"]);
    assert_ne!(platforms(&third)[1]["reference"], platforms(&first)[1]["reference"]);
    assert_ne!(third["images"][0]["index"], first["images"][0]["index"]);
}

/// Bytes of files that the engine took from us, over all platforms.
fn sent(report: &Value) -> u64 {
    let platforms = report["images"][0]["platforms"].as_array().unwrap();
    platforms.iter().map(|platform| platform["context_bytes"].as_u64().unwrap()).sum()
}

async fn twenty_runs_leave_no_open_connection_on_the_engine(engine: Engine) {
    let private = PrivateEngine::start(&engine, "fds").await;
    let registry = Distribution::start(Setup::Plain);
    let project = Project::new(private.engine.clone(), "fds");
    project.busybox("");
    project.plan(registry.address(), "platforms: [linux/amd64, linux/arm64]");
    for _ in 0..2 {
        project.build(&[]).await;
    }
    let before = private.open_files();
    for _ in 0..20 {
        project.build(&[]).await;
    }
    // What one run left, twenty left twenty times; the connections of the last one are closed in a moment.
    parts::eventually("the engine has as many open files as before", Duration::from_secs(10), || {
        private.open_files() <= before
    })
    .await;
}
