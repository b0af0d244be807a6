//! Tags that may not move: known before anything is put.

use super::world::{Aws, says};
use crate::support::images::Image;
use crate::support::scripted_ecr::{Action, Mutability};

/// One platform, pushed under a tag of its own.
const ONE: &str = "
images:
  hello: { context: context, tags: [latest, \"1.0\"], platforms: [linux/amd64], arch_tag: \"${tag}-build\" }
";

fn immutable_but_latest() -> Mutability {
    Mutability::ImmutableExcept(vec!["latest*".to_owned()])
}

#[tokio::test]
async fn immutable_final_tag_keeps_all_other_tags() {
    let aws = Aws::start().await;
    aws.plan(ONE);
    aws.ecr.has("hello", immutable_but_latest());
    let other = Image::docker("linux/amd64", "of another time");
    aws.ecr.keep("hello", Some("1.0"), &other);
    aws.ecr.keep("hello", Some("latest"), &other);
    let refused = aws.build().await.expect_code(6);
    let (host, digest) = (aws.ecr.host(), other.manifest.digest());
    says(
        &refused,
        &[
            &format!("hello             │ {host}/hello:1.0 is immutable and has {digest}"),
            &format!("{host}/hello:1.0 is immutable and has {digest}; this run has sha256:"),
        ],
    );
    for tag in ["latest", "1.0"] {
        assert_eq!(aws.ecr.get("hello", tag).unwrap().digest(), digest, "{tag}");
    }
    // The engine's push, and nothing of ours.
    assert_eq!(aws.ecr.count(Action::PutImage), 1);
}

#[tokio::test]
async fn immutable_ecr_tag_with_the_same_digest_is_unchanged() {
    let aws = Aws::start().await;
    aws.plan(ONE);
    aws.ecr.has("hello", Mutability::Immutable);
    aws.build().await.expect_code(0);
    let put = aws.ecr.count(Action::PutImage);
    let again = aws.build().await.expect_code(0);
    says(&again, &["unchanged", "hello:1.0 is immutable and has sha256:"]);
    assert_eq!((put, aws.ecr.count(Action::PutImage)), (3, 3), "one arch tag, two final tags, once");
}

#[tokio::test]
async fn immutable_arch_tag_is_refused_before_the_push() {
    let aws = Aws::start().await;
    aws.plan(ONE);
    aws.ecr.has("hello", Mutability::MutableExcept(vec!["*-build".to_owned()]));
    let other = Image::docker("linux/amd64", "of another time");
    aws.ecr.keep("hello", Some("latest-build"), &other);
    let refused = aws.build().await.expect_code(5);
    let (tag, manifest) = (format!("{}/hello:latest-build", aws.ecr.host()), other.manifest.digest());
    let has = format!("{tag} is immutable and has {manifest} (image ID {}); this run has", other.config.digest());
    says(&refused, &[&has, "hint: change the first tag `latest`, from which this arch tag comes"]);
    assert_eq!((aws.ecr.count(Action::PutImage), aws.ecr.count(Action::InitiateLayerUpload)), (0, 0));
}

#[tokio::test]
async fn immutable_arch_tag_of_a_commit_leads_to_a_join() {
    let aws = Aws::start().await;
    let commit = "0123456789abcdef0123456789abcdef01234567";
    aws.plan(&ONE.replace("latest, \"1.0\"", &format!("\"{commit}\", latest")));
    aws.ecr.has("hello", immutable_but_latest());
    for asks in [true, false] {
        if !asks {
            aws.ecr.deny(Action::DescribeRepositories);
        }
        aws.ecr.keep("hello", Some(&format!("{commit}-build")), &Image::docker("linux/amd64", "of another time"));
        let refused = aws.build().await.expect_code(5);
        says(&refused, &["hint: run `polyarch join` if all arch tags exist", "a rebuild has new timestamps"]);
    }
}
