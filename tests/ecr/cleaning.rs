//! `polyarch clean` under the rules of ECR: by digest, a hundred at once, no child of a list before the list.

use serde_json::{Value, json};

use super::world::{Aws, says};
use crate::support::images::{Document, Image};
use crate::support::scripted_ecr::{Action, Mutability};
use crate::support::scripted_registry::{Request, status};

/// An image that polyarch built of `hello`, unless it says another label.
fn built(platform: &str, seed: &str) -> Image {
    Image::oci(platform, seed).holding(&json!({ "Labels": { "dev.polyarch.image": "hello" } }), &[])
}

/// What a run publishes as `version`: two arch tags, and then the index.
fn publish(aws: &Aws, version: &str) -> ([Image; 2], Document) {
    let images = ["linux/amd64", "linux/arm64"].map(|platform| built(platform, version));
    for image in &images {
        aws.ecr.keep("hello", Some(&image.platform.replace("linux/", &format!("{version}-"))), image);
    }
    let index = Document::index_of([&images[0], &images[1]]);
    aws.ecr.keep_manifest("hello", Some(version), &index);
    (images, index)
}

/// An account where `hello` was published so often: 1.0, 1.1, … The plan has the tags 1.0 and latest.
async fn account(publications: usize) -> Aws {
    let aws = Aws::start().await;
    aws.ecr.has("hello", Mutability::Mutable);
    for minor in 0..publications {
        publish(&aws, &format!("1.{minor}"));
    }
    aws
}

/// The plan with other tags than those that are there.
fn plan(aws: &Aws) {
    aws.plan(&super::world::HELLO.replace("1.0\", latest", "9.0\""));
}

/// The ids of each `BatchDeleteImage`, in their order.
fn deleted(aws: &Aws) -> Vec<Vec<Value>> {
    let asked = aws.ecr.control.requests().into_iter().filter(|request: &Request| {
        request.header("x-amz-target").is_some_and(|target| target.ends_with(".BatchDeleteImage"))
    });
    let ids = asked.map(|request| serde_json::from_slice::<Value>(&request.body).unwrap()["imageIds"].clone());
    ids.map(|ids| ids.as_array().unwrap().clone()).collect()
}

#[tokio::test]
async fn clean_deletes_ecr_indexes_first_in_batches_of_100() {
    let aws = account(60).await;
    plan(&aws);
    let shown = aws.run(&["clean", "hello", "--keep", "2"]).finish().await.expect_code(0);
    says(&shown, &["174 of 180 images would be deleted; --apply deletes them"]);
    assert_eq!(aws.ecr.count(Action::BatchDeleteImage), 0);
    let cleaned = aws.run(&["clean", "hello", "--keep", "2", "--apply"]).finish().await.expect_code(0);
    says(&cleaned, &["174 of 180 images deleted"]);
    assert!(!cleaned.stderr.contains("warning"), "when images were pushed is known: {}", cleaned.stderr);
    let deleted = deleted(&aws);
    assert_eq!(deleted.iter().map(Vec::len).collect::<Vec<_>>(), [58, 100, 16]);
    assert!(deleted.iter().flatten().all(|id| id["imageTag"].is_null() && id["imageDigest"].is_string()));
    let left = ["1.58", "1.58-amd64", "1.58-arm64", "1.59", "1.59-amd64", "1.59-arm64"];
    assert_eq!(aws.ecr.tags("hello"), left);
    aws.run(&["clean", "hello", "--keep", "2", "--apply"]).finish().await.expect_code(0);
    assert_eq!(aws.ecr.count(Action::BatchDeleteImage), 3, "nothing is left to delete");
}

