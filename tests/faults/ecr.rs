//! What Amazon ECR refuses to an engine and to us, in its own words, and what we say to do.

use std::fs;

use serde_json::{Value, json};

use super::world::says;
use crate::support::images::{Document, Image};
use crate::support::program::{Finished, Home, Run};
use crate::support::scripted_ecr::{Action, Mutability, ScriptedEcr};
use crate::support::scripted_engine::{Script, ScriptedEngine};
use crate::support::scripted_registry::{Reply, Request, ScriptedRegistry, status};
use crate::support::store::Store;

/// An account, an engine that pushes there, and a plan of one image for one platform.
struct Site {
    ecr: ScriptedEcr,
    engine: ScriptedEngine,
    home: Home,
}

impl Site {
    /// With the repository, whose tags may move or not.
    async fn with(mutability: Mutability) -> Self {
        let ecr = ScriptedEcr::start().await;
        ecr.has("hello", mutability);
        let engine = ScriptedEngine::start(Script::default().push(ecr.pushes()), &Store::default());
        let (home, endpoint) = (Home::new(), ecr.endpoint());
        let registry = json!({ "type": "ecr", "host": ecr.host(), "region": "us-east-1", "endpoint": endpoint });
        let plan = format!(
            "version: 1\nregistry: {registry}\nimages:\n  hello:\n    dockerfile_inline: FROM scratch\n    \
             tags: [\"1.0\"]\n    platforms: [linux/amd64]\n"
        );
        fs::write(home.path().join("build.yaml"), plan).unwrap();
        Self { ecr, engine, home }
    }

