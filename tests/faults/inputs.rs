//! What builds read of this machine, looked at by `plan`, `--dry-run` and `build` before anything is begun.

use std::fs;

use super::world::{World, says};
use crate::support::program::{Finished, Run};
use crate::support::scripted_engine::Script;

const STAGES: &str = "# escape=`\nFROM scratch AS Build\nRUN <<EOF\nFROM nothing AS here\nEOF\nFROM build AS release\n";

async fn world() -> World {
    let world = World::start(Script::default()).await;
    fs::write(world.home.path().join("context/Dockerfile"), STAGES).unwrap();
    world
}

/// A plan of one image that says this.
fn image(settings: &str) -> String {
    format!("images:\n  hello:\n    tags: [\"1\"]\n    platforms: [linux/amd64, linux/arm64]\n{settings}")
}

async fn run(world: &World, arguments: &[&str]) -> Finished {
    Run::new(&world.home, arguments).env("DOCKER_HOST", world.engine.host()).finish().await
}

#[tokio::test]
async fn missing_build_input_is_refused_with_its_place_in_the_plan() {
    let world = world().await;
    fs::create_dir_all(world.home.path().join("utf16")).unwrap();
    fs::write(world.home.path().join("utf16/Dockerfile"), "FROM scratch\n").unwrap();
    fs::write(world.home.path().join("utf16/.dockerignore"), b"\xff\xfe*\0").unwrap();
    for (settings, place, words) in [
        ("    context: contxt\n", "7:14", "cannot open the directory contxt"),
        ("    context: context/Dockerfile\n", "7:14", "is not a directory"),
        ("    context: context\n    dockerfile: Dockerfile.prod\n", "8:17", "context/Dockerfile.prod"),
        ("", "4:3", "/Dockerfile"),
        ("    context: context\n    target: relaese\n", "8:13", "Dockerfile has no stage `relaese`"),
        ("    context: context\n    target: \"3\"\n", "8:13", "Dockerfile has no stage `3`"),
        ("    context: context\n    contexts: { src: ./nothing }\n", "8:22", "cannot open the directory nothing"),
        ("    context: utf16\n", "7:14", "is not UTF-8"),
        ("    dockerfile_inline: FROM scratch\n    target: x\n", "8:13", "its stages have no names"),
    ] {
        world.plan(&image(settings));
        for arguments in [&["plan"][..], &["build", "--dry-run"], &["build"]] {
            let finished = run(&world, arguments).await.expect_code(2);
            says(&finished, &[words, &format!("--> build.yaml:{place}\n")]);
            assert_eq!(finished.stderr.matches("error:").count(), 1, "once for all platforms: {}", finished.stderr);
        }
    }
    world.plan(&image("    context: context\n"));
    says(
        &run(&world, &["plan", "--set", "hello.context=context", "--set", "hello.target=buidl"]).await.expect_code(2),
        &["--set hello.target=buidl: Dockerfile has no stage `buidl`", "did you mean `Build`?"],
    );
    assert_eq!((world.registry.lines(), world.engine.counts().solves.started), (Vec::new(), 0));
}

#[tokio::test]
async fn all_missing_build_inputs_are_reported_together() {
    let world = world().await;
    let images = "images:\n  a: { context: nowhere }\n  b: { context: context, dockerfile: none }\n  c: { context: context, \
                  target: none }\n";
    world.plan(&format!("defaults: {{ tags: [\"1\"], platforms: [linux/amd64] }}\n{images}"));
    let finished = run(&world, &["plan"]).await.expect_code(2);
    says(&finished, &["build.yaml:5:17", "build.yaml:6:38", "build.yaml:7:34"]);
    // Jobs of a matrix may make what they build from.
    run(&world, &["plan", "--matrix", "github"]).await.expect_code(0);
    // What is left out need not be there.
    run(&world, &["plan", "--set", "c.target=release", "c"]).await.expect_code(0);
}

#[tokio::test]
async fn stages_that_only_the_engine_can_find_are_not_checked() {
    let world = world().await;
    fs::write(world.home.path().join("context/foreign"), "# syntax=example.com/frontend\ntarget x {}\n").unwrap();
    for settings in [
        "    context: context\n    target: BUILD\n",
        "    context: context\n    target: \"1\"\n",
        "    context: context\n    dockerfile: foreign\n    target: x\n",
        "    context: context\n    args: { BUILDKIT_SYNTAX: example.com/frontend }\n    target: x\n",
        "    context: https://git.example/a.git\n    target: x\n",
        "    context: context\n    dockerfile: \"-\"\n    target: x\n",
    ] {
        world.plan(&image(settings));
        run(&world, &["plan"]).await.expect_code(0);
    }
}

