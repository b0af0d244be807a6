//! What Amazon ECR refuses to an engine and to us, in its own words, and what we say to do.

use std::fs;

use serde_json::{Value, json};

use super::world::says;
use crate::support::program::{Finished, Home, Run};
use crate::support::scripted_ecr::{Action, Mutability, ScriptedEcr};
use crate::support::scripted_engine::{Script, ScriptedEngine};
use crate::support::scripted_images::{DOCKER_LIST, Document, Image, Store};
use crate::support::scripted_registry::{Reply, Request, ScriptedRegistry, status};

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
async fn d14_a_repository_that_is_missing_is_exit_5_with_how_to_create_it() {
    let site = Site::with(Mutability::Mutable).await;
    // It goes after it was looked for.
    let message = "The repository with name 'hello' does not exist in the registry with id '123456789012'";
    let body = json!({ "errors": [{ "code": "NAME_UNKNOWN", "message": message }] }).to_string();
    site.ecr.answers(move |action, _| (action == Action::InitiateLayerUpload).then(|| status(404).body(body.clone())));
    let finished = site.run(&["build"]).await.expect_code(5);
    says(
        &finished,
        &[message, "`aws ecr create-repository --repository-name hello`, or set `ecr: { create: true }` in the plan"],
    );
    assert_eq!(site.engine.counts().pushes.started, 1);
}

#[tokio::test]
async fn an_action_that_a_push_lacks_is_named_and_the_push_is_not_repeated() {
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
async fn an_action_that_we_lack_is_named_where_ecr_says_nothing_too() {
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
async fn d11_a_token_that_expires_while_an_engine_pushes_is_replaced_once() {
    let site = Site::with(Mutability::Mutable).await;
    site.ecr.expire_tokens_at(Action::CompleteLayerUpload);
    let finished = site.run(&["build"]).await.expect_code(0);
    says(&finished, &["push: attempt 1 failed", "Your authorization token has expired"]);
    assert_eq!((site.engine.counts().pushes.started, site.ecr.count(Action::GetAuthorizationToken)), (2, 2));
    assert_eq!(site.report()["images"][0]["platforms"][0]["retries"], 1);
    assert_eq!(site.ecr.tags("hello"), ["1.0", "1.0-amd64"]);
}

#[tokio::test]
async fn d11_a_token_that_expires_between_our_requests_is_replaced_once() {
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
async fn d12_tokens_that_are_expired_when_they_are_given_out_are_asked_for_once() {
    let site = Site::with(Mutability::Mutable).await;
    for seconds in [-3600, 3600, 13 * 3600] {
        site.ecr.token_life(seconds);
        let before = site.ecr.count(Action::GetAuthorizationToken);
        site.run(&["build"]).await.expect_code(0);
        assert_eq!(site.ecr.count(Action::GetAuthorizationToken) - before, 1, "{seconds}");
    }
}

#[tokio::test]
async fn d1_what_is_put_too_often_is_tried_again_and_told() {
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
async fn d1_a_push_of_an_engine_that_is_one_too_many_is_made_again_five_times_at_most() {
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
async fn what_ecr_calls_invalid_json_has_its_causes_named() {
    let site = Site::with(Mutability::Mutable).await;
    site.run(&["build", "--no-join"]).await.expect_code(0);
    let message = "Invalid parameter at 'ImageManifest' failed to satisfy constraint: 'Invalid JSON syntax'";
    let body = json!({ "errors": [{ "code": "UNSUPPORTED", "message": message }] }).to_string();
    site.ecr.answers(move |action, _| (action == Action::PutImage).then(|| status(405).body(body.clone())));
    let finished = site.run(&["join"]).await.expect_code(6);
    says(&finished, &[message, "no `mediaType` at the top", "`platform.features`", "`artifactType` or `subject`"]);
}

#[tokio::test]
async fn what_ecr_refuses_of_an_entry_is_left_out_and_told() {
    let site = Site::with(Mutability::Mutable).await;
    let upstream = Store::default();
    let image = Image::docker("linux/amd64", "upstream");
    upstream.push("upstream", "ignored", &image);
    let mut entry = image.manifest.descriptor();
    entry["platform"] = json!({ "os": "linux", "architecture": "amd64", "features": ["sse4"], "os.version": "1" });
    let list = json!({ "schemaVersion": 2, "mediaType": DOCKER_LIST, "manifests": [entry] });
    upstream.put("upstream", "1", &Document::new(DOCKER_LIST, &list));
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
async fn d15_the_same_digest_under_an_immutable_tag_is_success_of_a_push_and_of_ours() {
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
async fn d15_another_digest_under_an_immutable_tag_is_refused_with_both() {
    let other = Image::docker("linux/amd64", "an earlier run");
    let site = Site::with(Mutability::Immutable).await;
    site.ecr.deny(Action::DescribeRepositories);
    site.ecr.keep("hello", Some("1.0-amd64"), &other);
    let refused = site.run(&["build"]).await.expect_code(5);
    let built = Image::docker("linux/amd64", "hello:1.0-amd64");
    let (there, ours) = (other.config.digest(), built.config.digest());
    says(&refused, &[&format!("hello:1.0-amd64 is immutable and has {there}; this run has {ours}")]);

    let site = Site::with(Mutability::Immutable).await;
    site.ecr.deny(Action::DescribeRepositories);
    site.ecr.keep("hello", Some("1.0"), &other);
    let refused = site.run(&["build"]).await.expect_code(6);
    says(&refused, &[&format!("hello:1.0 is immutable and has {}; this run has sha256:", other.manifest.digest())]);
    assert_eq!(site.ecr.get("hello", "1.0").unwrap().digest(), other.manifest.digest());
}
