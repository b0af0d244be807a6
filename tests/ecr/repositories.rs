//! Repositories, of which ECR has none that nobody created.

use std::fs;

use serde_json::json;

use super::world::{Aws, HELLO, says};
use crate::registry_faults::certificate;
use crate::registry_faults::proxies::Tunnel;
use crate::support::images::Image;
use crate::support::scripted_ecr::{Action, Mutability, ScriptedEcr};
use crate::support::scripted_registry::{Request, status};

const CREATED: &str = r#"
images:
  hello:
    context: context
    tags: ["1.0", latest]
    platforms: [linux/amd64, linux/arm64]
    ecr:
      create: true
      immutable: { except: [latest, "*-dev"] }
      scan_on_push: true
      encryption: { type: KMS, key: alias/images }
      tags: { team: web }
      lifecycle: lifecycle.json
"#;

#[tokio::test]
async fn missing_ecr_repository_stops_the_run_before_any_build() {
    let aws = Aws::start().await;
    let refused = aws.build().await.expect_code(3);
    let host = aws.ecr.host();
    says(
        &refused,
        &[
            &format!("repository hello does not exist in {host} (region us-east-1)"),
            "aws ecr create-repository --repository-name hello --region us-east-1",
            "or set `ecr: { create: true }` in the plan",
        ],
    );
    assert_eq!((aws.engine.counts().solves.started, aws.ecr.count(Action::CreateRepository)), (0, 0));
}

#[tokio::test]
async fn ecr_repository_is_created_with_the_settings_of_the_plan() {
    let aws = Aws::start().await;
    aws.plan(CREATED);
    let policy = json!({ "rules": [] }).to_string();
    fs::write(aws.home.path().join("lifecycle.json"), &policy).unwrap();
    let built = aws.build().await.expect_code(0);
    says(&built, &[&format!("created repository {}/hello", aws.ecr.host())]);
    let settings = aws.ecr.settings("hello").unwrap();
    assert_eq!(settings["imageTagMutability"], "IMMUTABLE_WITH_EXCLUSION");
    let filter = |text: &str| json!({ "filterType": "WILDCARD", "filter": text });
    assert_eq!(settings["imageTagMutabilityExclusionFilters"], json!([filter("latest"), filter("*-dev")]));
    assert_eq!(settings["imageScanningConfiguration"], json!({ "scanOnPush": true }));
    assert_eq!(settings["encryptionConfiguration"], json!({ "encryptionType": "KMS", "kmsKey": "alias/images" }));
    assert_eq!(settings["tags"], json!([{ "Key": "team", "Value": "web" }]));
    assert_eq!(settings["lifecyclePolicyText"], policy);
    assert_eq!(aws.ecr.tags("hello"), ["1.0", "1.0-amd64", "1.0-arm64", "latest"]);
    // Once it is there, nothing is asked to be created, and nothing is put.
    aws.build().await.expect_code(0);
    assert_eq!(aws.ecr.count(Action::CreateRepository), 1);
}

#[tokio::test]
async fn ecr_repository_created_by_another_run_is_accepted() {
    let aws = Aws::start().await;
    aws.plan(&HELLO.replace("context: context", "context: context\n    ecr: { create: true }"));
    aws.ecr.lose_the_race("hello", Mutability::Mutable);
    let built = aws.build().await.expect_code(0);
    says(&built, &[&format!("another run created repository {}/hello", aws.ecr.host())]);
}

#[tokio::test]
async fn invalid_lifecycle_policy_creates_no_repository() {
    let aws = Aws::start().await;
    aws.plan(CREATED);
    says(&aws.build().await.expect_code(2), &["cannot read the lifecycle policy lifecycle.json: No such file"]);
    fs::write(aws.home.path().join("lifecycle.json"), "{").unwrap();
    says(&aws.build().await.expect_code(2), &["cannot read the lifecycle policy lifecycle.json: EOF"]);
    assert_eq!(aws.ecr.count(Action::CreateRepository), 0);
}

