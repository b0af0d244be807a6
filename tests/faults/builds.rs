//! Builds that fail or end without a result.

use std::collections::HashMap;
use std::fs;
use std::sync::Arc;

use bollard::moby::buildkit::v1::SolveResponse;
use polyarch::oci::Digest;
use tokio::sync::Notify;
use tonic::Status;

use super::world::{World, says};
use crate::support::images::Image;
use crate::support::scripted_engine::receiver::Receiver;
use crate::support::scripted_engine::{Rest, Script};

#[tokio::test]
async fn build_publishes_an_index_and_prints_its_digest() {
    let world = World::start(Script::default()).await;
    let finished = world.build().await.expect_code(0);
    assert_eq!(world.put(), ["1.0", "latest"]);
    let index = world.store.get("hello", "1.0").unwrap();
    assert_eq!(finished.stdout, format!("{}/hello@{}\n", world.registry.host(), index.digest()));
}

#[tokio::test]
async fn engine_receives_the_files_that_it_asks_for() {
    let script = Script::default().solve(async |call| {
        let context = Receiver::begin(call.session().await, "context").await?.all().await?;
        assert_eq!(context["Dockerfile"], b"FROM scratch\nCOPY Dockerfile /\n");
        let dockerfile = Receiver::begin(call.session().await, "dockerfile").await?.all().await?;
        assert_eq!(dockerfile, context);
        call.built()
    });
    World::start(script).await.build().await.expect_code(0);
}

#[tokio::test]
async fn early_refusal_of_the_engine_is_shown_in_its_own_words() {
    let script = Script::default().solve(async |call| {
        // It began to read.
        let mut receiver = Receiver::begin(call.session().await, "context").await?;
        receiver.next().await?;
        Err(Status::unknown("failed to solve: dockerfile parse error line 1: unknown instruction: FRMO"))
    });
    let world = World::start(script).await;
    let finished = world.build().await.expect_code(4);
    says(&finished, &["dockerfile parse error line 1: unknown instruction: FRMO", "build linux/a"]);
    assert!(!finished.stderr.contains("pipe"), "{}", finished.stderr);
    says(&finished, &["not published", "not moved: "]);
    world.assert_untouched();
    // The command line keeps the tags, so the failure is not the reason.
    for option in ["--no-join", "--no-push"] {
        let finished = world.run(&["build", option]).finish().await.expect_code(4);
        says(&finished, &[&format!("hello not joined: {option}")]);
        assert!(!finished.stderr.contains("not moved: "), "{}", finished.stderr);
    }
}

#[tokio::test]
async fn killed_engine_fails_its_build_and_keeps_finished_images() {
    let kill = Arc::new(Notify::new());
    let killed = kill.clone();
    let script = Script::default().solve(move |call| {
        let killed = killed.clone();
        async move {
            if call.name().contains("/second:") {
                killed.notified().await;
                call.kill_engine();
                std::future::pending::<()>().await;
            }
            call.built()
        }
    });
    let world = World::start(script).await;
    world.plan(TWO_IMAGES);
    let running = world.run(&["build"]).start();
    world.registry.asked_exactly("GET /v2/first/manifests/1.0").await;
    kill.notify_one();
    let finished = running.finish().await.expect_code(4);
    says(&finished, &["second linux/amd64", "the connection to the engine was lost"]);
    assert_eq!(world.put(), ["1.0"]);
    assert!(world.store.get("second", "1.0").is_none());
    let report = world.report();
    assert_eq!(report["images"][1]["verified"], serde_json::json!([]), "{report:#}");
    let first = world.store.get("first", "1.0").unwrap().digest();
    assert_eq!(finished.stdout, format!("{}/first@{first}\n", world.registry.host()));
}

/// Two images of one platform.
const TWO_IMAGES: &str = r#"
defaults: { context: context, tags: ["1.0"], platforms: [linux/amd64] }
images: { first: {}, second: {} }
"#;