#[tokio::test]
async fn plan_and_dry_run_show_the_registry_and_the_engine() {
    let world = world().await;
    let plan = image("    context: context\n");
    world.plan(&plan);
    let shown = run(&world, &["plan", "--format", "json"]).await.expect_code(0).stdout;
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["registry"]["host"], world.registry.host());
    let engine = serde_json::json!({ "host": world.engine.host(), "named_by": "DOCKER_HOST" });
    assert_eq!(shown["x-defaults"], serde_json::json!({ "engine": engine }));
    fs::write(world.home.path().join("build.yaml"), format!("version: 1\n{plan}")).unwrap();
    let shown = run(&world, &["plan", "--format", "json"]).await.expect_code(0).stdout;
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["x-defaults"]["registry"], "local");
    // A printed plan is a plan.
    fs::write(world.home.path().join("again.yaml"), shown.to_string()).unwrap();
    run(&world, &["plan", "-f", "again.yaml"]).await.expect_code(0);
    let dry = run(&world, &["build", "--dry-run"]).await.expect_code(0).stdout;
    let lines: Vec<&str> = dry.lines().take(2).collect();
    assert!(lines[0].starts_with("registry  127.0.0.1:") && lines[0].ends_with(" (embedded)"), "{dry}");
    let engine = format!("engine    default at {} (linux/amd64, ", world.engine.host());
    assert!(lines[1].starts_with(&engine), "{dry}");
}

#[tokio::test]
async fn lower_case_dockerfile_is_used_when_dockerfile_is_missing() {
    let world = World::start(Script::default().solve(async |call| {
        call.log(&format!("reads {}\n", call.request.frontend_attrs["filename"]));
        call.built()
    }))
    .await;
    let context = world.home.path().join("context");
    fs::create_dir(context.join("sub")).unwrap();
    fs::rename(context.join("Dockerfile"), context.join("dockerfile")).unwrap();
    fs::write(context.join("sub/dockerfile"), "FROM scratch AS only\n").unwrap();
    fs::write(context.join("dockerfile.dockerignore"), b"\xff\xfe*\0").unwrap();
    world.plan(&image("    context: context\n    dockerfile: sub/Dockerfile\n    target: only\n"));
    says(&run(&world, &["build", "--progress", "plain"]).await.expect_code(0), &["reads dockerfile"]);
    // Its ignore file has its name.
    world.plan(&image("    context: context\n"));
    says(&run(&world, &["plan"]).await.expect_code(2), &["dockerfile.dockerignore is not UTF-8"]);
    // A directory of that name is none, and a `Dockerfile` goes first.
    fs::remove_file(context.join("dockerfile")).unwrap();
    fs::create_dir(context.join("dockerfile")).unwrap();
    says(&run(&world, &["plan"]).await.expect_code(2), &["the Dockerfile ", "context/Dockerfile does not exist"]);
    fs::write(context.join("Dockerfile"), "FROM scratch\n").unwrap();
    run(&world, &["plan"]).await.expect_code(0);
}

#[tokio::test]
async fn missing_dockerfile_hint_names_similar_files() {
    let world = world().await;
    let home = world.home.path();
    for (files, settings, hint) in [
        (&["a/Containerfile"][..], "    context: a\n", "write `dockerfile: Containerfile`"),
        (&["b/docker/Dockerfile"], "    context: b\n", "write `dockerfile: docker/Dockerfile`"),
        (
            &["c/web.Dockerfile", "c/Dockerfile.api", "c/Dockerfile.api.dockerignore", "c/Dockerfiles/x"],
            "    context: c\n",
            "write `dockerfile:` with one of Dockerfile.api, web.Dockerfile\n",
        ),
        (&["d/DockerFile"], "    context: d\n", "write `dockerfile: DockerFile`"),
        (
            &["e/docker/Dockerfile"],
            "    context: e\n    dockerfile: dokcer/Dockerfle\n",
            "write `dockerfile: docker/Dockerfile`",
        ),
        (
            &["f/Dockerfile.prod"],
            "    context: f\n    dockerfile: Dockerfile.pord\n",
            "write `dockerfile: Dockerfile.prod`",
        ),
        // It is said relative to the plan.
        (
            &["g/docker/One"],
            "    context: g\n    dockerfile: g/docker/One\n",
            "write `dockerfile: docker/One`: the path is relative",
        ),
        (
            &["h/in/x", "h/One"],
            "    context: h/in\n    dockerfile: One\n",
            "write `dockerfile: ../One`: the path is relative",
        ),
        (&["i/x"], "    context: i\n", "check `dockerfile` in the plan"),
        (&["contexts/web/Dockerfile"], "    context: contxts/wbe\n", "did you mean `contexts/web`?"),
        (&["common/x"], "    context: context\n    contexts: { src: ./Comon }\n", "did you mean `common`?"),
    ] {
        for file in files {
            fs::create_dir_all(home.join(file).parent().unwrap()).unwrap();
            fs::write(home.join(file), "FROM scratch\n").unwrap();
        }
        world.plan(&image(settings));
        for arguments in [&["plan"][..], &["build", "--dry-run"]] {
            says(&run(&world, arguments).await.expect_code(2), &[hint]);
        }
    }
    // A link that leads to nothing is there.
    std::os::unix::fs::symlink("nothing", home.join("i/Dockerfile")).unwrap();
    fs::write(home.join("i/Containerfile"), "FROM scratch\n").unwrap();
    world.plan(&image("    context: i\n"));
    says(&run(&world, &["plan"]).await.expect_code(2), &["a link must not lead out of its directory"]);
}
