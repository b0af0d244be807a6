//! `--load`: what was built has the image's name on its engine, and nothing is pushed.

use std::fs;

use serde_json::Value;

use crate::project::{Project, read_json};
use crate::support::engines::Engine;
use crate::support::parts;

on_both_engines!(loaded_image_runs_under_its_name, one_foreign_platform_can_be_loaded);
on_the_graph_engine!(loaded_image_runs_under_its_name, one_foreign_platform_can_be_loaded);

const PLATFORMS: [(&str, &str); 3] =
    [("linux/amd64", "x86_64"), ("linux/arm64", "aarch64"), ("linux/arm/v7", "armv7l")];

/// Whether the engine keeps several platforms under a name.
async fn keeps_all(engine: &Engine) -> bool {
    let driver = engine.docker(["info", "--format={{.DriverStatus}}"]).await;
    parts::printed(&driver).contains("io.containerd.snapshotter")
}

/// What `uname -m` says in the image.
async fn machine(engine: &Engine, args: &[&str], name: &str) -> String {
    let run = [&["run", "--rm", "--network=none", "--pull=never"], args, &[name, "/bin/busybox", "uname", "-m"]];
    parts::printed(&engine.docker(run.concat()).await)
}

fn loaded(report: &Value) -> Vec<(&str, &str, Vec<&str>)> {
    let names = report["images"][0]["loaded"].as_array().unwrap().iter();
    names
        .map(|name| {
            let platforms = name["platforms"].as_array().unwrap();
            let platforms = platforms.iter().filter_map(Value::as_str).collect();
            (name["name"].as_str().unwrap(), name["id"].as_str().unwrap(), platforms)
        })
        .collect()
}

async fn loaded_image_runs_under_its_name(engine: Engine) {
    let project = Project::new(engine, "load");
    let all = keeps_all(&project.engine).await;
    project.busybox("COPY data /data\n");
    project.write("context/data", "first");
    let platforms: Vec<_> = PLATFORMS.iter().map(|(platform, _)| *platform).collect();
    project.plan("local", &format!("platforms: [{}]", platforms.join(", ")));
    let name = format!("{}:1.0", project.name);
    let args = ["build", "--load", "--report", "report.json"];

    // No registry is named, and none is started: in CI that would be an error.
    let built = project.command(&args).env("CI", "true").finish().await.expect_code(0);
    assert_eq!(built.stdout, format!("{name}\n"));
    assert!(!project.home.path().join("registry").exists(), "an embedded registry was made");
    let first = read_json(&project.path("report.json"));
    let held = if all { &platforms[..] } else { &platforms[..1] };
    for (found, tag) in loaded(&first).iter().zip(["1.0", "latest"]) {
        assert_eq!((found.0, &found.2[..]), (&*format!("{}:{tag}", project.name), held));
    }
    assert_eq!(machine(&project.engine, &[], &name).await, PLATFORMS[0].1);
    for (platform, machine_of_it) in &PLATFORMS[1..] {
        let arch = platform.trim_start_matches("linux/").replace('/', "-");
        let arch_tag = format!("{name}-{arch}");
        if all {
            assert_eq!(machine(&project.engine, &["--platform", platform], &name).await, *machine_of_it);
        } else {
            let said = format!("{platform} is {arch_tag}");
            assert!(built.stderr.contains(&said), "no {said:?} in\n{}", built.stderr);
        }
        assert_eq!(machine(&project.engine, &["--platform", platform], &arch_tag).await, *machine_of_it);
    }

    // Unchanged: the same image. Changed: another one under the same names.
    project.command(&args).finish().await.expect_code(0);
    assert_eq!(loaded(&read_json(&project.path("report.json"))), loaded(&first));
    project.write("context/data", "second");
    project.command(&args).finish().await.expect_code(0);
    let third = read_json(&project.path("report.json"));
    assert_ne!(loaded(&third)[0].1, loaded(&first)[0].1);
    let cat = ["run", "--rm", "--network=none", "--pull=never", &name, "/bin/busybox", "cat", "/data"];
    assert_eq!(parts::printed(&project.engine.docker(cat).await), "second");

    // The name alone keeps what is under it.
    if all {
        let arch_tags =
            platforms.iter().map(|p| format!("{name}-{}", p.trim_start_matches("linux/").replace('/', "-")));
        parts::printed(&project.engine.docker(["rmi".to_owned()].into_iter().chain(arch_tags)).await);
        for (platform, machine_of_it) in PLATFORMS {
            assert_eq!(machine(&project.engine, &["--platform", platform], &name).await, machine_of_it);
        }
    }
}

async fn one_foreign_platform_can_be_loaded(engine: Engine) {
    let project = Project::new(engine, "load-one");
    let all = keeps_all(&project.engine).await;
    project.busybox("");
    project.plan("local", "platforms: [linux/amd64, linux/arm64, linux/arm/v7]");
    let name = format!("{}:1.0", project.name);
    let built = project.run(&["build", "--load", "--platform", "linux/arm64"]).await.expect_code(0);
    assert_eq!(built.stdout, format!("{name}\n"));
    assert_eq!(machine(&project.engine, &["--platform=linux/arm64"], &name).await, "aarch64");

    // Of two foreign ones none is the one that a name with room for one would show.
    let two = ["build", "--load", "--platform", "linux/arm64,linux/arm/v7"];
    if all {
        project.run(&two).await.expect_code(0);
        assert_eq!(machine(&project.engine, &["--platform=linux/arm/v7"], &name).await, "armv7l");
    } else {
        let refused = project.run(&two).await.expect_code(3);
        for text in ["can name only one platform of an image", "linux/arm64, linux/arm/v7 of", "--platform"] {
            assert!(refused.stderr.contains(text), "no {text:?} in\n{}", refused.stderr);
        }
    }
}

#[tokio::test]
async fn every_engine_loads_the_platforms_that_it_built() {
    let [old, new] = Engine::both();
    let project = Project::new(old.clone(), "load-two");
    let _new = new.cleanup(&project.name);
    project.busybox("");
    let settings =
        "platforms: { linux/amd64: { engine: old }, linux/arm64: { engine: new }, linux/arm/v7: { engine: new } }";
    project.plan("registry.example/team", settings);
    let plan = fs::read_to_string(project.path("build.yaml")).unwrap();
    let engines = format!(
        "engines:\n  old: {{ host: \"{}\" }}\n  new: {{ host: \"{}\", platforms: [linux/arm64, linux/arm/v7] }}\n",
        old.host, new.host
    );
    project.write("build.yaml", plan + &engines);
    let built = project.run(&["build", "--load"]).await.expect_code(0);
    let name = format!("team/{}:1.0", project.name);
    assert_eq!(built.stdout, format!("{name}\n"));
    assert_eq!(machine(&old, &[], &name).await, "x86_64");
    assert_eq!(machine(&new, &["--platform=linux/arm64"], &name).await, "aarch64");
    assert_eq!(machine(&new, &["--platform=linux/arm/v7"], &name).await, "armv7l");
}
