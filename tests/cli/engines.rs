//! `polyarch engines`, with scripted engines.

use std::fs;

use polyarch::oci::Digest;
use serde_json::Value;

use crate::support::program::{Finished, Home, Run};
use crate::support::scripted_engine::{Script, ScriptedEngine};
use crate::support::store::Store;

/// Writes a docker context, as `docker context create` does.
fn context(home: &Home, name: &str, host: &str) {
    let digest = Digest::of(name.as_bytes());
    let directory = home.docker_config().join("contexts/meta").join(digest.hex());
    fs::create_dir_all(&directory).unwrap();
    let meta = format!(r#"{{"Name":"{name}","Metadata":{{}},"Endpoints":{{"docker":{{"Host":"{host}"}}}}}}"#);
    fs::write(directory.join("meta.json"), meta).unwrap();
}

/// Writes a builder, as `docker buildx create --use` does.
fn builder(home: &Home, name: &str) {
    let buildx = home.docker_config().join("buildx");
    fs::create_dir_all(buildx.join("instances")).unwrap();
    let text = format!(
        r#"{{"Name":"{name}","Driver":"docker-container","Nodes":[{{"Name":"{name}0","Endpoint":"lab",
           "Platforms":[{{"architecture":"arm64","os":"linux"}}]}}]}}"#
    );
    fs::write(buildx.join("instances").join(name), text).unwrap();
    fs::write(buildx.join("current"), format!(r#"{{"Key":"","Name":"{name}","Global":true}}"#)).unwrap();
}

fn engine(script: Script) -> ScriptedEngine {
    ScriptedEngine::start(script, &Store::default())
}

/// The engine of this name in the document of `--json`.
fn found<'a>(document: &'a Value, name: &str) -> &'a Value {
    let mut engines = document["engines"].as_array().unwrap().iter();
    engines.find(|engine| engine["name"] == name).unwrap_or_else(|| panic!("{name} is not in {document:#}"))
}

fn document(finished: &Finished) -> Value {
    serde_json::from_str(&finished.stdout).unwrap()
}

#[tokio::test]
async fn engines_lists_each_source_with_its_state() {
    let (x86, arm, home) = (engine(Script::default()), engine(Script::default().on("arm64").containerd()), Home::new());
    context(&home, "graviton", &arm.host());
    context(&home, "lab.2", "unix:///nonexistent/lab.sock");
    context(&home, "windows", "npipe:////./pipe/docker_engine");
    builder(&home, "ci");
    let run = |args: &[&str]| Run::new(&home, args).env("DOCKER_HOST", x86.host()).finish();
    let listed = document(&run(&["engines", "--json"]).await.expect_code(0));
    let default = found(&listed, "default");
    assert_eq!(
        (&default["source"], &default["used"], &default["version"]),
        (&"environment".into(), &true.into(), &"20.10.24".into())
    );
    let graviton = found(&listed, "graviton");
    assert_eq!((&graviton["store"], &graviton["used"]), (&"containerd".into(), &false.into()));
    assert_eq!(graviton["native"][0], "linux/arm64");
    assert_eq!(graviton["plan"], "graviton: { context: graviton }");
    let lab = found(&listed, "lab-2");
    assert_eq!((&lab["context"], &lab["reachable"]), (&"lab.2".into(), &false.into()));
    assert!(lab["failure"]["message"].as_str().unwrap().contains("No such file"), "{lab:#}");
    assert!(found(&listed, "windows")["failure"]["message"].as_str().unwrap().contains("npipe://"));
    let ci = found(&listed, "ci");
    assert_eq!((&ci["plan"], &ci["reachable"]), (&"ci: { builder: ci }".into(), &Value::Null));
    assert_eq!(
        (&ci["driver"], &ci["current"], &ci["native"][0]),
        (&"docker-container".into(), &true.into(), &"linux/arm64".into())
    );

    let text = run(&["engines"]).await.expect_code(0).stdout;
    for expected in ["default*", "context graviton", "buildx docker-container, current", "lab-2: cannot connect to"] {
        assert!(text.contains(expected), "{expected:?} is not in\n{text}");
    }
    // A program gets the same from a pipe as a person: no colours, and no line is cut.
    assert!(!text.contains('\u{1b}') && text.contains(&x86.host()), "{text}");
}

#[tokio::test]
async fn engines_of_the_plan_are_those_that_a_build_uses() {
    let (x86, home) = (engine(Script::default()), Home::new());
    let plan = |host: &str| {
        format!(
            "version: 1\nengines: {{ x86: {{ host: '{host}' }} }}\nimages: {{ web: {{ tags: [x], platforms: [linux/amd64] }} }}\n"
        )
    };
    fs::write(home.path().join("build.yaml"), plan(&x86.host())).unwrap();
    let run =
        |args: &'static [&'static str]| Run::new(&home, args).env("DOCKER_HOST", "unix:///nonexistent.sock").finish();
    let listed = document(&run(&["engines", "--json"]).await.expect_code(0));
    assert_eq!((&found(&listed, "x86")["used"], &found(&listed, "x86")["plan"]), (&true.into(), &Value::Null));
    assert_eq!(found(&listed, "default")["used"], false);
    fs::write(home.path().join("build.yaml"), "version: 1\nimages: {}\nzz: 1\n").unwrap();
    let refused = run(&["engines"]).await.expect_code(2);
    assert!(refused.stderr.contains("`zz`"), "{}", refused.stderr);
}

#[tokio::test]
async fn engines_exits_3_if_no_engine_answers() {
    let home = Home::new();
    context(&home, "lab", "unix:///nonexistent/lab.sock");
    // The default socket of this machine is out of sight.
    let script = r#"mount -t tmpfs tmpfs /run && exec "$0" engines "$@""#;
    let run = |more: &'static [&'static str]| {
        let args = ["--map-root-user", "--mount", "sh", "-c", script, env!("CARGO_BIN_EXE_polyarch")];
        Run::of("unshare", &home, args.iter().chain(more)).finish()
    };
    let none = run(&[]).await.expect_code(3);
    assert!(none.stdout.contains("lab: cannot connect to unix:///nonexistent/lab.sock"), "{}", none.stdout);
    assert!(none.stderr.contains("polyarch reaches no engine") && none.stderr.contains("hint: start Docker"));
    assert_eq!(found(&document(&run(&["--json"]).await.expect_code(3)), "lab")["reachable"], false);
}