    async fn run(&self, args: &[&str]) -> Finished {
        let run = Run::new(&self.home, args.iter().chain(&["--progress", "plain", "--report", "report.json"]))
            .env("DOCKER_HOST", self.engine.host())
            .env("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
            .env("AWS_SECRET_ACCESS_KEY", "canary");
        run.finish().await
    }

    fn report(&self) -> Value {
        serde_json::from_slice(&fs::read(self.home.path().join("report.json")).unwrap()).unwrap()
    }
}

#[tokio::test]
async fn ecr_repository_lost_before_the_push_exits_5_with_a_hint() {
    let site = Site::with(Mutability::Mutable).await;
    // It goes after it was looked for.
    let message = "The repository with name 'hello' does not exist in the registry with id '123456789012'";
    let body = json!({ "errors": [{ "code": "NAME_UNKNOWN", "message": message }] }).to_string();
    site.ecr.answers(move |action, _| (action == Action::InitiateLayerUpload).then(|| status(404).body(body.clone())));
    let finished = site.run(&["build"]).await.expect_code(5);
    says(
        &finished,
        &[
            message,
            "`aws ecr create-repository --repository-name hello --region REGION`, or set `ecr: { create: true }` in the plan",
        ],
    );
    assert_eq!(site.engine.counts().pushes.started, 1);
}

#[tokio::test]
async fn push_without_an_ecr_permission_is_not_retried() {
    use Action::{CompleteLayerUpload, InitiateLayerUpload, PutImage, UploadLayerPart};
    for action in [InitiateLayerUpload, UploadLayerPart, CompleteLayerUpload, PutImage] {
        let site = Site::with(Mutability::Mutable).await;
        site.ecr.deny(action);
        let finished = site.run(&["build"]).await.expect_code(5);
        says(&finished, &[&format!("allow {} in the role's policy", action.iam())]);
        assert_eq!((site.engine.counts().pushes.started, site.ecr.count(action)), (1, 1), "{action:?}");
    }
}

#[tokio::test]
async fn missing_ecr_action_is_named_even_without_an_ecr_message() {
    for (action, words) in [
        (Action::PutImage, true),
        (Action::PutImage, false),
        (Action::BatchGetImage, true),
        (Action::BatchGetImage, false),
    ] {
        let site = Site::with(Mutability::Mutable).await;
        site.run(&["build", "--no-join"]).await.expect_code(0);
        if words {
            site.ecr.deny(action);
        } else {
            site.ecr.answers(move |asked, _| (asked == action).then(|| status(403)));
        }
        let finished = site.run(&["join"]).await;
        assert!([3, 6].contains(&finished.code()), "{}: {}", finished.code(), finished.stderr);
        says(&finished, &[&format!("allow {} in the role's policy", action.iam())]);
        assert!(!site.ecr.tags("hello").contains(&"1.0".to_owned()));
    }
}

#[tokio::test]
async fn ecr_token_expiring_during_engine_push_is_renewed_once() {
    let site = Site::with(Mutability::Mutable).await;
    site.ecr.expire_tokens_at(Action::CompleteLayerUpload);
    let finished = site.run(&["build"]).await.expect_code(0);
    says(&finished, &["push: attempt 1 failed", "Your authorization token has expired"]);
    assert_eq!((site.engine.counts().pushes.started, site.ecr.count(Action::GetAuthorizationToken)), (2, 2));
    assert_eq!(site.report()["images"][0]["platforms"][0]["retries"], 1);
    assert_eq!(site.ecr.tags("hello"), ["1.0", "1.0-amd64"]);
}

#[tokio::test]
async fn ecr_token_expiring_between_requests_is_renewed_once() {
    for action in [Action::BatchGetImage, Action::PutImage] {
        let site = Site::with(Mutability::Mutable).await;
        site.run(&["build", "--no-join"]).await.expect_code(0);
        let before = site.ecr.count(Action::GetAuthorizationToken);
        site.ecr.expire_tokens_at(action);
        site.run(&["join"]).await.expect_code(0);
        assert_eq!(site.ecr.count(Action::GetAuthorizationToken) - before, 2, "{action:?}");
    }
}

#[tokio::test]
async fn ecr_token_expired_on_arrival_is_requested_once() {
    let site = Site::with(Mutability::Mutable).await;
    for seconds in [-3600, 3600, 13 * 3600] {
        site.ecr.token_life(seconds);
        let before = site.ecr.count(Action::GetAuthorizationToken);
        site.run(&["build"]).await.expect_code(0);
        assert_eq!(site.ecr.count(Action::GetAuthorizationToken) - before, 1, "{seconds}");
    }
}

#[tokio::test]
async fn throttled_ecr_manifest_push_is_retried_and_reported() {
    let site = Site::with(Mutability::Mutable).await;
    site.run(&["build", "--no-join"]).await.expect_code(0);
    site.ecr.throttle(Action::PutImage, 2);
    says(&site.run(&["join"]).await.expect_code(0), &["Rate exceeded"]);
    site.run(&["build", "--no-join", "--tag", "2.0"]).await.expect_code(0);
    site.ecr.throttle(Action::PutImage, usize::MAX);
    let finished = site.run(&["join", "--tag", "2.0"]).await.expect_code(6);
    says(&finished, &["429: Rate exceeded after 5 attempts in ", "ECR takes 10 manifests a second"]);
}

#[tokio::test]
async fn throttled_engine_push_is_tried_five_times_at_most() {
    let site = Site::with(Mutability::Mutable).await;
    site.ecr.throttle(Action::PutImage, 2);
    says(&site.run(&["build", "--no-join"]).await.expect_code(0), &["push: attempt 2 failed", "Rate exceeded"]);
    assert_eq!((site.engine.counts().pushes.started, site.ecr.count(Action::GetAuthorizationToken)), (3, 1));
    site.ecr.throttle(Action::PutImage, usize::MAX);
    let finished = site.run(&["build", "--tag", "2.0"]).await.expect_code(5);
    says(&finished, &["Rate exceeded", "ECR takes 10 manifests a second"]);
    assert_eq!(site.engine.counts().pushes.started, 3 + 5);
}

#[tokio::test]
async fn ecr_invalid_json_error_gets_hints_about_its_causes() {
    let site = Site::with(Mutability::Mutable).await;
    site.run(&["build", "--no-join"]).await.expect_code(0);
    let message = "Invalid parameter at 'ImageManifest' failed to satisfy constraint: 'Invalid JSON syntax'";
    let body = json!({ "errors": [{ "code": "UNSUPPORTED", "message": message }] }).to_string();
    site.ecr.answers(move |action, _| (action == Action::PutImage).then(|| status(405).body(body.clone())));
    let finished = site.run(&["join"]).await.expect_code(6);
    says(&finished, &[message, "no `mediaType` at the top", "`platform.features`", "`artifactType` or `subject`"]);
}

#[tokio::test]
async fn platform_features_are_left_out_for_ecr_with_a_warning() {
    let site = Site::with(Mutability::Mutable).await;
    let upstream = Store::default();
    let image = Image::docker("linux/amd64", "upstream");
    upstream.push("upstream", "ignored", &image);
    let mut entry = image.manifest.descriptor();
    entry["platform"] = json!({ "os": "linux", "architecture": "amd64", "features": ["sse4"], "os.version": "1" });
    upstream.put("upstream", "1", &Document::docker_list(std::slice::from_ref(&entry)));
    let source = ScriptedRegistry::stateful(move |request| upstream.answer(request)).await;
    let plan = fs::read_to_string(site.home.path().join("build.yaml")).unwrap();
    let from = format!("from: {}/upstream:1", source.host());
    fs::write(site.home.path().join("build.yaml"), plan.replace("dockerfile_inline: FROM scratch", &from)).unwrap();
    let finished = site.run(&["build"]).await.expect_code(0);
    says(&finished, &["`features` left out of the entry: Amazon ECR refuses an index with `features`"]);
    entry["platform"].as_object_mut().unwrap().remove("features");
    let index = site.ecr.get("hello", "1.0").unwrap();
    assert_eq!(index.json()["manifests"], json!([entry]), "all else is kept");
    assert_eq!(site.ecr.get("hello", "1.0-amd64").unwrap().json()["manifests"], json!([entry]));
    let again = site.run(&["join"]).await.expect_code(0);
    assert!(again.stdout.trim_end().ends_with(&index.digest()), "{}", again.stdout);
}

/// Denies that a tag is there until it is put: another run put it a moment before.
fn hides(tag: &'static str) -> impl FnMut(Action, &Request) -> Option<Reply> + Send {
    let mut is_put = false;
    move |action, request| {
        let is_of_tag = request.target.ends_with(&format!("/manifests/{tag}"));
        is_put |= is_of_tag && action == Action::PutImage;
        let hides = is_of_tag && !is_put;
        let body = r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"Requested image not found"}]}"#;
        hides.then(|| status(404).body(body))
    }
}

