//! `polyarch doctor ecr`: what works, and what does not.

use serde_json::Value;

use super::world::{Aws, HELLO, says};
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
        "ok read may read manifests and layers",
        "ok push may begin an upload; UploadLayerPart, CompleteLayerUpload and PutImage are not checked",
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
async fn doctor_names_each_denied_read() {
    let aws = Aws::start().await;
    aws.ecr.has("hello", Mutability::Mutable);
    let denied = [Action::BatchGetImage, Action::BatchCheckLayerAvailability, Action::GetDownloadUrlForLayer];
    for action in denied {
        aws.ecr.deny(action);
    }
    let told = aws.run(&["doctor", "ecr"]).finish().await.expect_code(3);
    for action in denied {
        assert!(told.stdout.contains(&format!("hint: allow ecr:{action:?} in the role's policy")), "{}", told.stdout);
    }
    assert!(told.stdout.contains("ok     push        may begin an upload"), "{}", told.stdout);
}

#[tokio::test]
async fn doctor_reports_a_repository_that_the_build_creates() {
    let aws = Aws::start().await;
    aws.plan(&format!("{HELLO}    ecr: {{ create: true }}\n"));
    let told = aws.run(&["doctor", "ecr"]).finish().await.expect_code(0);
    assert!(told.stdout.contains("ok     repository  does not exist; `polyarch build` creates it"), "{}", told.stdout);
    assert!(told.stdout.contains("CreateRepository (not checked)"), "{}", told.stdout);
}

#[tokio::test]
async fn immovable_tag_of_an_exception_is_reported_early() {
    let aws = Aws::start().await;
    aws.ecr.has("hello", Mutability::Immutable);
    aws.plan(&format!("{HELLO}    ecr: {{ create: true, immutable: {{ except: [latest] }} }}\n"));
    let differs = "differ from `ecr:` in your plan: `latest` cannot move";
    let told = aws.run(&["doctor", "ecr"]).finish().await.expect_code(3);
    assert!(
        told.stdout.contains(&format!("no tag may move; the settings of the repository {differs}")),
        "{}",
        told.stdout
    );
    let built = aws.build().await.expect_code(0);
    says(&built, &[&format!("the settings of {}/hello {differs}", aws.ecr.host()), "put-image-tag-mutability"]);
    // A plan without `immutable` wants nothing.
    aws.plan(&format!("{HELLO}    ecr: {{ create: true }}\n"));
    let told = aws.run(&["doctor", "ecr"]).finish().await.expect_code(0);
    assert!(!told.stdout.contains("differ"), "{}", told.stdout);
}

#[tokio::test]
async fn reference_to_a_registry_of_the_plan_leads_to_the_image() {
    let aws = Aws::start().await;
    aws.ecr.has("hello", Mutability::Mutable);
    let name = format!("{}/hello", aws.ecr.host());
    let hint =
        |command: &str| format!("name the image of your plan, which describes this registry: polyarch {command} hello");
    let refused = aws.run(&["doctor", "ecr", &name]).finish().await.expect_code(2);
    says(&refused, &[&hint("doctor ecr")]);
    for words in [&["images", &name][..], &["clean", "--keep", "1", &name]] {
        let refused = aws.run(words).finish().await.expect_code(3);
        says(&refused, &[&hint(words[0])]);
    }
}

#[tokio::test]
async fn doctor_refuses_a_registry_that_is_not_on_ecr() {
    let aws = Aws::start().await;
    aws.plan_at("registry.example", HELLO);
    let refused = aws.run(&["doctor", "ecr"]).finish().await.expect_code(2);
    assert!(refused.stderr.contains("none of these registries is Amazon ECR"), "{}", refused.stderr);
}