#[tokio::test]
async fn build_without_an_image_digest_fails() {
    for answer in ["", "sha256:", "sha256:../../etc", "unknown"] {
        let script = Script::default().solve(move |_| async move {
            let digest = ("containerimage.digest".to_owned(), answer.to_owned());
            let empty = answer.is_empty();
            let exporter_response = if empty { HashMap::new() } else { HashMap::from([digest]) };
            Ok(SolveResponse { exporter_response })
        });
        let world = World::start(script).await;
        let finished = world.build().await.expect_code(4);
        says(&finished, &["polyarch cannot identify the image", &format!("{answer:?}")]);
        assert_eq!(world.engine.counts().pushes.started, 0);
        world.assert_untouched();
    }
}

#[tokio::test]
async fn garbage_from_image_inspection_fails_the_build() {
    for garbage in [Garbage::Html, Garbage::Cut, Garbage::Gone] {
        let script = Script::default().rest(move |line| {
            let inspects = line.starts_with("GET /images/");
            inspects.then(|| match garbage {
                Garbage::Html => Rest::Answer(200, "<html>\u{0}</html>".into()),
                Garbage::Cut => Rest::Cut(r#"{"Os":"linux","Archi"#.into()),
                Garbage::Gone => Rest::Answer(404, r#"{"message":"No such image"}"#.into()),
            })
        });
        let world = World::start(script).await;
        let finished = world.build().await.expect_code(4);
        says(&finished, &["error"]);
        assert_eq!(world.engine.counts().pushes.started, 0);
        world.assert_untouched();
    }
}

#[derive(Debug, Clone, Copy)]
enum Garbage {
    Html,
    Cut,
    Gone,
}

#[tokio::test]
async fn exec_format_error_gets_a_hint_with_the_install_command() {
    let script = Script::default().runs(&["linux/amd64"]).solve(async |call| {
        if call.platform() == "linux/amd64" {
            return call.built();
        }
        // Cut anywhere, as BuildKit does.
        call.log("exec /bin/sh: exec form");
        call.log("at error\n");
        Err(Status::unknown("process \"/bin/sh -c make\" did not complete successfully: exit code: 1"))
    });
    let world = World::start(script).await;
    let finished = world.build().await.expect_code(4);
    says(&finished, &["exec /bin/sh: exec format error", "exit code: 1", "apt-get install qemu-user-static"]);
    // Before the build it was only a warning: an image without RUN needs no emulation.
    says(&finished, &["cannot run linux/arm64 programs"]);
    world.assert_untouched();
}

#[tokio::test]
async fn image_of_the_wrong_platform_is_not_pushed() {
    let script = Script::default().solve(async |call| call.built_as(&Image::docker("linux/amd64", "pinned")));
    let world = World::start(script).await;
    let finished = world.build().await.expect_code(7);
    says(&finished, &["the engine built linux/amd64, but the plan asks for linux/arm64", "FROM --platform"]);
    assert!(!world.engine.requests().iter().any(|line| line.contains("POST") && line.contains("arm64/push")));
    assert!(world.store.get("hello", "1.0-arm64").is_none());
    world.assert_untouched();
}

#[tokio::test]
async fn image_of_the_wrong_variant_is_refused() {
    let script = Script::default()
        .runs(&["linux/amd64", "linux/arm/v7", "linux/arm/v6"])
        .solve(async |call| call.built_as(&Image::docker("linux/arm/v6", "older")));
    let world = World::start(script).await;
    world.plan("images: { hello: { context: context, tags: ['1.0'], platforms: [linux/arm/v7] } }");
    let finished = world.build().await.expect_code(7);
    says(&finished, &["the engine built linux/arm/v6, but the plan asks for linux/arm/v7"]);
    assert_eq!(world.engine.counts().pushes.started, 0);
    world.assert_untouched();
}

#[tokio::test]
async fn load_fails_when_the_name_shows_another_image() {
    // Somebody else is as quick: the name is another image's when it is looked at.
    let other = Digest::of(b"other");
    let shown = format!(r#"{{"Id":"{other}","Os":"linux","Architecture":"amd64"}}"#);
    let script = Script::default()
        .rest(move |line| (line == "GET /images/hello:1.0/json").then(|| Rest::Answer(200, shown.clone())));
    let world = World::start(script).await;
    let finished = world.run(&["build", "--load"]).finish().await.expect_code(6);
    says(&finished, &["name hello:1.0", &format!("the name shows {other}, not sha256:")]);
    assert!(finished.stdout.is_empty(), "{}", finished.stdout);
    assert_eq!(world.report()["images"][0].get("loaded"), None);
    assert_eq!(world.engine.counts().pushes.started, 0);
    assert!(world.registry.requests().is_empty(), "{:?}", world.registry.requests());
}

/// An engine that says no more than BuildKit 0.8: a step that failed, if it says which, and why.
fn refusing(
    step: Option<(&'static str, &'static str)>,
    status: fn(&'static str) -> Status,
    why: &'static str,
) -> Script {
    Script::default().solve(move |call| async move {
        if let Some((name, error)) = step {
            call.step_failed(name, error);
        }
        Err(status(why))
    })
}

#[tokio::test]
async fn failed_copy_step_shows_its_line_and_a_hint() {
    let header = "header key \"followpaths\" contains value with non-printable ASCII characters";
    let nothing = "failed to compute cache key: \"/a b\" not found: not found";
    let of_step = "\"/a b\" not found: not found";
    let unaskable = &["cannot ask for a file whose name has control characters", "hint: rename the file"][..];
    let ignored = "header key \"exclude-patterns\" contains value with non-printable ASCII characters";
    let in_context = &["`a b` does not exist in the context", "hint: add the file to the context"][..];
    let in_stage = &["`a b` does not exist in `base`", "hint: correct the path, or create the file in `base`"][..];
    for (copy, script, told) in [
        (r#"COPY ["a\nb", "/"]"#, refusing(None, Status::internal, header), unaskable),
        (r#"ADD ["x", "a\tb", "/"]"#, refusing(None, Status::unavailable, "the connection is draining"), unaskable),
        (
            r#"COPY ["a b", "/"]"#,
            refusing(Some(("[1/1] COPY [a b, /]", of_step)), Status::unknown, nothing),
            in_context,
        ),
        (
            r#"COPY --from=base ["a b", "/"]"#,
            refusing(Some(("[stage-1 1/1] COPY --from=base [a b, /]", of_step)), Status::unknown, nothing),
            in_stage,
        ),
    ] {
        let world = World::start(script).await;
        fs::write(world.home.path().join("context/Dockerfile"), format!("FROM scratch AS base\n{copy}\n")).unwrap();
        let run = world.run(&["build", "--platform", "linux/amd64"]);
        let run = run.env("GITHUB_ACTIONS", "true").env("GITHUB_WORKSPACE", world.home.path().parent().unwrap());
        let finished = run.finish().await.expect_code(4);
        says(&finished, told);
        says(&finished, &["--> context/Dockerfile:2", &format!("2 | > {copy}")]);
        // GitHub needs the path in the repository.
        let directory = world.home.path().file_name().unwrap().to_str().unwrap();
        says(&finished, &[&format!("::error file={directory}/context/Dockerfile,line=2,")]);
    }
    for (script, hint) in [
        (refusing(None, Status::internal, ignored), "hint: remove the control characters from `.dockerignore`"),
        (refusing(None, Status::unavailable, "the connection is draining"), "hint: remove control characters from"),
    ] {
        let world = World::start(script).await;
        says(&world.build().await.expect_code(4), &[hint]);
    }
}

#[tokio::test]
async fn log_without_a_terminal_is_not_shortened() {
    let command = format!("RUN {} && the-end", "make one-of-many-things && ".repeat(12).trim_end_matches(" && "));
    let step = format!("[2/2] {command}");
    let script = Script::default().solve({
        let step = step.clone();
        move |call| {
            let step = step.clone();
            async move {
                call.log(&format!("{}the-end-of-the-log\n", "words ".repeat(80)));
                call.step_failed(&step, "exit code: 2");
                Err(Status::unknown("process \"/bin/sh -c x\" did not complete successfully: exit code: 2"))
            }
        }
    });
    let world = World::start(script).await;
    fs::write(world.home.path().join("context/Dockerfile"), format!("FROM scratch\n{command}\n")).unwrap();
    let finished = world.run(&["build", "--platform", "linux/amd64"]).finish().await.expect_code(4);
    says(&finished, &[&format!("{step} failed"), &format!("2 | > {command}\n"), "words the-end-of-the-log\n"]);
}
