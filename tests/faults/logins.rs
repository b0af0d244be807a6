//! Who we are: told to the host that it is for, and to nobody else.

use std::fs;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use bollard::moby::filesync::v1::CredentialsRequest;
use bollard::moby::filesync::v1::auth_client::AuthClient;
use serde_json::{Value, json};

use super::world::{World, says};
use crate::support::program::Run;
use crate::support::scripted_engine::Script;
use crate::support::scripted_registry::status;

/// What must be seen nowhere but where it is for.
const CANARY: &str = "canary-71c2";
const OTHER: &str = "canary-b05d";

fn docker_config(world: &World, config: &Value) {
    fs::write(world.home.docker_config().join("config.json"), config.to_string()).unwrap();
}

fn basic(password: &str) -> Value {
    json!({ "auth": STANDARD.encode(format!("user:{password}")) })
}

#[tokio::test]
async fn missing_credential_helper_of_a_push_is_an_error() {
    let world = World::start(Script::default()).await;
    let host = world.registry.host();
    // The entry beside it is no way out (CVE-2021-41092).
    docker_config(&world, &json!({ "credHelpers": { &host: "nowhere" }, "auths": { &host: basic(CANARY) } }));
    let finished = world.build().await;
    assert!([3, 5].contains(&finished.code()), "{}\n{}", finished.code(), finished.stderr);
    says(&finished, &["docker-credential-nowhere", &host, "PATH"]);
    assert_eq!(world.engine.counts().pushes.started, 0);
    assert!(!finished.stderr.contains(CANARY));
    world.assert_untouched();
}

#[tokio::test]
async fn missing_credential_helper_of_a_build_is_named() {
    let script = Script::default().solve(async |call| {
        let mut auth = AuthClient::new(call.session().await);
        auth.credentials(CredentialsRequest { host: "private.example".into() }).await?;
        call.built()
    });
    let world = World::start(script).await;
    docker_config(&world, &json!({ "credHelpers": { "private.example": "nowhere" } }));
    let finished = world.build().await.expect_code(4);
    says(&finished, &["docker-credential-nowhere", "private.example"]);
    world.assert_untouched();
}

