//! The policies of docs/guide/ecr.md: each is enough, and nothing in it is too much.

use std::collections::BTreeSet;

use serde_json::Value;

use super::world::{Aws, HELLO};
use crate::support::images::{Document, Image};
use crate::support::scripted_ecr::{Action, Mutability};

const PAGE: &str = include_str!("../../docs/guide/ecr.md");

const ALL: [Action; 16] = [
    Action::GetAuthorizationToken,
    Action::DescribeRepositories,
    Action::CreateRepository,
    Action::DescribeRepositoryCreationTemplates,
    Action::PutLifecyclePolicy,
    Action::TagResource,
    Action::DescribeImages,
    Action::ListImages,
    Action::BatchGetImage,
    Action::BatchDeleteImage,
    Action::BatchCheckLayerAvailability,
    Action::GetDownloadUrlForLayer,
    Action::InitiateLayerUpload,
    Action::UploadLayerPart,
    Action::CompleteLayerUpload,
    Action::PutImage,
];

/// What the policy under a heading allows.
fn allowed(heading: &str) -> BTreeSet<String> {
    let section = PAGE.split(&format!("\n### {heading}\n")).nth(1).unwrap_or_else(|| panic!("no section {heading}"));
    let block = section.split("```json\n").nth(1).unwrap().split("```").next().unwrap();
    let policy: Value = serde_json::from_str(block).unwrap();
    let actions = policy["Statement"].as_array().unwrap().iter().map(|statement| &statement["Action"]);
    let words = actions.flat_map(|action| action.as_array().cloned().unwrap_or_else(|| vec![action.clone()]));
    words.map(|action| action.as_str().unwrap().to_owned()).collect()
}

/// An account whose role has these actions and no other.
async fn role(actions: &BTreeSet<String>) -> Aws {
    let aws = Aws::start().await;
    for action in ALL.into_iter().filter(|action| !actions.contains(&action.iam())) {
        aws.ecr.deny(action);
    }
    aws
}

/// Those without one.
fn without(actions: &BTreeSet<String>, one: &str) -> BTreeSet<String> {
    actions.iter().filter(|action| *action != one).cloned().collect()
}

async fn builds(actions: &BTreeSet<String>) -> i32 {
    let aws = role(actions).await;
    aws.ecr.has("hello", Mutability::Mutable);
    aws.build().await.code()
}

#[tokio::test]
async fn build_policy_is_sufficient_and_minimal() {
    let actions = allowed("Build");
    assert_eq!(builds(&actions).await, 0);
    // Real engines ask for layers before they push them (Amazon ECR, "IAM permissions to push an image"); this one does not.
    for action in actions.iter().filter(|action| *action != "ecr:BatchCheckLayerAvailability") {
        assert_ne!(builds(&without(&actions, action)).await, 0, "{action} is not needed");
    }
}

async fn joins(actions: &BTreeSet<String>) -> i32 {
    let aws = role(actions).await;
    aws.ecr.has("hello", Mutability::Mutable);
    for platform in ["linux/amd64", "linux/arm64"] {
        aws.ecr.keep("hello", Some(&platform.replace("linux/", "1.0-")), &Image::docker(platform, platform));
    }
    aws.run(&["join"]).finish().await.code()
}

#[tokio::test]
async fn join_policy_is_sufficient_and_minimal() {
    let actions = allowed("Join");
    assert_eq!(joins(&actions).await, 0);
    for action in &actions {
        assert_ne!(joins(&without(&actions, action)).await, 0, "{action} is not needed");
    }
}

async fn creates(actions: &BTreeSet<String>) -> i32 {
    let aws = role(actions).await;
    std::fs::write(aws.home.path().join("lifecycle.json"), "{}").unwrap();
    let ecr = "context: context\n    ecr: { create: true, tags: { a: b }, lifecycle: lifecycle.json }";
    aws.plan(&HELLO.replace("context: context", ecr));
    aws.build().await.code()
}

#[tokio::test]
async fn create_policy_is_sufficient_and_minimal() {
    let (build, create) = (allowed("Build"), allowed("Create"));
    let both = build.union(&create).cloned().collect();
    assert_eq!(creates(&both).await, 0);
    for action in &create {
        assert_ne!(creates(&without(&both, action)).await, 0, "{action} is not needed");
    }
}

/// An index of two images, and one beside it.
async fn lists(actions: &BTreeSet<String>) -> i32 {
    let aws = role(actions).await;
    aws.ecr.has("hello", Mutability::Mutable);
    let images = ["linux/amd64", "linux/arm64"].map(|platform| Image::oci(platform, "1.0"));
    for image in &images {
        aws.ecr.keep("hello", None, image);
    }
    let entries: Vec<_> = images.iter().map(|image| image.manifest.descriptor()).collect();
    aws.ecr.keep_manifest("hello", Some("1.0"), &Document::index(&entries));
    aws.ecr.keep("hello", Some("left"), &Image::oci("linux/amd64", "left"));
    aws.run(&["images"]).finish().await.code()
}

#[tokio::test]
async fn list_images_policy_is_sufficient_and_minimal() {
    let actions = allowed("Images");
    assert_eq!(lists(&actions).await, 0);
    for action in &actions {
        assert_ne!(lists(&without(&actions, action)).await, 0, "{action} is not needed");
    }
}

/// Two publications; the older one goes.
async fn cleans(actions: &BTreeSet<String>) -> i32 {
    let aws = role(actions).await;
    aws.ecr.has("hello", Mutability::Mutable);
    for version in ["0.1", "0.2"] {
        let image = Image::oci("linux/amd64", version);
        aws.ecr.keep("hello", None, &image);
        aws.ecr.keep_manifest("hello", Some(version), &Document::index(&[image.manifest.descriptor()]));
    }
    aws.run(&["clean", "hello", "--keep", "1", "--all", "--apply"]).finish().await.code()
}

#[tokio::test]
async fn clean_policy_is_sufficient_and_minimal() {
    let actions = allowed("Clean");
    assert_eq!(cleans(&actions).await, 0);
    for action in &actions {
        assert_ne!(cleans(&without(&actions, action)).await, 0, "{action} is not needed");
    }
}

#[test]
fn every_policy_of_the_ecr_page_is_json() {
    let blocks: Vec<_> = PAGE.split("```json\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert!(blocks.len() >= 4);
    for block in blocks {
        let policy: Value = serde_json::from_str(block).unwrap_or_else(|error| panic!("{error}: {block}"));
        assert_eq!(policy["Version"], "2012-10-17");
    }
}