#[tokio::test]
async fn clean_keeps_foreign_images_and_images_of_other_indexes() {
    let aws = account(0).await;
    plan(&aws);
    let (images, _) = publish(&aws, "1.0");
    let foreign = Image::oci("linux/s390x", "foreign");
    aws.ecr.keep("hello", None, &foreign);
    aws.ecr.keep_manifest("hello", Some("0.1"), &Document::index_of([&images[0], &foreign]));
    aws.ecr.keep("hello", Some("0.2"), &Image::oci("linux/amd64", "other"));
    let other = Image::oci("linux/amd64", "b").holding(&json!({ "Labels": { "dev.polyarch.image": "b" } }), &[]);
    aws.ecr.keep("hello", Some("0.3"), &other);
    publish(&aws, "1.1");
    aws.run(&["clean", "hello", "--keep", "1", "--apply"]).finish().await.expect_code(0);
    let left = ["0.1", "0.2", "0.3", "1.0-amd64", "1.1", "1.1-amd64", "1.1-arm64"];
    assert_eq!(aws.ecr.tags("hello"), left);
    assert!(aws.ecr.get("hello", &foreign.manifest.digest()).is_some());
}

#[tokio::test]
async fn clean_without_delete_permission_names_the_action() {
    let aws = account(3).await;
    plan(&aws);
    aws.ecr.deny(Action::BatchDeleteImage);
    let refused = aws.run(&["clean", "hello", "--keep", "1", "--apply"]).finish().await.expect_code(3);
    says(&refused, &["hello: polyarch cannot delete images in this repository", "ecr:BatchDeleteImage"]);
    assert_eq!((aws.ecr.count(Action::BatchDeleteImage), aws.ecr.tags("hello").len()), (1, 9));
}

/// Answers the second deletion, that of images, as if each had failed so.
fn fails(aws: &Aws, code: &'static str) {
    let mut asked = 0;
    aws.ecr.answers(move |action, request| {
        asked += usize::from(action == Action::BatchDeleteImage);
        if action != Action::BatchDeleteImage || asked != 2 {
            return None;
        }
        let ids = serde_json::from_slice::<Value>(&request.body).unwrap()["imageIds"].clone();
        let failure = |id: &Value| json!({ "imageId": id, "failureCode": code, "failureReason": "so it is" });
        let failures: Vec<_> = ids.as_array().unwrap().iter().map(failure).collect();
        let body = json!({ "imageIds": [], "failures": failures }).to_string();
        Some(status(200).header("Content-Type", "application/x-amz-json-1.1").body(body))
    });
}

#[tokio::test]
async fn clean_reports_images_that_ecr_does_not_delete() {
    for (code, exit, word, why) in [
        ("ImageReferencedByManifestList", 0, "kept", "an index lists it"),
        ("ImageNotFound", 0, "deleted", "only in 1.0"),
        ("KmsError", 6, "failed", "KmsError: so it is"),
    ] {
        let aws = account(2).await;
        plan(&aws);
        fails(&aws, code);
        let cleaned = aws.run(&["clean", "hello", "--keep", "1", "--apply"]).finish().await.expect_code(exit);
        let row = cleaned.stdout.lines().find(|line| line.contains("1.0-amd64")).unwrap();
        assert!(row.trim_start().starts_with(word) && row.ends_with(why), "{row}");
        if exit != 0 {
            says(&cleaned, &["(and 1 more) could not be deleted: KmsError: so it is"]);
        }
        assert!(aws.ecr.get("hello", "1.0").is_none(), "the index is gone");
    }
}

#[tokio::test]
async fn clean_without_describe_permission_orders_by_version() {
    let aws = account(2).await;
    plan(&aws);
    aws.ecr.deny(Action::DescribeImages);
    let refused = aws.run(&["clean", "hello", "--keep", "1", "--apply"]).finish().await.expect_code(7);
    says(&refused, &["the registry does not report when they were pushed", "ecr:DescribeImages", "--order version"]);
    assert_eq!(aws.ecr.tags("hello").len(), 6);
    let by_version = ["clean", "hello", "--keep", "1", "--order", "version", "--apply"];
    let cleaned = aws.run(&by_version).finish().await.expect_code(0);
    says(&cleaned, &["the registry does not list untagged indexes", "3 of 6 images deleted"]);
    assert_eq!(aws.ecr.tags("hello"), ["1.1", "1.1-amd64", "1.1-arm64"]);
    assert_eq!((aws.ecr.count(Action::BatchDeleteImage), deleted(&aws).len()), (3, 0), "over the registry's API");
}

