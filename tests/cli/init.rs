//! `polyarch init`.

use std::fs;
use std::process::Command;

use crate::support::expected;
use crate::support::program::{Finished, Home, Run};

fn write(home: &Home, path: &str, text: &str) {
    let path = home.path().join("shop").join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn read(home: &Home, path: &str) -> String {
    fs::read_to_string(home.path().join("shop").join(path)).unwrap()
}

async fn run(home: &Home, words: &[&str]) -> Finished {
    let run = Run::new(home, words).folder(home.path().join("shop"));
    run.env("GIT_CEILING_DIRECTORIES", home.path()).env("GIT_CONFIG_NOSYSTEM", "1").finish().await
}

/// Makes the folder a repository of git with this remote.
fn remote(home: &Home, url: &str) {
    for words in [&["init", "-q"][..], &["remote", "add", "origin", url]] {
        let ran = Command::new("git").args(words).current_dir(home.path().join("shop")).status();
        assert!(ran.expect("git is installed: make parts").success(), "{words:?}");
    }
}

#[tokio::test]
async fn init_writes_a_plan_that_works_at_once() {
    let home = Home::new();
    write(&home, "Dockerfile", "FROM scratch\n");
    let asked = run(&home, &["build"]).await.expect_code(2);
    assert!(asked.stderr.contains("run `polyarch init`"), "{}", asked.stderr);
    let asked = run(&home, &["doctor"]).await;
    assert!(asked.stdout.contains("run `polyarch init`"), "{asked:?}");

    let wrote = run(&home, &["init"]).await.expect_code(0);
    assert_eq!(wrote.stderr, "wrote build.yaml with 1 image: shop\nnext: `polyarch doctor`, then `polyarch build`\n");
    assert!(wrote.stdout.is_empty(), "{}", wrote.stdout);
    let plan = run(&home, &["plan"]).await.expect_code(0).stdout;
    assert!(plan.contains("linux/arm64") && plan.contains("shop"), "{plan}");
    expected::is_file("tests/cli/init.yaml", &read(&home, "build.yaml"));
}

#[tokio::test]
async fn init_finds_every_dockerfile_and_the_remote() {
    let home = Home::new();
    write(&home, "web.Dockerfile", "FROM scratch\n");
    write(&home, "api/Dockerfile", "ARG A\nFROM scratch\n");
    write(&home, "odd dir/$HOME/Dockerfile.job", "# syntax=docker/dockerfile:1\nFROM scratch\n");
    remote(&home, "https://someone:secret@github.com/Acme/Shop.git");
    let wrote = run(&home, &["init"]).await.expect_code(0);
    assert_eq!(
        wrote.stderr,
        "wrote build.yaml with 3 images: web, api, job\n\
         next: `docker login ghcr.io`, `polyarch doctor`, then `polyarch build`\n"
    );
    let text = read(&home, "build.yaml");
    assert!(text.contains("\nregistry: ghcr.io/acme\n") && !text.contains("secret"), "{text}");
    let plan = run(&home, &["plan", "--format", "json"]).await.expect_code(0).stdout;
    let plan: serde_json::Value = serde_json::from_str(&plan).unwrap();
    let images = plan["images"].as_object().unwrap();
    assert_eq!(images.keys().collect::<Vec<_>>(), ["api", "job", "web"], "{plan}");
    assert!(
        images["job"]["platforms"]["linux/amd64"]["context"].as_str().unwrap().ends_with("odd dir/$$HOME"),
        "{plan}"
    );
}

#[tokio::test]
async fn init_overwrites_no_file() {
    let home = Home::new();
    write(&home, "Dockerfile", "FROM scratch\n");
    for existing in ["build.yaml", "polyarch.yaml"] {
        write(&home, existing, "mine\n");
        let refused = run(&home, &["init"]).await.expect_code(2);
        let said = format!(
            "error: {existing} exists, and polyarch does not overwrite it\nhint: check it with `polyarch plan`"
        );
        assert!(refused.stderr.starts_with(&said), "{}", refused.stderr);
        let refused = run(&home, &["init", "-f", existing]).await.expect_code(2);
        assert!(refused.stderr.starts_with(&said), "{}", refused.stderr);
        assert_eq!(read(&home, existing), "mine\n");
        fs::remove_file(home.path().join("shop").join(existing)).unwrap();
    }
    let printed = run(&home, &["init", "-f", "-"]).await.expect_code(0);
    assert!(printed.stderr.is_empty() && !home.path().join("shop/build.yaml").exists(), "{printed:?}");
    run(&home, &["init"]).await.expect_code(0);
    assert_eq!(printed.stdout, read(&home, "build.yaml"));
}

#[tokio::test]
async fn init_looks_for_dockerfiles_beside_the_named_file() {
    let home = Home::new();
    write(&home, "web/Dockerfile", "FROM scratch\n");
    write(&home, "empty/notes", "");
    let wrote = run(&home, &["init", "-f", "web/ci.yaml"]).await.expect_code(0);
    assert!(wrote.stderr.ends_with("next: `polyarch doctor -f web/ci.yaml`, then `polyarch build -f web/ci.yaml`\n"));
    run(&home, &["plan", "-f", "web/ci.yaml"]).await.expect_code(0);
    let refused = run(&home, &["init", "-f", "empty/build.yaml"]).await.expect_code(2);
    assert!(refused.stderr.contains("there is no Dockerfile in this directory"), "{}", refused.stderr);
    let refused = run(&home, &["init", "-f", "gone/build.yaml"]).await.expect_code(2);
    assert!(refused.stderr.contains("cannot read the directory gone"), "{}", refused.stderr);
}
