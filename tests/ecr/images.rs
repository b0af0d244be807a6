//! `polyarch images`: what ECR's API says, and which index has which.

use serde_json::{Value, json};

use super::world::{Aws, HELLO, says};
use crate::support::images::{Document, Image, attestation};
use crate::support::scripted_ecr::{Action, Mutability};

/// Two images and an attestation in an index under 1.0, and an arch tag that no index lists; all in `hello`.
struct Published {
    aws: Aws,
    images: [Image; 2],
    attestation: Document,
    index: Document,
    left: Image,
}

impl Published {
    async fn start() -> Self {
        let aws = Aws::start().await;
        aws.ecr.has("hello", Mutability::Mutable);
        let images = ["linux/amd64", "linux/arm64"].map(|platform| Image::oci(platform, "1.0"));
        let (attestation, attesting) = attestation(&images[0].manifest, &json!({}));
        let index = Document::index(&[images[0].entry(), images[1].entry(), attesting]);
        let left = Image::oci("linux/riscv64", "1.1");
        aws.ecr.keep("hello", Some("1.0-amd64"), &images[0]);
        aws.ecr.keep("hello", None, &images[1]);
        aws.ecr.keep_manifest("hello", None, &attestation);
        for tag in ["1.0", "latest"] {
            aws.ecr.keep_manifest("hello", Some(tag), &index);
        }
        aws.ecr.keep("hello", Some("1.1-riscv64"), &left);
        Self { aws, images, attestation, index, left }
    }

    async fn listed(&self) -> Vec<Value> {
        let listed = self.aws.run(&["images", "--json"]).finish().await.expect_code(0);
        let document: Value = serde_json::from_str(&listed.stdout).unwrap();
        document["imageDetails"].as_array().unwrap().clone()
    }
}

fn of<'a>(details: &'a [Value], digest: &str) -> &'a Value {
    details.iter().find(|detail| detail["imageDigest"] == digest).unwrap_or_else(|| panic!("{digest} in {details:#?}"))
}

#[tokio::test]
async fn missing_ecr_repository_leads_to_its_creation() {
    let aws = Aws::start().await;
    let create = "check the name of the repository, or create it: aws ecr create-repository --repository-name hello \
                  --region us-east-1";
    for words in [&["images", "hello"][..], &["clean", "--keep", "1", "hello"]] {
        let refused = aws.run(words).finish().await.expect_code(7);
        says(&refused, &[create]);
    }
    let refused = aws.run(&["verify", "hello"]).finish().await.expect_code(7);
    says(&refused, &["hint: check the name of the repository, or create hello", "--region REGION"]);
}

#[tokio::test]
async fn images_json_has_ecr_keys_and_the_indexes_of_each_image() {
    let hello = Published::start().await;
    let Published { aws, images, attestation, index, left } = &hello;
    aws.ecr.page(2);
    let listed = hello.listed().await;
    assert_eq!(aws.ecr.count(Action::DescribeImages), 3, "five images in pages of two");
    let order: Vec<_> = listed.iter().map(|detail| detail["imageDigest"].as_str().unwrap()).collect();
    let [amd64, arm64] = images.each_ref().map(|image| image.manifest.digest());
    // The newest first, and behind an index what it lists.
    assert_eq!(order, [&left.manifest.digest(), &index.digest(), &amd64, &arm64, &attestation.digest()]);

    aws.ecr.page(1000);
    let input = json!({ "repositoryName": "hello" });
    let described =
        crate::support::aws::call(&aws.ecr.endpoint(), "us-east-1", "DescribeImages", &input).await.unwrap();
    for expected in described["imageDetails"].as_array().unwrap() {
        let digest = expected["imageDigest"].as_str().unwrap();
        let detail = of(&listed, digest);
        for key in ["registryId", "repositoryName", "imageTags", "imageSizeInBytes", "imageManifestMediaType"] {
            assert_eq!(detail[key], expected[key], "{digest}: {key}");
        }
        assert_eq!(detail["artifactMediaType"], expected["artifactMediaType"], "{digest}");
        assert_eq!(detail.get("imageTags").is_some(), expected.get("imageTags").is_some(), "{digest}");
        assert!(detail["imagePushedAt"].as_str().unwrap().starts_with("2023-11-14T22:13:2"), "{detail}");
    }
    let index = json!([index.digest()]);
    assert_eq!((&of(&listed, &amd64)["platform"], &of(&listed, &amd64)["indexes"]), (&json!("linux/amd64"), &index));
    assert_eq!((&of(&listed, &arm64)["platform"], &of(&listed, &arm64)["indexes"]), (&json!("linux/arm64"), &index));
    assert_eq!(of(&listed, &attestation.digest())["attests"], amd64);
    let left = of(&listed, &left.manifest.digest());
    assert_eq!((&left["platform"], &left["indexes"]), (&json!("linux/riscv64"), &json!([])));
    // The index is read, and of the images the one that no index speaks of.
    assert_eq!((aws.ecr.count(Action::BatchGetImage), aws.ecr.count(Action::GetDownloadUrlForLayer)), (2, 1));
}

