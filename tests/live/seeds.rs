//! What people do today to get an image of several architectures into Amazon ECR, with polyarch in place of the commands:
//! from an account without a repository to the image that runs. `docs/guide/walkthroughs.md`
//! shows the new command for each old one.

use serde_json::{Value, json};

use crate::project::{Project, crane};
use crate::support::distribution::{Distribution, Setup};
use crate::support::ecr::{Ecr, SECRET_KEY, SESSION_TOKEN};
use crate::support::engines::Engine;
use crate::support::parts;
use crate::support::program::{Finished, Run};

/// What says on which architecture it runs.
const APP: &str = "CMD [\"/bin/busybox\", \"uname\", \"-m\"]\n";
const BOTH: [&str; 2] = ["linux/amd64", "linux/arm64"];

/// A workplace with the account's keys, and an engine that finds its registry.
struct Workplace<'a> {
    project: Project,
    ecr: &'a Ecr,
}

impl<'a> Workplace<'a> {
    /// `settings` are lines of the plan's image, beside its context, its platforms and its repository.
    async fn of(ecr: &'a Ecr, engine: Engine, what: &str, settings: &str) -> Self {
        ecr.known_to(&engine).await;
        let project = Project::new(engine, what);
        project.busybox(APP);
        let plan = format!(
            "version: 1\nregistry: ecr\nimages:\n  {what}:\n    repository: {}\n    context: context\n    platforms: \
             [linux/amd64, linux/arm64]\n    ecr: {{ create: true }}\n    {}\n",
            project.name,
            settings.replace('\n', "\n    ")
        );
        project.write("build.yaml", plan);
        Self { project, ecr }
    }

    fn command(&self, args: &[&str]) -> Run {
        self.ecr.aws(self.project.command(args))
    }

    /// A run to its good end, in which no secret of AWS is seen, whatever is asked to be logged.
    async fn polyarch(&self, args: &[&str]) -> Finished {
        let ran = self.command(args).env("RUST_LOG", "trace").finish().await.expect_code(0);
        for secret in [SECRET_KEY, SESSION_TOKEN, &self.ecr.password().await] {
            for said in [&ran.stdout, &ran.stderr] {
                assert!(!said.contains(secret), "{secret} is in what `polyarch {}` says:\n{said}", args.join(" "));
            }
        }
        ran
    }

    fn reference(&self, tag: &str) -> String {
        self.project.reference(self.ecr.host(), tag)
    }

    /// The names of the account's repositories.
    async fn repositories(&self) -> Vec<String> {
        let described = self.ecr.call("DescribeRepositories", &json!({})).await.unwrap();
        let repositories = described["repositories"].as_array().unwrap().iter();
        repositories.map(|repository| repository["repositoryName"].as_str().unwrap().to_owned()).collect()
    }

    /// The tags that `polyarch images` lists of an image of the plan, or of a repository, sorted.
    async fn listed(&self, what: &str) -> Vec<String> {
        self.ecr.settled().await;
        let listed = self.polyarch(&["images", "--json", what]).await;
        let listed: Value = serde_json::from_str(&listed.stdout).unwrap();
        let images = listed["imageDetails"].as_array().unwrap().iter();
        let tags = images.flat_map(|image| image["imageTags"].as_array().into_iter().flatten());
        let mut tags: Vec<_> = tags.map(|tag| tag.as_str().unwrap().to_owned()).collect();
        tags.sort_unstable();
        tags
    }

    /// What `polyarch inspect` shows of a tag: each platform, and its digest.
    async fn inspected(&self, tag: &str) -> Vec<(String, String)> {
        let shown = self.polyarch(&["inspect", "--raw", &self.reference(tag)]).await;
        let index: Value = serde_json::from_str(&shown.stdout).unwrap();
        let entry = |entry: &Value| {
            let platform = &entry["platform"];
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            (format!("{}/{}", text(&platform["os"]), text(&platform["architecture"])), text(&entry["digest"]))
        };
        index["manifests"].as_array().unwrap().iter().map(entry).collect()
    }

    /// The digest of a tag, as a tool of others reads it with docker's login.
    async fn digest(&self, tag: &str) -> String {
        let mut digest = parts::tool_command("crane");
        digest.args(["digest", &self.reference(tag)]).env("DOCKER_CONFIG", self.project.home.docker_config());
        digest.envs(self.ecr.environment());
        parts::printed(&parts::output(digest).await)
    }

