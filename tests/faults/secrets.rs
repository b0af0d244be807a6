//! Build secrets: given to the build that they are for, missed before anything is built, and never shown.

use std::fs;
use std::sync::{Arc, Mutex};

use bollard::moby::buildkit::secrets::v1::GetSecretRequest;
use bollard::moby::buildkit::secrets::v1::secrets_client::SecretsClient;
use tonic::{Code, Status};

use super::world::{World, says};
use crate::support::program::Run;
use crate::support::scripted_engine::{Script, SolveCall};

/// What must be seen nowhere.
const CANARY: &str = "canary-4f09 +x";
const CANARY_BASE64: &str = "Y2FuYXJ5LTRmMDkgK3";
const OTHER: &str = "canary-e81b";

const PLAN: &str = r#"
images:
  hello:
    context: context
    tags: ["1.0", latest]
    secrets: [{ id: npm, env: NPM_TOKEN }, { id: key, file: keys/key.pem }]
    platforms:
      linux/amd64:
      linux/arm64: { secrets: [{ id: npm, env: ARM_TOKEN }] }
"#;

async fn ask(call: &SolveCall, id: &str) -> Result<Vec<u8>, Status> {
    let mut secrets = SecretsClient::new(call.session().await);
    let request = GetSecretRequest { id: id.into(), ..GetSecretRequest::default() };
    secrets.get_secret(request).await.map(|answer| answer.into_inner().data)
}

fn build(world: &World) -> Run {
    world.run(&["build"]).env("NPM_TOKEN", CANARY).env("ARM_TOKEN", OTHER)
}

fn with_key(world: &World, bytes: impl AsRef<[u8]>) {
    fs::create_dir_all(world.home.path().join("keys")).unwrap();
    fs::write(world.home.path().join("keys/key.pem"), bytes).unwrap();
}

#[tokio::test]
async fn each_build_session_gets_only_its_own_secrets() {
    let answers = Arc::new(Mutex::new(Vec::new()));
    let told = answers.clone();
    // An engine whose platforms share sessions where they may.
    let script = Script::default().containerd().solve(move |call| {
        let told = told.clone();
        async move {
            for id in ["npm", "key", "NPM_TOKEN"] {
                let answer = ask(&call, id).await.map_err(|status| status.code());
                told.lock().unwrap().push((call.platform().to_owned(), id, answer));
            }
            call.built()
        }
    });
    let world = World::start(script).await;
    world.plan(PLAN);
    with_key(&world, [0xff, 0, b'\n']);
    build(&world).finish().await.expect_code(0);
    let mut answers = answers.lock().unwrap().clone();
    answers.sort_by_key(|(platform, ..)| platform.clone());
    let (amd64, arm64) = ("linux/amd64".to_owned(), "linux/arm64".to_owned());
    assert_eq!(
        answers,
        [
            (amd64.clone(), "npm", Ok(CANARY.into())),
            (amd64.clone(), "key", Ok(vec![0xff, 0, b'\n'])),
            (amd64, "NPM_TOKEN", Err(Code::NotFound)),
            (arm64.clone(), "npm", Ok(OTHER.into())),
            (arm64.clone(), "key", Err(Code::NotFound)),
            (arm64, "NPM_TOKEN", Err(Code::NotFound)),
        ]
    );
}

#[tokio::test]
async fn secret_missing_from_the_plan_is_named_with_a_hint() {
    let script = Script::default().solve(async |call| {
        let status = ask(&call, "nmp").await.unwrap_err();
        // As BuildKit says it of a mount that is required.
        Err(Status::unknown(format!("failed to solve: secret nmp: not found: {}", status.message())))
    });
    let world = World::start(script).await;
    world.plan(PLAN);
    with_key(&world, "long enough");
    let failed = build(&world).finish().await.expect_code(4);
    says(&failed, &["secret nmp: not found", "`secrets`"]);
    world.assert_untouched();
}

#[tokio::test]
async fn unreadable_secrets_stop_the_run_before_any_build() {
    let world = World::start(Script::default()).await;
    world.plan(PLAN);
    let refused = world.run(&["build"]).env("ARM_TOKEN", OTHER).finish().await.expect_code(2);
    says(
        &refused,
        &["the secret npm: the environment variable NPM_TOKEN is not set", "the secret key: cannot read keys/key.pem"],
    );
    with_key(&world, vec![b'x'; (500 << 10) + 1]);
    let refused = build(&world).finish().await.expect_code(2);
    says(&refused, &["the secret key: keys/key.pem is larger than 500 KiB"]);
    assert!(!refused.stderr.contains("canary") && !refused.stderr.contains("xxxxxx"), "{}", refused.stderr);
    assert_eq!(world.engine.counts().solves.started, 0);
    world.assert_untouched();
}

#[tokio::test]
async fn secret_is_hidden_in_every_output_of_a_build() {
    let script = Script::default().solve(async |call| {
        call.step(&format!("RUN echo {CANARY}"));
        call.log("token: cana");
        call.log("ry-4f0");
        call.log(&format!("9 +x, again {CANARY}\n"));
        call.log("form canary-4f09+%2Bx\n");
        call.log(&format!("basic {CANARY_BASE64}g=\n"));
        // What another build printed, whose step this one shares.
        call.log(&format!("and {OTHER}\n"));
        call.log("unfinished canary-4f09 +x");
        Err(Status::unknown(format!("failed to solve: curl -H {CANARY} failed")))
    });
    let world = World::start(script).await;
    world.plan(PLAN);
    with_key(&world, "abc");
    let mut shown = Vec::new();
    for progress in ["plain", "json"] {
        let run = Run::new(&world.home, ["build", "--progress", progress, "--report", "report.json"]);
        let run = run.env("DOCKER_HOST", world.engine.host()).env("RUST_LOG", "trace");
        let failed = run.env("NPM_TOKEN", CANARY).env("ARM_TOKEN", OTHER).finish().await.expect_code(4);
        says(&failed, &["token: ***, again ***", "form ***", "and ***", "unfinished ***", "curl -H *** failed"]);
        says(&failed, &["the secret in keys/key.pem is too short to be hidden in logs"]);
        shown.extend([failed.stdout, failed.stderr, world.report().to_string()]);
    }
    shown.push(world.run(&["plan", "--format", "json"]).env("NPM_TOKEN", CANARY).finish().await.stdout);
    shown.push(world.engine.requests().join("\n"));
    for canary in ["canary-4f09", CANARY_BASE64, OTHER] {
        assert!(shown.iter().all(|text| !text.contains(canary)), "{canary} is shown");
    }
}