#[tokio::test]
async fn same_digest_under_an_immutable_ecr_tag_succeeds() {
    for tag in ["1.0-amd64", "1.0"] {
        let site = Site::with(Mutability::Immutable).await;
        // Who may not ask whether tags may move learns it from the refusal.
        site.ecr.deny(Action::DescribeRepositories);
        site.run(&["build"]).await.expect_code(0);
        let before = site.ecr.count(Action::PutImage);
        site.ecr.answers(hides(tag));
        site.run(&["build"]).await.expect_code(0);
        // It was put, and refused.
        assert_eq!(site.ecr.count(Action::PutImage) - before, 1, "{tag}");
    }
}

#[tokio::test]
async fn immutable_ecr_tag_error_shows_both_digests() {
    let other = Image::docker("linux/amd64", "an earlier run");
    let site = Site::with(Mutability::Immutable).await;
    site.ecr.deny(Action::DescribeRepositories);
    site.ecr.keep("hello", Some("1.0-amd64"), &other);
    let refused = site.run(&["build"]).await.expect_code(5);
    let built = Image::docker("linux/amd64", "hello:1.0-amd64");
    let (there, ours) = (other.config.digest(), built.config.digest());
    let has = format!("{} (image ID {there}); this run has the image ID {ours}", other.manifest.digest());
    says(&refused, &[&format!("hello:1.0-amd64 is immutable and has {has}")]);

    let site = Site::with(Mutability::Immutable).await;
    site.ecr.deny(Action::DescribeRepositories);
    site.ecr.keep("hello", Some("1.0"), &other);
    let refused = site.run(&["build"]).await.expect_code(6);
    says(&refused, &[&format!("hello:1.0 is immutable and has {}; this run has sha256:", other.manifest.digest())]);
    assert_eq!(site.ecr.get("hello", "1.0").unwrap().digest(), other.manifest.digest());
}
