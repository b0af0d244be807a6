//! A run warns once of what works and may be a danger, and not where the plan silences it.

use std::fs;

use serde_json::json;

use super::world::{HELLO, World, says};
use crate::support::scripted_engine::{Rest, Script};

/// The messages of the last run's warnings that contain `words`.
fn warned(world: &World, words: &str) -> Vec<String> {
    let report = world.report();
    let warnings = report["warnings"].as_array().unwrap();
    let messages = warnings.iter().map(|warning| warning["message"].as_str().unwrap().to_owned());
    messages.filter(|message| message.contains(words)).collect()
}

/// An engine of `version`, whose runc has the version `runc`.
fn engine(version: &'static str, runc: &'static str) -> Script {
    Script::default().rest(move |line| {
        let components = json!([{ "Name": "Engine", "Version": version }, { "Name": "runc", "Version": runc }]);
        let body =
            json!({ "Version": version, "ApiVersion": "1.41", "Os": "linux", "Arch": "amd64", "Components": components });
        (line == "GET /version").then(|| Rest::Answer(200, body.to_string()))
    })
}

#[tokio::test]
async fn engine_with_known_escapes_gets_one_warning() {
    const OUT: &str = "known vulnerabilities that let a build escape";
    for (version, runc, words) in [
        (
            "24.0.9",
            "1.1.12",
            Some("its BuildKit (CVE-2024-23651, CVE-2024-23652, CVE-2024-23653) and runc 1.1.12 (CVE-2025-31133"),
        ),
        ("28.1.0", "1.1.11", Some("runc 1.1.11 (CVE-2024-21626, CVE-2025-31133")),
        ("28.5.2", "1.3.3", None),
    ] {
        let world = World::start(engine(version, runc)).await;
        let built = world.build().await.expect_code(0);
        let said = warned(&world, OUT);
        assert_eq!(said.len(), usize::from(words.is_some()), "two platforms, one warning: {said:?}");
        if let Some(words) = words {
            says(&built, &[&format!("engine default ({version})"), words, "`silence: [vulnerable_engine]`"]);
        }
        world.plan(&format!("{HELLO}silence: [vulnerable_engine]\n"));
        world.build().await.expect_code(0);
        assert_eq!(warned(&world, OUT), Vec::<String>::new());
    }
}

#[tokio::test]
async fn foreign_dockerfile_frontend_gets_one_warning() {
    const FOREIGN: &str = "is not docker/dockerfile";
    let world = World::start(Script::default()).await;
    let dockerfile = |first: &str| {
        fs::write(world.home.path().join("context/Dockerfile"), format!("{first}FROM scratch\nCOPY Dockerfile /\n"))
            .unwrap();
    };
    for own in ["", "# syntax=docker/dockerfile:1\n", "# syntax=docker.io/docker/dockerfile-upstream:master\n"] {
        dockerfile(own);
        world.build().await.expect_code(0);
        assert_eq!(warned(&world, FOREIGN), Vec::<String>::new(), "{own}");
    }
    dockerfile("# syntax=ghcr.io/somebody/frontend:1\n");
    let built = world.build().await.expect_code(0);
    assert_eq!(warned(&world, FOREIGN).len(), 1);
    says(&built, &["hello: the frontend ghcr.io/somebody/frontend:1", "@sha256:", "`silence: [foreign_frontend]`"]);
    // A build argument goes before the directive.
    world.plan(&format!("{HELLO}    args: {{ BUILDKIT_SYNTAX: docker/dockerfile:1 }}\n"));
    world.build().await.expect_code(0);
    assert_eq!(warned(&world, FOREIGN), Vec::<String>::new());
    world.plan(&format!("{HELLO}    args: {{ BUILDKIT_SYNTAX: other/frontend }}\n"));
    world.build().await.expect_code(0);
    assert_eq!(warned(&world, "the frontend other/frontend").len(), 1);
    world.plan(&format!("{HELLO}silence: [foreign_frontend, secret_names]\n"));
    world.build().await.expect_code(0);
    assert_eq!(warned(&world, FOREIGN), Vec::<String>::new());
}

#[tokio::test]
async fn secret_looking_arguments_and_labels_get_one_warning() {
    const SECRET: &str = "the name looks like a secret";
    let world = World::start(Script::default()).await;
    let settings =
        "    args: { NPM_TOKEN: canary, VERSION: x, API_KEY: y }\n    labels: { db.password: z, auth.users: a }\n";
    world.plan(&format!("{HELLO}{settings}"));
    let built = world.build().await.expect_code(0);
    let said = warned(&world, SECRET);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].starts_with("args.API_KEY, args.NPM_TOKEN, labels.db.password: "), "{said:?}");
    says(&built, &["--mount=type=secret", "`silence: [secret_names]`"]);
    assert!(!built.stderr.contains("canary"), "{}", built.stderr);
    world.plan(&format!("{HELLO}{settings}silence: [secret_names]\n"));
    world.build().await.expect_code(0);
    assert_eq!(warned(&world, SECRET), Vec::<String>::new());
}

#[tokio::test]
async fn silence_accepts_only_known_warnings() {
    let world = World::start(Script::default()).await;
    world.plan(&format!("{HELLO}silence: [secret_name]\n"));
    let refused = world.run(&["build"]).finish().await.expect_code(2);
    says(&refused, &["`secret_name` is not a warning that you can silence", "did you mean `secret_names`?"]);
    world.plan(&format!("{HELLO}silence: [secret_names, vulnerable_engine, secret_names]\n"));
    let printed = crate::support::program::Run::new(&world.home, ["plan", "--format", "yaml"])
        .finish()
        .await
        .expect_code(0)
        .stdout;
    let plan: serde_json::Value = serde_yaml::from_str(&printed).unwrap();
    assert_eq!(plan["silence"], json!(["vulnerable_engine", "secret_names"]), "{printed}");
}