    /// An image is taken off an engine, pulled by one name for each architecture, and run.
    async fn is_pulled_and_runs(&self, engine: &Engine, tag: &str) {
        let client = self.project.home.docker_config();
        self.ecr.log_in(engine, &client).await;
        drop(engine.cleanup(&self.project.name));
        let _cleanup = engine.cleanup(&self.project.name);
        let reference = self.reference(tag);
        for (platform, machine) in [("linux/amd64", "x86_64"), ("linux/arm64", "aarch64")] {
            let mut pull = engine.docker_command(["pull", "--quiet", "--platform", platform, &reference]);
            pull.env("DOCKER_CONFIG", &client);
            parts::printed(&parts::output(pull).await);
            let run = ["run", "--rm", "--network=none", "--platform", platform, &reference];
            assert_eq!(parts::printed(&engine.docker(run).await), machine, "{}", engine.host);
        }
    }
}

/// Introducing multi-architecture images for Amazon ECR: two images by the names of their architectures, then `latest`.
async fn two_arch_images_are_joined_under_latest_in_ecr(engine: Engine) {
    let ecr = Ecr::start().await;
    let place = Workplace::of(&ecr, engine, "hello", "tags: [latest]\narch_tag: \"${arch}\"").await;
    assert!(place.repositories().await.is_empty());
    place.polyarch(&["build", "--no-join"]).await;
    assert_eq!(place.repositories().await, [place.project.name.as_str()]);
    assert_eq!(place.listed("hello").await, ["amd64", "arm64"]);
    let joined = place.polyarch(&["join"]).await;
    let inspected = place.inspected("latest").await;
    assert_eq!(inspected.iter().map(|(platform, _)| platform.as_str()).collect::<Vec<_>>(), BOTH);
    assert!(joined.stdout.starts_with(&format!("{}/{}@sha256:", ecr.host(), place.project.name)), "{}", joined.stdout);
    assert_eq!(place.listed("hello").await, ["amd64", "arm64", "latest"]);
    for engine in Engine::both() {
        place.is_pulled_and_runs(&engine, "latest").await;
    }
}

/// Multi-architecture images without buildx: petclinic in two stages, `3.3.0-SNAPSHOT` of `-amd64` and `-arm64`.
async fn one_build_replaces_twelve_docker_and_aws_commands(engine: Engine) {
    let ecr = Ecr::start().await;
    let place = Workplace::of(&ecr, engine, "petclinic", "tags: [\"3.3.0-SNAPSHOT\"]").await;
    place.project.write(
        "context/Dockerfile",
        "FROM scratch AS build\nARG TARGETARCH\nCOPY busybox-${TARGETARCH} /bin/busybox\nWORKDIR /app\n\
         RUN [\"/bin/busybox\", \"sh\", \"-c\", \"busybox uname -m >spring-petclinic.jar\"]\n\
         FROM scratch\nARG TARGETARCH\nCOPY busybox-${TARGETARCH} /bin/busybox\nWORKDIR /app/${TARGETARCH}\n\
         COPY --from=build /app/spring-petclinic.jar .\nEXPOSE 8080\n\
         CMD [\"/bin/busybox\", \"cat\", \"spring-petclinic.jar\"]\n",
    );
    let built = place.polyarch(&["build"]).await;
    assert_eq!(place.listed("petclinic").await, ["3.3.0-SNAPSHOT", "3.3.0-SNAPSHOT-amd64", "3.3.0-SNAPSHOT-arm64"]);
    let inspected = place.inspected("3.3.0-SNAPSHOT").await;
    assert_eq!(inspected.iter().map(|(platform, _)| platform.as_str()).collect::<Vec<_>>(), BOTH);
    for engine in Engine::both() {
        place.is_pulled_and_runs(&engine, "3.3.0-SNAPSHOT").await;
    }
    for (platform, digest) in inspected {
        let child = format!("3.3.0-SNAPSHOT-{}", platform.trim_start_matches("linux/"));
        assert_eq!(place.digest(&child).await, digest);
    }
    // Doing it again does nothing.
    assert_eq!(place.polyarch(&["build"]).await.stdout, built.stdout);
}