#[tokio::test]
async fn repository_is_left_to_an_ecr_creation_template() {
    for plan in [HELLO, &HELLO.replace("context: context", "context: context\n    ecr: { create: true }")] {
        let aws = Aws::start().await;
        aws.plan(plan);
        aws.ecr.has_template(json!({ "prefix": "ROOT", "appliedFor": ["CREATE_ON_PUSH"] }));
        says(&aws.build().await.expect_code(0), &["with the first push, from the template for ROOT"]);
        assert_eq!(aws.ecr.count(Action::CreateRepository), 0);
        assert_eq!(aws.ecr.repositories(), ["hello"]);
    }
    let aws = Aws::start().await;
    aws.ecr.has_template(json!({ "prefix": "ROOT", "appliedFor": ["PULL_THROUGH_CACHE"] }));
    aws.ecr.has_template(json!({ "prefix": "other", "appliedFor": ["CREATE_ON_PUSH"] }));
    aws.build().await.expect_code(3);
}

#[tokio::test]
async fn server_without_creation_templates_is_accepted() {
    let plan = HELLO.replace("context: context", "context: context\n    ecr: { create: true }");
    for unknown in [
        status(500).header("Content-Type", "text/html").body("<title>500 Internal Server Error</title>"),
        status(400).body(r#"{ "__type": "UnknownOperationException" }"#),
    ] {
        let aws = Aws::start().await;
        aws.plan(&plan);
        let asked =
            move |action, _: &Request| (action == Action::DescribeRepositoryCreationTemplates).then(|| unknown.clone());
        aws.ecr.answers(asked);
        aws.build().await.expect_code(0);
        assert_eq!((aws.ecr.count(Action::CreateRepository), aws.ecr.repositories()), (1, vec!["hello".to_owned()]));
    }
}

#[tokio::test]
async fn role_that_may_only_push_looks_for_repositories_by_registry() {
    let aws = Aws::start().await;
    aws.ecr.deny(Action::DescribeRepositories);
    aws.ecr.deny(Action::DescribeRepositoryCreationTemplates);
    says(&aws.build().await.expect_code(3), &["repository hello does not exist in"]);
    aws.ecr.has("hello", Mutability::Mutable);
    aws.build().await.expect_code(0);
    assert_eq!(aws.ecr.tags("hello"), ["1.0", "1.0-amd64", "1.0-arm64", "latest"]);
}

#[tokio::test]
async fn missing_create_permission_names_the_action() {
    let aws = Aws::start().await;
    aws.plan(&HELLO.replace("context: context", "context: context\n    ecr: { create: true }"));
    aws.ecr.deny(Action::CreateRepository);
    let refused = aws.build().await.expect_code(3);
    says(
        &refused,
        &["create repository hello", "ecr:CreateRepository", "allow ecr:CreateRepository in the role's policy"],
    );
    assert_eq!(aws.engine.counts().solves.started, 0);
    // With tags it needs an action more, which is not its own.
    let aws = Aws::start().await;
    aws.plan(CREATED);
    fs::write(aws.home.path().join("lifecycle.json"), "{}").unwrap();
    aws.ecr.deny(Action::TagResource);
    says(&aws.build().await.expect_code(3), &["allow ecr:TagResource in the role's policy"]);
}

#[tokio::test]
async fn join_of_a_plan_needs_existing_ecr_repositories() {
    let aws = Aws::start().await;
    aws.ecr.has("hello", Mutability::Mutable);
    for platform in ["linux/amd64", "linux/arm64"] {
        aws.ecr.keep("hello", Some(&platform.replace("linux/", "1.0-")), &Image::docker(platform, platform));
    }
    aws.plan("images: { hello: { tags: [\"1.0\"], platforms: [linux/amd64, linux/arm64] }, other: { tags: [\"1.0\"], platforms: [linux/amd64] } }");
    let joined = aws.run(&["join"]).finish().await.expect_code(3);
    says(&joined, &["repository other does not exist in", "create-repository --repository-name other"]);
    aws.run(&["join", "hello"]).finish().await.expect_code(0);
}

#[tokio::test]
async fn join_and_copy_need_an_existing_ecr_target_repository() {
    // Without a plan it is the host's name that says what it is.
    let host = "123456789012.dkr.ecr.us-east-1.amazonaws.com";
    let (acceptor, pem) = certificate(host);
    let aws = Aws::around(ScriptedEcr::start_tls(acceptor).await);
    let tunnel = Tunnel::to(aws.ecr.registry.address, None).await;
    fs::write(aws.home.path().join("ca.pem"), pem).unwrap();
    aws.ecr.has("hello", Mutability::Mutable);
    aws.ecr.keep("hello", Some("1.0-amd64"), &Image::docker("linux/amd64", "amd64"));
    let (source, target, ca) =
        (format!("{host}/hello:1.0-amd64"), format!("{host}/other:1.0"), format!("{host}=ca.pem"));
    for args in [&["join", "--ca", &ca, "-t", &target, &source][..], &["copy", "--ca", &ca, &source, &target][..]] {
        let run = aws.run(args).env("HTTPS_PROXY", format!("http://{}", tunnel.address));
        says(&run.finish().await.expect_code(3), &["repository other does not exist in", "--repository-name other"]);
    }
    assert_eq!(aws.ecr.count(Action::InitiateLayerUpload), 0);
}

#[tokio::test]
async fn each_ecr_registry_creates_its_own_repository() {
    let (first, second) = (ScriptedEcr::start().await, ScriptedEcr::start_of("210987654321", "eu-west-1").await);
    let registries = format!(
        "[{{ type: ecr, host: \"{}/team\" }}, {{ type: ecr, host: \"{}\", region: eu-west-1, endpoint: \"{}\" }}]",
        first.host(),
        second.host(),
        second.endpoint(),
    );
    let aws = Aws::around(first);
    aws.plan_at(&registries, &HELLO.replace("context: context", "context: context\n    ecr: { create: true }"));
    let built = aws.build().await.expect_code(0);
    assert_eq!(
        (aws.ecr.repositories(), second.repositories()),
        (vec!["team/hello".to_owned()], vec!["hello".to_owned()])
    );
    let digest = aws.ecr.get("team/hello", "1.0").unwrap().digest();
    assert_eq!(second.get("hello", "latest").unwrap().digest(), digest);
    assert_eq!(built.stdout.matches(&digest).count(), 2, "{}", built.stdout);
    // Each got its own token, and no other: both fail what they did not give out.
    assert_eq!(aws.ecr.count(Action::GetAuthorizationToken), 1);
    assert_eq!(second.count(Action::GetAuthorizationToken), 1);
}

#[tokio::test]
async fn refused_lifecycle_policy_names_the_created_repository() {
    let aws = Aws::start().await;
    aws.plan(CREATED);
    fs::write(aws.home.path().join("lifecycle.json"), "{}").unwrap();
    aws.ecr.fail(Action::PutLifecyclePolicy, "InvalidParameterException", "no rules");
    says(&aws.build().await.expect_code(3), &["set the lifecycle policy of the new repository hello", "no rules"]);
    assert_eq!(aws.ecr.repositories(), ["hello"]);
}

#[tokio::test]
async fn repository_of_another_account_ignores_own_templates() {
    let host = "210987654321.dkr.ecr.us-east-1.amazonaws.com";
    let (acceptor, pem) = certificate(host);
    let aws = Aws::around(ScriptedEcr::start_tls(acceptor).await);
    let tunnel = Tunnel::to(aws.ecr.registry.address, None).await;
    fs::write(aws.home.path().join("ca.pem"), pem).unwrap();
    aws.ecr.has_template(json!({ "prefix": "ROOT", "appliedFor": ["CREATE_ON_PUSH"] }));
    let registry = format!("{{ type: ecr, host: {host}, ca: ca.pem, endpoint: \"{}\" }}", aws.ecr.endpoint());
    aws.plan_at(&registry, &HELLO.replace("context: context", "context: context\n    ecr: { create: true }"));
    // The engine here knows no tunnel, and its push ends the run.
    let run = aws.run(&["build"]).env("HTTPS_PROXY", format!("http://{}", tunnel.address));
    run.finish().await.expect_code(5);
    let requests = aws.ecr.control.requests();
    let created = requests.iter().find(|request| String::from_utf8_lossy(&request.body).contains("imageTagMutability"));
    let created: serde_json::Value = serde_json::from_slice(&created.unwrap().body).unwrap();
    assert_eq!(created["registryId"], "210987654321", "{created}");
}
