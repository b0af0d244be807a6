//! `polyarch clean` of what engines built and pushed, in an account of Amazon ECR of real parts.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::project::Project;
use crate::support::ecr::Ecr;
use crate::support::engines::Engine;
use crate::support::parts;
use crate::support::program::Finished;

/// An image of one platform in a repository of the account, cleaned and built by turns.
struct Place {
    ecr: Ecr,
    project: Project,
}

impl Place {
    async fn of(engine: Engine) -> Self {
        let ecr = Ecr::start().await;
        ecr.known_to(&engine).await;
        let project = Project::new(engine, "clean");
        ecr.create(&project.name).await;
        let name = &project.name;
        let plan = "tags: [latest]\n    platforms: [linux/amd64]\n    context: context";
        project.write("build.yaml", format!("version: 1\nregistry: ecr\nimages:\n  {name}:\n    {plan}\n"));
        Self { ecr, project }
    }

    async fn run(&self, args: &[&str]) -> Finished {
        let ran = self.ecr.aws(self.project.command(args)).finish().await.expect_code(0);
        self.ecr.settled().await;
        ran
    }

    /// Builds what `steps` say, in a second in which nothing was pushed before: the account counts no finer.
    async fn build(&self, steps: &str, tags: &[&str]) {
        let pushed = self.last_push().await;
        let is_later = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() > pushed;
        parts::eventually("a second goes by", Duration::from_secs(30), is_later).await;
        self.project.busybox(steps);
        let tags = tags.iter().flat_map(|tag| ["--tag", tag]);
        self.run(&["build"].into_iter().chain(tags).collect::<Vec<_>>()).await;
    }

    async fn last_push(&self) -> u64 {
        let described = self.ecr.call("DescribeImages", &json!({ "repositoryName": self.project.name })).await.unwrap();
        let pushed = described["imageDetails"].as_array().unwrap().iter().map(|image| &image["imagePushedAt"]);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds since 1970")]
        let seconds = |time: &Value| time.as_f64().unwrap() as u64;
        pushed.map(seconds).max().unwrap_or_default()
    }

    async fn tags(&self) -> Vec<String> {
        self.ecr.tags(&self.project.name).await
    }
}

async fn clean_keeps_cached_rebuilds_and_restored_tags(engine: Engine) {
    let place = Place::of(engine).await;
    let reference = |tag: &str| place.project.reference(place.ecr.host(), tag);
    place.build("LABEL step=one\n", &["1.0.0", "latest"]).await;
    place.build("LABEL step=two\n", &["1.1.0", "latest"]).await;
    // The first of these images has the digest of the very first one. The second differs in a label alone.
    place.build("LABEL step=one\n", &["1.2.0", "latest"]).await;
    place.build("LABEL step=three\n", &["1.3.0", "latest"]).await;
    // Somebody puts `latest`, which people pull, back to an earlier image.
    place.run(&["copy", &reference("1.1.0"), &reference("latest")]).await;
    let all = place.tags().await;
    let repository = format!("{}/{}", place.ecr.host(), place.project.name);
    let clean = ["clean", &repository, "--keep", "1", "--apply"];
    let kept = place.run(&clean).await;
    assert_eq!(place.tags().await, all, "{}", kept.stdout);
    for (tag, why) in [("1.0.0", "published again"), ("1.1.0", "latest may move"), ("1.3.0", "the newest")] {
        let row = kept.stdout.lines().find(|line| line.contains(tag) && line.contains("kept")).unwrap();
        assert!(row.contains(why), "{row}");
    }
    place.build("LABEL step=four\n", &["1.4.0"]).await;
    let cleaned = place.run(&clean).await;
    let left: Vec<_> = place.tags().await.into_iter().filter(|tag| !tag.ends_with("-amd64")).collect();
    assert_eq!(left, ["1.0.0", "1.1.0", "1.2.0", "1.4.0", "latest"], "{}", cleaned.stdout);
    for tag in left {
        place.run(&["verify", &reference(&tag)]).await;
    }
}

on_both_engines!(clean_keeps_cached_rebuilds_and_restored_tags);