#[tokio::test]
async fn credentials_go_only_to_their_host_and_are_never_shown() {
    let answers = Arc::new(Mutex::new(Vec::new()));
    let pushes = Arc::new(Mutex::new(Vec::new()));
    let (told, auths) = (answers.clone(), pushes.clone());
    let script = Script::default()
        .solve(move |call| {
            let told = told.clone();
            async move {
                let mut auth = AuthClient::new(call.session().await);
                for host in ["base.example", "evil.example", "base.example.evil.example"] {
                    let request = CredentialsRequest { host: host.into() };
                    let answer = auth.credentials(request).await?.into_inner();
                    told.lock().unwrap().push((host, answer.username, answer.secret));
                }
                call.log("a step that prints nothing secret\n");
                call.built()
            }
        })
        .push(move |push| {
            auths.lock().unwrap().push(push.auth.clone());
            async move { push.pushed() }
        });
    let world = World::start(script).await;
    let host = world.registry.host();
    docker_config(&world, &json!({ "auths": { &host: basic(CANARY), "base.example": basic(OTHER) } }));
    let expected = format!("Basic {}", STANDARD.encode(format!("user:{CANARY}")));
    let challenge = status(401).header("WWW-Authenticate", r#"Basic realm="test""#);
    world.registry_answers(move |request| {
        (request.header("authorization") != Some(expected.as_str())).then(|| challenge.clone())
    });
    let finished =
        world.run(&["build"]).env("RUST_LOG", "trace").env("RUST_BACKTRACE", "1").finish().await.expect_code(0);

    for (host, user, secret) in answers.lock().unwrap().iter() {
        let expected = if *host == "base.example" { ("user", OTHER) } else { ("", "") };
        assert_eq!((user.as_str(), secret.as_str()), expected, "{host}");
    }
    assert_eq!(answers.lock().unwrap().len(), 6);
    assert_eq!(pushes.lock().unwrap().len(), 2);
    for auth in pushes.lock().unwrap().iter() {
        let decoded = String::from_utf8(URL_SAFE.decode(auth).unwrap()).unwrap();
        assert!(decoded.contains(CANARY) && decoded.contains(&host) && !decoded.contains(OTHER), "{decoded}");
    }
    let events = Run::new(&world.home, ["build", "--progress", "json", "--format", "json"]);
    let events = events.env("DOCKER_HOST", world.engine.host()).finish().await.expect_code(0);

    let shown = [
        events.stdout,
        events.stderr,
        finished.stdout,
        finished.stderr,
        world.report().to_string(),
        world.engine.requests().join("\n"),
    ];
    for canary in [CANARY, OTHER] {
        for form in [canary.to_owned(), STANDARD.encode(format!("user:{canary}"))] {
            assert!(shown.iter().all(|text| !text.contains(&form)), "{form} is shown");
        }
    }
}

#[tokio::test]
async fn refused_login_stops_the_run_before_any_build() {
    let world = World::start(Script::default()).await;
    let host = world.registry.host();
    docker_config(&world, &json!({ "auths": { &host: basic(CANARY) } }));
    world.registry_answers(|_| Some(status(401).header("WWW-Authenticate", r#"Basic realm="test""#)));
    let finished = world.build().await.expect_code(3);
    says(&finished, &[&host, "docker login"]);
    assert!(!finished.stderr.contains(CANARY), "{}", finished.stderr);
    assert_eq!(world.engine.counts().solves.started, 0);
    world.assert_untouched();
}

/// An engine over plain TCP, and a login for the registry of the plan.
async fn in_clear(image: &str) -> World {
    let world = World::start(Script::default().containerd()).await;
    let host = world.registry.host();
    docker_config(&world, &json!({ "auths": { &host: basic(CANARY), "cache.example": basic(OTHER) } }));
    let engine = world.engine.over_tcp().await;
    world.plan(&format!(
        "engines: {{ lab: {{ host: '{engine}', insecure: true, platforms: [linux/amd64, linux/arm64] }} }}\n\
         images: {{ hello: {{ context: context, tags: [\"1.0\"], platforms: [linux/amd64, linux/arm64]{image} }} }}\n"
    ));
    world
}

#[tokio::test]
async fn login_for_an_unencrypted_engine_is_refused_before_the_build() {
    for (image, arguments, doing) in [
        ("", &["build"][..], "cannot push to"),
        ("", &["build", "--no-join"], "cannot push to"),
        (", arch_tags: none", &["build"], "cannot push to"),
        (", cache: { registry: true }", &["build", "--no-push"], "cannot export its cache to"),
        (
            ", cache: { to: { type: registry, ref: \"cache.example/hello:${arch}\" } }",
            &["build", "--no-push"],
            "cannot export its cache to cache.example/hello",
        ),
    ] {
        let world = in_clear(image).await;
        let finished = world.run(arguments).finish().await.expect_code(3);
        says(
            &finished,
            &[doing, "does not send the credentials", "unencrypted to engine lab at tcp://0.0.0.0", "ssh -N -L"],
        );
        assert_eq!(finished.stderr.matches("hint:").count(), 1, "once for all platforms: {}", finished.stderr);
        assert_eq!(world.engine.counts().solves.started, 0, "{image} {arguments:?}");
        assert!(!finished.stderr.contains(CANARY) && !finished.stderr.contains(OTHER));
        world.assert_untouched();
    }
}

#[tokio::test]
async fn unencrypted_engine_builds_if_no_login_is_needed() {
    let world = in_clear("").await;
    world.run(&["build", "--no-push"]).finish().await.expect_code(0);
    docker_config(&world, &json!({}));
    world.build().await.expect_code(0);
}