#[tokio::test]
async fn images_table_marks_images_without_an_index() {
    let hello = Published::start().await;
    let listed = hello.aws.run(&["images", "hello"]).finish().await.expect_code(0);
    let rows: Vec<Vec<_>> = listed
        .stdout
        .lines()
        .map(|line| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect())
        .collect();
    let short = |document: &Document| document.digest()["sha256:".len()..][..12].to_owned();
    let [amd64, arm64] = hello.images.each_ref().map(|image| short(&image.manifest));
    assert_eq!(rows[0], [format!("{}/hello", hello.aws.ecr.host())]);
    assert_eq!(rows[1], ["tags", "digest", "platform", "size", "pushed", "in"]);
    let cells = |row: usize| [rows[row][0], rows[row][1], rows[row][2], rows[row].last().unwrap()].map(str::trim);
    assert_eq!(cells(2), ["1.1-riscv64", &short(&hello.left.manifest), "linux/riscv64", "no index"]);
    assert_eq!(cells(3)[..3], ["1.0, latest", &short(&hello.index), "2 images"]);
    assert_eq!(cells(4), ["1.0-amd64", &amd64, "linux/amd64", "1.0"]);
    assert_eq!(cells(5), ["<none>", &arm64, "linux/arm64", "1.0"]);
    assert_eq!(cells(6), ["<none>", &short(&hello.attestation), "attestation", "1.0"]);
}

#[tokio::test]
async fn images_without_describe_permission_follows_tags() {
    let hello = Published::start().await;
    hello.aws.ecr.deny(Action::DescribeImages);
    hello.aws.ecr.keep("hello", None, &Image::oci("linux/s390x", "untagged"));
    hello.aws.ecr.page(2);
    let listed = hello.aws.run(&["images", "--json"]).finish().await.expect_code(0);
    says(
        &listed,
        &["warning", "polyarch lists only tagged images", "ecr:DescribeImages", "hint: allow ecr:DescribeImages"],
    );
    let document: Value = serde_json::from_str(&listed.stdout).unwrap();
    let details = document["imageDetails"].as_array().unwrap();
    assert_eq!(details.len(), 5, "all but the one that nothing leads to: {details:#?}");
    assert_eq!(of(details, &hello.index.digest())["imageTags"], json!(["1.0", "latest"]));
    assert_eq!(of(details, &hello.images[1].manifest.digest())["indexes"], json!([hello.index.digest()]));
    assert!(details.iter().all(|detail| detail.get("imagePushedAt").is_none() && detail.get("registryId").is_none()));
    // Four tags.
    assert_eq!(hello.aws.ecr.count(Action::ListImages), 2);

    hello.aws.ecr.deny(Action::ListImages);
    let refused = hello.aws.run(&["images"]).finish().await.expect_code(3);
    says(&refused, &["ecr:ListImages"]);
}

#[tokio::test]
async fn images_reports_a_missing_repository_beside_existing_ones() {
    let hello = Published::start().await;
    let other = HELLO.replace("images:", "images:\n  other: { tags: [x], platforms: [linux/amd64] }");
    hello.aws.plan(&other);
    let listed = hello.aws.run(&["images", "--format", "json"]).finish().await.expect_code(7);
    says(&listed, &[&format!("{}/other does not exist", hello.aws.ecr.host())]);
    let document: Value = serde_json::from_str(&listed.stdout).unwrap();
    assert_eq!(document["imageDetails"].as_array().unwrap().len(), 5);
    assert_eq!(document["failed"][0]["repository"], format!("{}/other", hello.aws.ecr.host()));
    let nobody = hello.aws.run_as_nobody(&["images"]).finish().await.expect_code(3);
    says(&nobody, &["no AWS credentials were found"]);
}
