//! What Amazon ECR refuses to real engines: each kind says it in its own way, and we say what to do all the same.

use serde_json::json;

use crate::project::Project;
use crate::support::engines::Engine;
use crate::support::program::Finished;
use crate::support::scripted_ecr::{Action, Mutability, ScriptedEcr};
use crate::support::scripted_registry::status;

on_both_engines!(
    missing_repository_of_an_engine_push_hints_creation,
    ecr_action_missing_for_an_engine_push_is_named,
    ecr_token_expiring_under_a_real_engine_is_renewed_once,
    immutable_tag_accepts_only_its_own_digest_from_an_engine,
);

/// An account with the project's repository, whose tags may move or not; the plan pushes there.
async fn account(project: &Project, mutability: Mutability) -> ScriptedEcr {
    let ecr = ScriptedEcr::start().await;
    ecr.has(&project.name, mutability);
    // Who may not ask for the repository learns from refusals what it is like.
    ecr.deny(Action::DescribeRepositories);
    let (host, endpoint) = (ecr.host(), ecr.endpoint());
    let registry = json!({ "type": "ecr", "host": host, "region": "us-east-1", "endpoint": endpoint });
    project.plan(registry, "platforms: [linux/amd64]");
    project.busybox("");
    ecr
}

async fn build(project: &Project) -> Finished {
    let run = project.command(&["build", "--progress", "plain"]);
    let run = run.env("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE").env("AWS_SECRET_ACCESS_KEY", "canary");
    run.finish().await
}

fn says(finished: &Finished, text: &str) {
    assert!(finished.stderr.contains(text), "stderr does not say {text:?}:\n{}", finished.stderr);
}

async fn missing_repository_of_an_engine_push_hints_creation(engine: Engine) {
    let project = Project::new(engine, "missing");
    let ecr = account(&project, Mutability::Mutable).await;
    // It goes after it was looked for.
    let message =
        format!("The repository with name '{}' does not exist in the registry with id '123456789012'", project.name);
    let body = json!({ "errors": [{ "code": "NAME_UNKNOWN", "message": message }] }).to_string();
    ecr.answers(move |action, _| (action == Action::InitiateLayerUpload).then(|| status(404).body(body.clone())));
    let failed = build(&project).await.expect_code(5);
    says(&failed, &format!("aws ecr create-repository --repository-name {}", project.name));
}

async fn ecr_action_missing_for_an_engine_push_is_named(engine: Engine) {
    let project = Project::new(engine, "denied");
    for action in [Action::PutImage, Action::CompleteLayerUpload, Action::InitiateLayerUpload] {
        let ecr = account(&project, Mutability::Mutable).await;
        ecr.deny(action);
        let failed = build(&project).await.expect_code(5);
        says(&failed, &format!("allow {} in the role's policy", action.iam()));
        assert_eq!(ecr.count(Action::GetAuthorizationToken), 1, "{action:?}");
    }
    let ecr = account(&project, Mutability::Mutable).await;
    // Nothing is said of a HEAD: it may be the login, so that another one is tried, once.
    ecr.deny(Action::BatchCheckLayerAvailability);
    let failed = build(&project).await.expect_code(5);
    says(&failed, "allow ecr:BatchCheckLayerAvailability in the role's policy");
    assert_eq!(ecr.count(Action::GetAuthorizationToken), 2);
}

async fn ecr_token_expiring_under_a_real_engine_is_renewed_once(engine: Engine) {
    use Action::{BatchCheckLayerAvailability, CompleteLayerUpload, InitiateLayerUpload, PutImage};
    let project = Project::new(engine, "expires");
    for action in [BatchCheckLayerAvailability, InitiateLayerUpload, CompleteLayerUpload, PutImage] {
        let ecr = account(&project, Mutability::Mutable).await;
        ecr.expire_tokens_at(action);
        let built = build(&project).await.expect_code(0);
        assert_eq!(ecr.count(Action::GetAuthorizationToken), 2, "{action:?}: {}", built.stderr);
        assert_eq!(ecr.tags(&project.name), ["1.0", "1.0-amd64", "latest"]);
    }
}

async fn immutable_tag_accepts_only_its_own_digest_from_an_engine(engine: Engine) {
    let project = Project::new(engine, "immutable");
    let ecr = account(&project, Mutability::Immutable).await;
    build(&project).await.expect_code(0);
    let before = ecr.get(&project.name, "1.0-amd64").unwrap().digest();
    // Denied once that it is there: another run put it a moment ago. It is pushed, and the same: an engine with
    // containerd's store sees that, one without is refused.
    let mut hidden = false;
    ecr.answers(move |action, request| {
        let hides = action == Action::BatchGetImage && request.target.ends_with("/manifests/1.0-amd64") && !hidden;
        hides.then(|| {
            hidden = true;
            status(404)
        })
    });
    let pushed = ecr.count(Action::PutImage);
    build(&project).await.expect_code(0);
    assert!(ecr.count(Action::PutImage) - pushed <= 1);

    project.busybox("LABEL changed=yes\n");
    let refused = build(&project).await.expect_code(5);
    says(&refused, &format!("{}:1.0-amd64 is immutable and has sha256:", project.name));
    says(&refused, "; this run has ");
    assert_eq!(ecr.get(&project.name, "1.0-amd64").unwrap().digest(), before);
}
