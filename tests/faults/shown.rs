//! Third-party text drives nothing: text of registries, engines, images and plans, in every command that shows it.

use serde_json::json;

use super::world::{World, says};
use crate::support::images::{Document, Image};
use crate::support::program::{Finished, Run};
use crate::support::scripted_engine::{Rest, Script};
use crate::support::scripted_registry::status;

/// Sets the clipboard, clears the screen, commands GitHub, Azure and TeamCity, and turns what follows around.
const HOSTILE: &str = "/a\u{1b}]52;c;eA==\u{7}\u{1b}[2J\r\n::add-mask::o\n##vso[task.setvariable variable=x]y##[add-path]z\n\
                       ##teamcity[x]\u{9b}2J\u{202e}\u{2028}::error::o";
/// As much of that text as a header may hold.
const HEADER: &str = "##vso[task.setvariable variable=x]y \u{9b}2J \u{202e}##[add-path]z";

/// Nothing that was printed drives a terminal or a CI system.
fn assert_harmless(finished: &Finished, what: &str) {
    for text in [&finished.stdout, &finished.stderr] {
        let drives = |c: char| {
            c.is_control() && !matches!(c, '\n' | '\t')
                || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2028}' | '\u{2029}')
        };
        assert!(!text.contains(drives), "{what}: {text:?}");
        for command in ["##[", "##vso[", "##teamcity["] {
            assert!(!text.contains(command), "{what}: {text:?}");
        }
        assert!(!text.lines().any(|line| line.trim_start().starts_with("::")), "{what}: {text:?}");
    }
}

/// Images whose config, annotations and media types are hostile, under `hello:1.0-ARCH`, and an index of them under `1.0`.
fn hostile_images(world: &World) {
    let layer = Document { media_type: "application/vnd.oci.image.layer.v1.tar".into(), bytes: vec![0; 1024] };
    world.store.keep(&layer);
    let mut entries = Vec::new();
    for platform in ["linux/amd64", "linux/arm64"] {
        let config = json!({ "Entrypoint": [HOSTILE], "Labels": { HOSTILE: HOSTILE } });
        let image = Image::oci(platform, HOSTILE).holding(&config, &[&layer]);
        world.store.push("hello", &format!("1.0-{}", platform.rsplit('/').next().unwrap()), &image);
        let mut entry = image.entry();
        entry["annotations"] = json!({ HOSTILE: HOSTILE });
        entries.push(entry);
    }
    let index = Document::index_with(&entries, &json!({ "annotations": { HOSTILE: HOSTILE } }));
    world.store.put("hello", "shown", &index);
}

#[tokio::test]
async fn hostile_entrypoint_cannot_control_the_terminal_or_ci() {
    let world = World::start(Script::default()).await;
    hostile_images(&world);
    let report = ["--progress", "json", "--report", "report.json", "--format", "json"];
    let join = || world.run(&["join"]).env("GITHUB_ACTIONS", "true").env("CI", "true");
    let finished = join().finish().await.expect_code(0);
    says(&finished, &["programs of linux/amd64, linux/arm64 not checked: ", ": :add-mask::o # #vso[task"]);
    // The group is polyarch's own.
    let own = finished.stderr.replace("::group::polyarch", "polyarch").replace("::endgroup::", "");
    assert_harmless(&Finished { stderr: own, ..finished }, "join");
    world.store.remove("/v2/hello/manifests/1.0");
    world.store.remove("/v2/hello/manifests/latest");
    let json = Run::new(&world.home, ["join"].iter().chain(&report)).finish().await;
    assert_harmless(&json, "join --progress json");
    assert!(json.stderr.lines().all(|line| line.starts_with('{')), "{}", json.stderr);
    let built = world.run(&["build", "--no-elf"]).finish().await;
    assert_harmless(&built, "build");
}

