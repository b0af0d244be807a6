//! Logins that expire while an engine pushes.

use std::fs;
use std::process::Command;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use serde_json::{Value, json};

use super::world::{World, says};
use crate::support::program::Finished;
use crate::support::scripted_engine::Script;

/// What ECR says through an engine, what an engine says that was challenged in the middle, and what public.ecr.aws says.
const EXPIRED: [&str; 3] = [
    "denied: Your authorization token has expired. Reauthenticate and try again.",
    "no basic auth credentials",
    "denied: Your Authorization Token is invalid.",
];

/// One platform: one push.
const ONE: &str = r#"
images:
  hello: { context: context, tags: ["1.0"], platforms: [linux/amd64] }
"#;

/// The passwords that an engine was given, in order.
type Passwords = Arc<Mutex<Vec<String>>>;

/// An engine of whose pushes the first `failing` end with `message`.
fn pushing(message: &'static str, failing: usize) -> (Script, Passwords) {
    let passwords = Passwords::default();
    let told = passwords.clone();
    let script = Script::default().push(move |push| {
        let auth: Value = serde_json::from_slice(&URL_SAFE.decode(&push.auth).unwrap()).unwrap();
        let mut told = told.lock().unwrap();
        told.push(auth["password"].as_str().unwrap_or_default().to_owned());
        let fails = told.len() <= failing;
        async move {
            if fails {
                push.line(&json!({ "errorDetail": { "message": message }, "error": message }).to_string());
            } else {
                push.pushed();
            }
        }
    });
    (script, passwords)
}

/// A helper that answers with another password each time: `token-1`, `token-2` and so on.
fn counting(world: &World) {
    let (home, host) = (&world.home, world.registry.host());
    let body = r#"#!/bin/sh
read -r host
echo asked >> "$0.asked"
printf '{"ServerURL":"%s","Username":"AWS","Secret":"token-%s"}' "$host" $(wc -l < "$0.asked")
"#;
    // Another process writes it: were it open for writing here, what another test starts at that moment would inherit it,
    // and the system would refuse to run it (ETXTBSY).
    let file = home.path().join("docker-credential-counting");
    let write = r#"printf '%s' "$1" > "$0" && chmod 755 "$0""#;
    assert!(Command::new("sh").arg("-c").arg(write).arg(&file).arg(body).status().unwrap().success());
    let config = json!({ "credHelpers": { host: "counting" } });
    fs::write(home.docker_config().join("config.json"), config.to_string()).unwrap();
}

async fn world(script: Script) -> World {
    let world = World::start(script).await;
    world.plan(ONE);
    world
}

async fn build(world: &World) -> Finished {
    let path = format!("{}:/usr/bin:/bin", world.home.path().display());
    world.run(&["build"]).env("PATH", path).finish().await
}

#[tokio::test]
async fn push_with_an_expired_login_is_repeated_once_with_a_new_one() {
    for message in EXPIRED {
        let (script, passwords) = pushing(message, 1);
        let world = world(script).await;
        counting(&world);
        let finished = build(&world).await.expect_code(0);
        says(&finished, &["push: attempt 1 failed", message]);
        assert_eq!(*passwords.lock().unwrap(), ["token-1", "token-2"], "{message}");
        assert_eq!(world.report()["images"][0]["platforms"][0]["retries"], 1, "{}", world.report());
        assert_eq!(world.put(), ["1.0"]);
    }
}

#[tokio::test]
async fn push_fails_when_the_renewed_login_is_refused_too() {
    for message in EXPIRED {
        let (script, passwords) = pushing(message, usize::MAX);
        let world = world(script).await;
        counting(&world);
        says(&build(&world).await.expect_code(5), &[message]);
        assert_eq!(*passwords.lock().unwrap(), ["token-1", "token-2"], "{message}");
        world.assert_untouched();
    }
}

#[tokio::test]
async fn push_is_repeated_only_for_an_expired_login() {
    let refused = "denied: no access to hello";
    for (message, password) in [(refused, "token-1"), (EXPIRED[1], "")] {
        let (script, passwords) = pushing(message, usize::MAX);
        let world = world(script).await;
        if !password.is_empty() {
            counting(&world);
        }
        says(&build(&world).await.expect_code(5), &[message]);
        assert_eq!(*passwords.lock().unwrap(), [password], "{message}");
        world.assert_untouched();
    }
}
