//! `join --wait`: what is not there yet, what comes, and what is there from an earlier pipeline.

use super::publishing::children;
use super::world::{HELLO, World, says};
use crate::support::images::{Document, Image};
use crate::support::scripted_engine::{Script, ScriptedEngine};
use crate::support::scripted_registry::status;
use crate::support::store::Store;

const REVISION: &str = "labels: { org.opencontainers.image.revision: today }";

/// A plan of two platforms, with more keys.
async fn world(tags: &str, more: &str) -> World {
    let world = World::start(Script::default()).await;
    world.plan(&format!(
        "images:\n  hello:\n    context: context\n    tags: {tags}\n    platforms: [linux/amd64, linux/arm64]\n    {more}\n"
    ));
    world
}

/// Pushes an image under its arch tag of `1.0`.
fn push(world: &World, image: &Image) {
    let arch = image.platform.rsplit('/').next().unwrap();
    world.store.push("hello", &format!("1.0-{arch}"), image);
}

#[tokio::test]
async fn join_wait_names_missing_images_and_joins_them_on_arrival() {
    let world = world(r#"["1.0", latest]"#, "").await;
    let mut joining = world.run(&["join", "--wait", "5m"]).start();
    let said = joining.stderr_line("waiting for").await;
    assert!(said.contains("hello:1.0-amd64, ") && said.ends_with("hello:1.0-arm64"), "{said}");
    push(&world, &Image::oci("linux/arm64", "x"));
    let said = joining.stderr_line("hello:1.0-amd64").await;
    assert!(said.contains("waiting for"), "{said}");
    world.assert_untouched();
    push(&world, &Image::oci("linux/amd64", "x"));
    let finished = joining.finish().await.expect_code(0);
    says(&finished, &["joined 2 platforms", "`1.0`, which moves: polyarch could join images of an earlier pipeline"]);
    assert_eq!(world.put(), ["1.0", "latest"]);
}

#[tokio::test]
async fn join_wait_joins_an_image_that_was_pushed_again() {
    let world = world("[edge]", "").await;
    let push = |arch: &str, of: &str| {
        let image = Image::oci(&format!("linux/{arch}"), of);
        world.store.push("hello", &format!("edge-{arch}"), &image);
        (arch.to_owned(), image.manifest.digest())
    };
    push("amd64", "old");
    let mut joining = world.run(&["join", "--wait", "5m"]).start();
    joining.stderr_line("waiting for").await;
    let expected = [push("amd64", "new"), push("arm64", "new")];
    let finished = joining.finish().await.expect_code(0);
    assert!(!finished.stderr.contains("names another image"), "{}", finished.stderr);
    assert_eq!(children(&world.store.get("hello", "edge").unwrap()), expected);
}

#[tokio::test]
async fn join_wait_times_out_and_names_missing_images() {
    let world = world(r#"["1.0"]"#, "").await;
    push(&world, &Image::oci("linux/amd64", "x"));
    let finished = world.run(&["join", "--wait", "1s"]).finish().await.expect_code(124);
    let host = world.registry.host();
    says(&finished, &[&format!("error: hello: waited 1s: {host}/hello:1.0-arm64 does not exist\nhint: ")]);
    assert!(!finished.stderr.contains("1.0-amd64 does not exist"), "{}", finished.stderr);
    world.assert_untouched();
    // The same with references, and the run goes on from there.
    let (target, sources) =
        (format!("{host}/hello:2.0"), ["amd64", "arm64"].map(|arch| format!("{host}/hello:1.0-{arch}")));
    let references = ["join", "--wait", "1s", "-t", &target, &sources[0], &sources[1]];
    let finished = world.run(&references).finish().await.expect_code(124);
    says(&finished, &[&format!("waited 1s: {host}/hello:1.0-arm64 does not exist")]);
    push(&world, &Image::oci("linux/arm64", "x"));
    world.run(&references).finish().await.expect_code(0);
}

#[tokio::test]
async fn join_wait_does_not_wait_for_wrong_images() {
    let world = world(r#"["1.0"]"#, "").await;
    world.store.push("hello", "1.0-arm64", &Image::oci("linux/amd64", "astray"));
    let finished = world.run(&["join", "--wait", "30m"]).finish().await.expect_code(7);
    says(&finished, &["the image is for linux/amd64, but linux/arm64 was expected", "1.0-amd64 does not exist"]);
    world.registry_answers(|request| request.target.contains("1.0-a").then(|| status(403)));
    world.run(&["join", "--wait", "30m"]).finish().await.expect_code(6);
    world.assert_untouched();
}

#[tokio::test]
async fn image_of_another_revision_is_awaited_and_never_joined() {
    let world = world(r#"["1.0", latest]"#, REVISION).await;
    push(&world, &Image::of_revision("linux/amd64", "today"));
    push(&world, &Image::of_revision("linux/arm64", "yesterday"));
    let finished = world.run(&["join"]).finish().await.expect_code(7);
    says(
        &finished,
        &["hello:1.0-arm64: its revision is yesterday, but the plan has today", "another pipeline pushed it"],
    );
    world.run(&["join", "--wait", "1s"]).finish().await.expect_code(124);
    world.assert_untouched();

    let mut joining = world.run(&["join", "--wait", "5m"]).start();
    let said = joining.stderr_line("waiting for").await;
    assert!(said.ends_with("hello:1.0-arm64 (its revision is yesterday, but the plan has today)"), "{said}");
    push(&world, &Image::of_revision("linux/arm64", "today"));
    let finished = joining.finish().await.expect_code(0);
    assert!(!finished.stderr.contains("which moves"), "a label guards it: {}", finished.stderr);
    assert_eq!(world.put(), ["1.0", "latest"]);
}

#[tokio::test]
async fn join_of_a_plan_refuses_images_of_several_revisions() {
    let world = world("[0a1b2c3d]", "").await;
    world.store.push("hello", "0a1b2c3d-amd64", &Image::of_revision("linux/amd64", "today"));
    world.store.push("hello", "0a1b2c3d-arm64", &Image::of_revision("linux/arm64", "yesterday"));
    let finished = world.run(&["join", "--wait", "5m"]).finish().await.expect_code(7);
    says(&finished, &["several revisions: linux/amd64 has today, linux/arm64 has yesterday"]);
    assert!(!finished.stderr.contains("which moves"), "{}", finished.stderr);
    world.assert_untouched();
    // Who names them one by one is told.
    let host = world.registry.host();
    let references = ["amd64", "arm64"].map(|arch| format!("{host}/hello:0a1b2c3d-{arch}"));
    let target = format!("{host}/hello:2.0");
    let joined = world.run(&["join", "-t", &target, &references[0], &references[1]]).finish().await.expect_code(0);
    says(&joined, &["several revisions: linux/amd64 has today, linux/arm64 has yesterday"]);
}

#[tokio::test]
async fn join_by_moving_tags_warns_about_earlier_pipelines() {
    let moves = "polyarch could join images of an earlier pipeline";
    let world = world("[latest]", "").await;
    let push = |tag: &str, image: &Image| world.store.push("hello", tag, image);
    let plan = |tags: &str, more: &str| {
        world.plan(&format!(
            "images:\n  hello:\n    context: context\n    tags: {tags}\n    platforms: [linux/amd64, linux/arm64]\n    {more}\n"
        ));
    };
    for tag in ["latest", "main", "0a1b2c3d", "1.0.3"] {
        push(&format!("{tag}-amd64"), &Image::oci("linux/amd64", "today"));
        push(&format!("{tag}-arm64"), &Image::oci("linux/arm64", "last week"));
    }
    for arch in ["amd64", "arm64"] {
        push(arch, &Image::oci(&format!("linux/{arch}"), "x"));
    }
    for (tags, more, join, says_it) in [
        ("[latest]", "", &["join"][..], Some("come from `latest`, which moves")),
        ("[latest]", "", &["join", "--wait", "1m"], Some("come from `latest`, which moves")),
        ("[main, \"1.0.3\"]", "", &["join"], Some("come from `main`, which moves")),
        ("[\"0a1b2c3d\"]", "arch_tag: \"${arch}\"", &["join"], Some("arch tags move (`amd64`, `arm64`)")),
        (
            "[\"0a1b2c3d\"]",
            "arch_tag: \"main-${arch}\"",
            &["join"],
            Some("arch tags move (`main-amd64`, `main-arm64`)"),
        ),
        // No other pipeline pushes these arch tags.
        ("[\"0a1b2c3d\", latest]", "", &["join"], None),
        ("[\"1.0.3\", latest]", "", &["join"], None),
        ("[latest]", "arch_tag: \"0a1b2c3d-${arch}\"", &["join"], None),
    ] {
        plan(tags, more);
        let finished = world.run(join).finish().await.expect_code(0);
        match says_it {
            Some(says_it) => says(&finished, &[says_it, moves, "hint: ", "${git.sha}"]),
            None => assert!(!finished.stderr.contains(moves), "{tags} {more}: {}", finished.stderr),
        }
    }
    // The images say themselves that they belong together.
    plan("[latest]", "");
    for arch in ["amd64", "arm64"] {
        push(&format!("latest-{arch}"), &Image::of_revision(&format!("linux/{arch}"), "today"));
    }
    let finished = world.run(&["join"]).finish().await.expect_code(0);
    assert!(!finished.stderr.contains(moves), "{}", finished.stderr);
    // One of the images does not name its commit.
    push("latest-arm64", &Image::oci("linux/arm64", "last week"));
    says(&world.run(&["join"]).finish().await.expect_code(0), &[moves]);
}

#[tokio::test]
async fn join_after_matrix_jobs_warns_and_a_single_run_does_not() {
    let moves = "polyarch could join images of an earlier pipeline";
    for jobs in [
        &[&["build", "--no-join"][..]][..],
        &[&["build", "--platform", "linux/amd64"], &["build", "--platform", "linux/arm64"]],
    ] {
        let world = world("[latest]", "").await;
        for job in jobs {
            let built = world.run(job).finish().await.expect_code(0);
            assert!(!built.stderr.contains(moves), "{job:?} joins nothing: {}", built.stderr);
            world.assert_untouched();
        }
        says(&world.run(&["join"]).finish().await.expect_code(0), &[moves]);
    }
    // One run knows that it built both.
    let world = world("[latest]", "").await;
    let built = world.build().await.expect_code(0);
    assert!(!built.stderr.contains(moves), "{}", built.stderr);
}

#[tokio::test]
async fn build_without_arch_tags_warns_that_join_finds_no_image() {
    let store = Store::default();
    let pushed = store.clone();
    // The build itself pushes.
    let script = Script::default().containerd().solve(move |call| {
        let image = Image::docker(call.platform(), "pushed");
        pushed.push("hello", "ignored", &image);
        async move { call.built_as(&image) }
    });
    let world = World::around(ScriptedEngine::start(script, &store), store).await;
    world.plan(&HELLO.replace("    context:", "    arch_tags: none\n    context:"));
    let warning = "warning: hello: `polyarch join` cannot find ";
    for (job, platforms) in [
        (&["build", "--no-join"][..], "linux/amd64, linux/arm64: "),
        (&["build", "--platform", "linux/arm64"], "linux/arm64: "),
    ] {
        let built = world.run(job).finish().await.expect_code(0);
        says(
            &built,
            &[&format!("{warning}{platforms}the plan has `arch_tags: none`"), "hint: set `arch_tags: remove`"],
        );
    }
    for job in [&["build"][..], &["build", "--no-push"]] {
        let built = world.run(job).finish().await.expect_code(0);
        assert!(!built.stderr.contains("cannot find"), "{job:?}: {}", built.stderr);
    }
}

#[tokio::test]
async fn join_of_imported_or_named_images_does_not_warn() {
    let moves = "polyarch could join images of an earlier pipeline";
    let world = world("[latest]", "").await;
    for arch in ["amd64", "arm64"] {
        world.store.push("hello", &format!("latest-{arch}"), &Image::oci(&format!("linux/{arch}"), "x"));
    }
    let host = world.registry.host();
    let [amd64, arm64] = ["amd64", "arm64"].map(|arch| format!("{host}/hello:latest-{arch}"));
    let named = ["join", "-t", &format!("{host}/hello:2.0"), &amd64, &arm64];
    let named = world.run(&named).finish().await.expect_code(0);
    assert!(!named.stderr.contains(moves), "{}", named.stderr);
    world.plan(&format!(
        "images:\n  hello:\n    from: \"{host}/hello:2.0\"\n    tags: [latest]\n    platforms: [linux/amd64, linux/arm64]\n"
    ));
    world.run(&["build"]).finish().await.expect_code(0);
    let adopted = world.run(&["join"]).finish().await.expect_code(0);
    assert!(!adopted.stderr.contains(moves), "{}", adopted.stderr);
}

/// A registry that lost it, or a copy that brought the index alone.
#[tokio::test]
async fn listed_image_that_is_missing_is_named_and_not_awaited() {
    let world = world(r#"["1.0"]"#, "").await;
    push(&world, &Image::oci("linux/arm64", "x"));
    let lost = Image::oci("linux/amd64", "lost");
    world.store.put("hello", "1.0-amd64", &Document::index(&[lost.entry()]));
    let host = world.registry.host();
    let said = format!(
        "hello:1.0-amd64: its image {} is missing: registry {host} has no such content",
        lost.manifest.digest()
    );
    let [target, source] = ["2.0", "1.0-amd64"].map(|tag| format!("{host}/hello:{tag}"));
    for args in [&["join", "--wait", "30m"][..], &["join", "--wait", "30m", "-t", &target, &source]] {
        let finished = world.run(args).finish().await.expect_code(7);
        says(&finished, &[&said, "hint: push the image again"]);
        assert!(!finished.stderr.contains("does not exist"), "{}", finished.stderr);
    }
    // The config of one that is there is told likewise.
    world.store.put("hello", "1.0-amd64", &lost.manifest);
    let finished = world.run(&["join", "--wait", "30m"]).finish().await.expect_code(7);
    says(&finished, &[&format!("hello:1.0-amd64: its config {} is missing: registry", lost.config.digest())]);
    world.assert_untouched();
}