#[tokio::test]
async fn hostile_registry_text_cannot_control_the_terminal_or_ci() {
    let world = World::start(Script::default()).await;
    hostile_images(&world);
    let reference = |tag: &str| format!("{}/hello:{tag}", world.registry.host());
    let repository = format!("{}/hello", world.registry.host());
    let (shown, amd64) = (reference("shown"), reference("1.0-amd64"));
    let commands: [&[&str]; 10] = [
        &["digest", &shown],
        &["inspect", &shown],
        &["inspect", &shown, "--json"],
        &["inspect", &shown, &amd64],
        &["inspect", &amd64],
        &["verify", &shown],
        &["verify", &shown, "--json"],
        &["images", &repository],
        &["images", &repository, "--json"],
        &["clean", &repository, "--keep", "1"],
    ];
    let store = world.store.clone();
    world.registry_answers(move |request| {
        if request.target.starts_with("/v2/hello/tags/list") {
            let tags = json!({ "name": "hello", "tags": ["shown", "1.0-amd64", "1.0-arm64"] });
            return Some(status(200).body(tags.to_string()));
        }
        store.answer(request).map(|reply| reply.header("Warning", format!("299 - \"{HEADER}\"")))
    });
    for args in commands {
        let finished = Run::new(&world.home, args).finish().await;
        assert_harmless(&finished, &args.join(" "));
        assert!(finished.code() == 0 || args[0] == "verify", "{args:?}: {}", finished.stderr);
        if args[0] != "clean" {
            assert!(finished.stderr.contains(" says: # #vso[task"), "{args:?}: {}", finished.stderr);
        }
    }
    // Errors say what the registry says.
    let error = json!({ "errors": [{ "code": HOSTILE, "message": HOSTILE, "detail": HOSTILE }] });
    world.registry_answers(move |_| Some(status(403).body(error.to_string())));
    for args in commands.into_iter().chain([&["join"][..], &["build"][..]]) {
        let run = Run::new(&world.home, args).env("DOCKER_HOST", world.engine.host());
        let finished = run.finish().await;
        assert_ne!(finished.code(), 0, "{args:?}");
        assert_harmless(&finished, &args.join(" "));
    }
}

#[tokio::test]
async fn hostile_engine_text_cannot_control_the_terminal_or_ci() {
    let script = Script::default()
        .rest(|line| {
            let version = json!({
                "Version": HOSTILE, "ApiVersion": "1.41", "MinAPIVersion": "1.12", "Os": "linux", "Arch": "amd64",
                "Components": [{ "Name": HOSTILE, "Version": HOSTILE }],
            });
            line.ends_with("/version").then(|| Rest::Answer(200, version.to_string()))
        })
        .solve(async |call| {
            call.step(HOSTILE);
            call.log(HOSTILE);
            Err(tonic::Status::unknown(HOSTILE))
        });
    let world = World::start(script).await;
    for progress in ["plain", "json", "quiet", "tty"] {
        let args = ["build", "--progress", progress, "--report", "report.json"];
        let run = Run::new(&world.home, args).env("DOCKER_HOST", world.engine.host()).env("SOURCE_DATE_EPOCH", "0");
        let finished = run.finish().await;
        assert_ne!(finished.code(), 0);
        assert_harmless(&finished, progress);
        let report = std::fs::read_to_string(world.home.path().join("report.json")).unwrap();
        assert_harmless(&Finished { stdout: report, ..finished }, "the report");
    }
}

#[tokio::test]
async fn hostile_plan_text_cannot_control_the_terminal_or_ci() {
    let world = World::start(Script::default()).await;
    // YAML has such a character only as an escape.
    let escaped = |c: char| if c.is_ascii() { c.to_string() } else { format!("\\u{:04x}", u32::from(c)) };
    let quoted: String = serde_json::to_string(HOSTILE).unwrap().chars().map(escaped).collect();
    for plan in [
        format!("images:\n  hello:\n    {quoted}: 1\n"),
        format!("images:\n  {quoted}: {{ tags: [x] }}\n"),
        format!("images:\n  hello:\n    tags: [{quoted}]\n"),
        format!("images:\n  hello:\n    tags: [x]\n    platforms: [{quoted}]\n"),
        format!("images:\n  hello:\n    tags: [x]\n    context: {quoted}\n"),
        format!(
            "images:\n  hello:\n    tags: [x]\n    labels: {{ {quoted}: {quoted} }}\n    args: {{ A: {quoted} }}\n"
        ),
        format!("images:\n  hello:\n    tags: [x]\n    # {HOSTILE}\n"),
    ] {
        world.plan(&plan);
        for args in [&["plan"][..], &["plan", "--matrix", "github"], &["build", "--dry-run"]] {
            let finished = Run::new(&world.home, args).env("DOCKER_HOST", world.engine.host()).finish().await;
            assert_harmless(&finished, &format!("{args:?} of {plan:?}"));
        }
    }
}