/// Pushing a multi-architecture image, of AWS's documentation: images that are there are joined, without a plan.
async fn existing_ecr_images_are_joined_by_reference(engine: Engine) {
    let ecr = Ecr::start().await;
    let place = Workplace::of(&ecr, engine, "my-repository", "tags: [others]").await;
    // What must be there: the repository, and images that docker built and pushed.
    ecr.create(&place.project.name).await;
    let client = place.project.home.docker_config();
    ecr.log_in(&place.project.engine, &client).await;
    for (tag, platform) in [("image_one_tag", "linux/amd64"), ("image_two", "linux/arm64")] {
        let (reference, context) = (place.reference(tag), place.project.context());
        let build = ["build", "--platform", platform, "--tag", &reference, context.to_str().unwrap()];
        for args in [&build[..], &["push", &reference]] {
            let mut docker = place.project.engine.docker_command(args);
            docker.env("DOCKER_CONFIG", &client).env("DOCKER_BUILDKIT", "1").env("BUILDX_NO_DEFAULT_ATTESTATIONS", "1");
            parts::printed(&parts::output(docker).await);
        }
    }
    // What docker left is not what polyarch logs in with.
    std::fs::remove_file(client.join("config.json")).unwrap();

    let repository = format!("{}/{}", ecr.host(), place.project.name);
    assert_eq!(place.listed(&repository).await, ["image_one_tag", "image_two"]);
    let sources = ["image_one_tag", "image_two"].map(|tag| place.reference(tag));
    let join = ["join", "-t", &repository, &sources[0], &sources[1]];
    let draft = place.polyarch(&[&join[..], &["--dry-run"]].concat()).await.stdout;
    assert_eq!(ecr.tags(&place.project.name).await, ["image_one_tag", "image_two"]);
    let pushed = place.polyarch(&join).await.stdout;
    assert_eq!(pushed.trim_end(), format!("{repository}@{}", polyarch::oci::Digest::of(draft.as_bytes())));
    assert_eq!(place.polyarch(&["inspect", "--raw", &repository]).await.stdout, draft);
    assert_eq!(ecr.tags(&place.project.name).await, ["image_one_tag", "image_two", "latest"]);
    for engine in Engine::both() {
        place.is_pulled_and_runs(&engine, "latest").await;
    }
}

/// A stand-in for `golang:1.19.2-alpine`: Docker's list of Docker's images, with the variant of arm64, as it was then.
async fn golang(place: &Workplace<'_>, source: &Distribution) -> String {
    let upstream = Project::new(Engine::old(), "upstream");
    upstream.busybox(&format!("ENV GOLANG_VERSION=1.19.2\nLABEL of={}\n{APP}", place.project.name));
    let context = upstream.context();
    let tag = |tag: &str| upstream.reference(source.address(), tag);
    for (platform, arch) in BOTH.into_iter().zip(["amd64", "arm64"]) {
        let (image, context) = (tag(arch), context.to_str().unwrap());
        for args in [&["build", "--platform", platform, "--tag", &image, context][..], &["push", &image]] {
            let mut docker = upstream.engine.docker_command(args);
            docker.env("DOCKER_BUILDKIT", "1");
            parts::printed(&parts::output(docker).await);
        }
    }
    let [amd64, arm64, v8, list] = ["amd64", "arm64", "v8", "1.19.2-alpine"].map(tag);
    crane(&["mutate", "--set-platform=linux/arm64/v8", "--tag", &v8, &arm64]).await;
    crane(&["index", "append", "--docker-empty-base", "--tag", &list, "--manifest", &amd64, "--manifest", &v8]).await;
    list
}

impl Workplace<'_> {
    /// A tag shows what the page prints of it, and each engine gets the image of the architecture that it asks for.
    async fn shows_golang(&self, tag: &str) {
        let shown = self.polyarch(&["inspect", "--raw", &self.reference(tag)]).await;
        let index: Value = serde_json::from_str(&shown.stdout).unwrap();
        assert_eq!(index["mediaType"], "application/vnd.docker.distribution.manifest.list.v2+json");
        let platforms: Vec<_> = index["manifests"].as_array().unwrap().iter().map(|entry| &entry["platform"]).collect();
        let printed = json!([
            { "architecture": "amd64", "os": "linux" },
            { "architecture": "arm64", "os": "linux", "variant": "v8" },
        ]);
        assert_eq!(json!(platforms), printed, "{tag}");
        let (client, reference) = (self.project.home.docker_config(), self.reference(tag));
        for engine in Engine::both() {
            self.ecr.log_in(&engine, &client).await;
            for (platform, architecture) in BOTH.into_iter().zip(["amd64", "arm64"]) {
                drop(engine.cleanup(&self.project.name));
                let _cleanup = engine.cleanup(&self.project.name);
                let mut pull = engine.docker_command(["pull", "--quiet", "--platform", platform, &reference]);
                pull.env("DOCKER_CONFIG", &client);
                parts::printed(&parts::output(pull).await);
                let inspected = engine.docker(["inspect", "--format={{.Architecture}}", &reference]).await;
                assert_eq!(parts::printed(&inspected), architecture, "{}", engine.host);
            }
        }
    }
}

