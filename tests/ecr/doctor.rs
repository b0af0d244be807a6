//! `polyarch doctor ecr`: what works, and what does not.

use serde_json::Value;

use super::world::{Aws, HELLO};
use crate::support::program::Finished;
use crate::support::scripted_ecr::{Action, Mutability};

/// The lines of stdout without what stands before their text.
fn lines(finished: &Finished) -> Vec<String> {
    finished.stdout.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

#[tokio::test]
async fn doctor_reports_every_working_step() {
    let aws = Aws::start().await;
    aws.ecr.has("hello", Mutability::ImmutableExcept(vec!["latest".to_owned(), "dev-*".to_owned()]));
    let told = aws.run(&["doctor", "ecr"]).finish().await.expect_code(0);
    let host = aws.ecr.host();
    let expected = [
        &host,
        "ok place region us-east-1",
        "ok identity arn:aws:sts::123456789012:assumed-role/ci/polyarch (account 123456789012)",
        "ok token AWS issues a login",
        "ok registry accepts the login",
        &format!("{host}/hello"),
        "ok repository exists",
        "ok mutability no tag may move, except latest, dev-*",
        "ok push layers may be pushed",
    ];
    assert_eq!(lines(&told), expected);
    assert_eq!(aws.ecr.tags("hello"), Vec::<String>::new());
}

#[tokio::test]
async fn doctor_reports_failures_with_hints_and_exits_3() {
    let aws = Aws::start().await;
    let told = aws.run(&["doctor", "ecr"]).finish().await.expect_code(3);
    assert!(told.stdout.contains("fails  repository  does not exist"), "{}", told.stdout);
    assert!(told.stdout.contains("hint: aws ecr create-repository --repository-name hello"), "{}", told.stdout);

    aws.ecr.has("hello", Mutability::Mutable);
    aws.ecr.deny(Action::InitiateLayerUpload);
    aws.ecr.deny(Action::DescribeRepositories);
    let told = aws.run(&["doctor", "ecr", "--json"]).finish().await.expect_code(3);
    let document: Value = serde_json::from_str(&told.stdout).unwrap();
    let steps: Vec<_> = document["findings"].as_array().unwrap().iter().collect();
    let step = |name: &str| steps.iter().find(|found| found["step"] == name).unwrap_or_else(|| panic!("{name}"));
    assert!(step("repository")["unknown"].as_str().unwrap().contains("ecr:DescribeRepositories"), "{document:#}");
    assert!(step("push")["fails"]["message"].as_str().unwrap().contains("ecr:InitiateLayerUpload"), "{document:#}");

    let nobody = aws.run_as_nobody(&["doctor", "ecr"]).finish().await.expect_code(3);
    assert!(nobody.stdout.contains("fails  identity    no AWS credentials were found"), "{}", nobody.stdout);
    assert!(!nobody.stdout.contains("token"), "{}", nobody.stdout);
}

#[tokio::test]
async fn doctor_refuses_a_registry_that_is_not_on_ecr() {
    let aws = Aws::start().await;
    aws.plan_at("registry.example", HELLO);
    let refused = aws.run(&["doctor", "ecr"]).finish().await.expect_code(2);
    assert!(refused.stderr.contains("none of these registries is Amazon ECR"), "{}", refused.stderr);
}