#[tokio::test]
async fn clean_orders_ecr_publications_by_push_time() {
    let aws = account(0).await;
    plan(&aws);
    let created = |mut image: Image, year: u16| {
        let mut config = image.config.json();
        config["created"] = format!("{year}-01-01T00:00:00Z").into();
        image.config = Document::new(&image.config.media_type, &config);
        let mut manifest = image.manifest.json();
        manifest["config"] = image.config.descriptor();
        image.manifest = Document::new(&image.manifest.media_type, &manifest);
        image
    };
    let mut indexes = Vec::new();
    for (minor, year) in [(0, 2021), (1, 2023), (2, 2022), (3, 2020)] {
        let image = created(built("linux/amd64", &minor.to_string()), year);
        aws.ecr.keep("hello", Some(&format!("1.{minor}.0-amd64")), &image);
        let index = Document::index_of([&image]);
        aws.ecr.keep_manifest("hello", Some(&format!("1.{minor}.0")), &index);
        aws.ecr.keep_manifest("hello", Some("latest"), &index);
        indexes.push(index);
    }
    // `latest` goes back to the first index.
    aws.ecr.keep_manifest("hello", Some("latest"), &indexes[0]);
    let by = |arguments: &[&str]| aws.run(&[&["clean", "hello"], arguments].concat());
    let shown = by(&["--keep", "9", "--apply"]).finish().await.expect_code(0);
    says(&shown, &["0 of 8 images deleted"]);
    let cleaned = by(&["--keep", "1", "--apply"]).finish().await.expect_code(0);
    says(&cleaned, &["4 of 8 images deleted"]);
    assert_eq!(aws.ecr.tags("hello"), ["1.0.0", "1.0.0-amd64", "1.3.0", "1.3.0-amd64", "latest"]);
    let nothing = by(&["--keep", "0"]).finish().await.expect_code(0);
    says(&nothing, &["2 of 4 images would be deleted"]);
    let all = by(&["--keep", "0", "--drop-tag", "latest", "--apply"]).finish().await.expect_code(0);
    says(&all, &["4 of 4 images deleted"]);
    assert!(aws.ecr.tags("hello").is_empty());
}

#[tokio::test]
async fn clean_all_also_deletes_imported_and_copied_images() {
    let aws = account(0).await;
    plan(&aws);
    for minor in 0..3 {
        let image = Image::oci("linux/amd64", &format!("adopted {minor}"));
        aws.ecr.keep("hello", Some(&format!("1.{minor}.0-amd64")), &image);
        let ours = built("linux/arm64", &minor.to_string());
        aws.ecr.keep("hello", Some(&format!("1.{minor}.0-arm64")), &ours);
        aws.ecr.keep_manifest("hello", Some(&format!("1.{minor}.0")), &Document::index_of([&image, &ours]));
    }
    let other = Image::oci("linux/amd64", "b").holding(&json!({ "Labels": { "dev.polyarch.image": "b" } }), &[]);
    aws.ecr.keep("hello", Some("0.1.0"), &other);
    let cleaned = aws.run(&["clean", "hello", "--keep", "1", "--apply"]).finish().await.expect_code(0);
    says(&cleaned, &["0 of 10 images deleted"]);
    let all = ["clean", "hello", "--keep", "1", "--all", "--apply"];
    says(&aws.run(&all).finish().await.expect_code(0), &["6 of 10 images deleted"]);
    assert_eq!(
        aws.ecr.tags("hello"),
        ["0.1.0", "1.2.0", "1.2.0-amd64", "1.2.0-arm64"],
        "b is another image of the plan"
    );
}

#[tokio::test]
async fn clean_deletes_nothing_while_an_ecr_index_is_unreadable() {
    let aws = account(2).await;
    plan(&aws);
    let (_, archived) = publish(&aws, "0.9");
    let path = format!("/manifests/{}", archived.digest());
    aws.ecr.answers(move |_, request| request.target.ends_with(&path).then(|| status(404)));
    let refused = aws.run(&["clean", "hello", "--keep", "1", "--apply"]).finish().await.expect_code(7);
    says(&refused, &[&archived.digest(), "ECR lists it", "may list images that would be deleted"]);
    assert_eq!(aws.ecr.count(Action::BatchDeleteImage), 0);
}