/// multi-architecture ECR: golang's images of two architectures under one tag, adopted from where they are.
async fn golang_images_are_imported_into_ecr(engine: Engine) {
    let (ecr, source) = (Ecr::start().await, Distribution::start(Setup::Plain));
    let place = Workplace::of(&ecr, engine, "golang", "tags: [others]").await;
    let list = golang(&place, &source).await;
    let plan = format!(
        "version: 1\nregistry: ecr\nimages:\n  golang:\n    from: \"{list}\"\n    repository: {}\n    tags: [\"1.19.2\", \
         latest]\n    arch_tag: \"1.19.2-alpine-${{arch}}\"\n    platforms: [linux/amd64, linux/arm64]\n    ecr: {{ create: \
         true }}\n",
        place.project.name
    );
    place.project.write("build.yaml", plan);
    let built = place.polyarch(&["build"]).await;
    let all = ["1.19.2", "1.19.2-alpine-amd64", "1.19.2-alpine-arm64", "latest"];
    assert_eq!(place.listed("golang").await, all);
    for tag in ["1.19.2", "latest"] {
        place.shows_golang(tag).await;
    }
    for again in ["build", "join"] {
        assert_eq!(place.polyarch(&[again]).await.stdout, built.stdout);
    }
}

/// The same from images that docker pulled, tagged and pushed, as the page does it.
async fn golang_images_pushed_by_docker_are_joined_in_ecr(engine: Engine) {
    let (ecr, source) = (Ecr::start().await, Distribution::start(Setup::Plain));
    let place = Workplace::of(&ecr, engine, "golang", "tags: [others]").await;
    let list = golang(&place, &source).await;
    ecr.create(&place.project.name).await;
    let (client, engine) = (place.project.home.docker_config(), &place.project.engine);
    ecr.log_in(engine, &client).await;
    // containerd's store has one name for both platforms, and pushes the platform that the command names.
    let is_new = engine.host == Engine::new().host;
    for (platform, tag) in BOTH.into_iter().zip(["1.19.2-alpine-amd64", "1.19.2-alpine-arm64"]) {
        let reference = place.reference(tag);
        let push = if is_new { vec!["push", "--platform", platform, &reference] } else { vec!["push", &reference] };
        for args in [&["pull", "--platform", platform, &list][..], &["tag", &list, &reference], &push[..]] {
            let mut docker = engine.docker_command(args);
            docker.env("DOCKER_CONFIG", &client);
            parts::printed(&parts::output(docker).await);
        }
    }
    parts::printed(&engine.docker(["rmi", &list]).await);
    std::fs::remove_file(client.join("config.json")).unwrap();
    // `golang` without a tag is `latest`, as for docker.
    let repository = format!("{}/{}", ecr.host(), place.project.name);
    let [arm64, amd64, version] =
        ["1.19.2-alpine-arm64", "1.19.2-alpine-amd64", "1.19.2"].map(|tag| place.reference(tag));
    let expect = "linux/amd64,linux/arm64/v8";
    place.polyarch(&["join", "-t", &version, "-t", &repository, "--expect", expect, &arm64, &amd64]).await;
    for tag in ["1.19.2", "latest"] {
        place.shows_golang(tag).await;
    }
}

on_both_engines!(
    two_arch_images_are_joined_under_latest_in_ecr,
    one_build_replaces_twelve_docker_and_aws_commands,
    existing_ecr_images_are_joined_by_reference,
    golang_images_are_imported_into_ecr,
    golang_images_pushed_by_docker_are_joined_in_ecr,
);

/// `CodeCatalyst`: two actions that run in parallel, each on its own machine, and a third that joins what they pushed.
#[tokio::test]
async fn two_runners_build_for_ecr_and_a_last_job_joins() {
    let ecr = Ecr::start().await;
    let place = Workplace::of(&ecr, Engine::old(), "hello-world", "tags: [latest]").await;
    let arm = Engine::new();
    ecr.known_to(&arm).await;
    let _cleanup = arm.cleanup(&place.project.name);
    let runner = |args: &[&str]| place.command(args);
    let amd64 = runner(&["build", "--no-join", "--platform", "native"]);
    let arm64 = runner(&["build", "--no-join", "--platform", "linux/arm64"]).env("DOCKER_HOST", &arm.host);
    let manifest = runner(&["join", "--wait", "5m"]);
    let (amd64, arm64, manifest) = tokio::join!(amd64.finish(), arm64.finish(), manifest.finish());
    amd64.expect_code(0);
    arm64.expect_code(0);
    manifest.expect_code(0);
    assert_eq!(place.repositories().await, [place.project.name.as_str()]);
    assert_eq!(place.listed("hello-world").await, ["latest", "latest-amd64", "latest-arm64"]);
    let inspected = place.inspected("latest").await;
    assert_eq!(inspected.iter().map(|(platform, _)| platform.as_str()).collect::<Vec<_>>(), BOTH);
    for engine in Engine::both() {
        place.is_pulled_and_runs(&engine, "latest").await;
    }
}
