//! What others made is read, and what is read is what others read; engines pull what was verified.

use base64::Engine as _;
use polyarch::oci::Digest;
use serde_json::{Value, json};

use crate::joining::imagetools;
use crate::project::{Project, crane};
use crate::support::distribution::{Distribution, PASSWORD, Setup, USER};
use crate::support::engines::{Engine, PrivateEngine};
use crate::support::parts;

on_both_engines!(verify_pull_leaves_no_new_image_on_the_engine, verify_pull_uses_the_plan_and_the_login_of_the_user,);

/// Runs a tool to its good end.
async fn tool(name: &str, args: &[&str]) -> String {
    parts::printed(&parts::tool(name, args).await)
}

/// An image of two platforms under `1.0`.
fn project(engine: Engine, what: &str, registry: impl std::fmt::Display) -> Project {
    let project = Project::new(engine, what);
    project.busybox(&format!("LABEL of={}\n", project.name));
    project.plan(registry, "platforms: [linux/amd64, linux/arm64]");
    project
}

/// What we read of `reference` is what crane and buildx read, and all of it is there.
async fn is_read_as_others_read_it(project: &Project, reference: &str) -> Value {
    let digest = project.run(&["digest", reference]).await.expect_code(0).stdout;
    assert_eq!(digest.trim_end(), crane(&["digest", reference]).await, "{reference}");
    let raw = project.run(&["inspect", "--raw", reference]).await.expect_code(0).stdout;
    let theirs = parts::tool("docker", ["buildx", "imagetools", "inspect", "--raw", reference]).await;
    assert_eq!(raw.as_bytes(), theirs.stdout, "{reference}");
    assert_eq!(digest.trim_end(), Digest::of(raw.as_bytes()).to_string());
    let shown = project.run(&["inspect", reference]).await.expect_code(0).stdout;
    for platform in ["linux/amd64", "linux/arm64"] {
        assert!(shown.contains(platform), "{shown}");
        project.run(&["digest", reference, "--platform", platform]).await.expect_code(0);
    }
    // What is longer than a narrow terminal is a digest, an annotation or an address.
    let long = shown.lines().filter(|line| line.chars().count() > 80 && !line.contains([':', '=']));
    assert_eq!(long.collect::<Vec<_>>(), Vec::<&str>::new());
    let verified = project.run(&["verify", reference, "--json"]).await.expect_code(0).stdout;
    serde_json::from_str::<Value>(&verified).unwrap()["verified"][0].clone()
}

#[tokio::test]
async fn inspect_agrees_with_buildx_crane_oras_and_skopeo() {
    let registry = Distribution::start(Setup::Plain);
    let project = project(Engine::new(), "read", registry.address());
    let name = |tag: &str| project.reference(registry.address(), tag);
    let built = name("buildx");
    let context = project.context();
    let platforms = "--platform=linux/amd64,linux/arm64";
    let annotation = "--annotation=index:org.opencontainers.image.vendor=tests";
    let command = ["buildx", "build", "--provenance=mode=max", annotation, platforms, "--push", "--tag", &built];
    parts::printed(&Engine::new().docker([&command[..], &[context.to_str().unwrap()]].concat()).await);

    let of_buildx = is_read_as_others_read_it(&project, &built).await;
    assert_eq!(of_buildx["attestations"], 2);
    let shown = project.run(&["inspect", &built]).await.expect_code(0).stdout;
    for line in [
        "org.opencontainers.image.vendor = tests",
        "attestation of linux/arm64  OCI image  1 statement",
        "  provenance  https://slsa.dev/provenance/",
    ] {
        assert!(shown.contains(line), "{line}: {shown}");
    }
    let document = project.run(&["inspect", "--json", &built]).await.expect_code(0).stdout;
    let document: Value = serde_json::from_str(&document).unwrap();
    let provenance = imagetools(&built, ".Provenance").await;
    assert!(provenance["linux/amd64"]["SLSA"].is_object());
    assert!(document["entries"][2]["predicates"][0].as_str().unwrap().starts_with("https://slsa.dev/provenance/"));

    // An index that lists that index and an image; one of the same entries; a copy.
    let (nested, single, flat, copied) = (name("nested"), name("single"), name("oras"), name("copied"));
    let amd64 = project.run(&["digest", &built, "--platform", "linux/amd64"]).await.expect_code(0).stdout;
    assert_eq!(amd64.trim_end(), crane(&["digest", "--platform", "linux/amd64", &built]).await);
    let image = format!("{}/{}@{}", registry.address(), project.name, amd64.trim_end());
    crane(&["tag", &image, "single"]).await;
    crane(&["index", "append", "--flatten=false", "-m", &built, "-t", &nested]).await;
    tool("oras", &["manifest", "index", "create", "--plain-http", &flat, "single"]).await;
    let (from, to) = (format!("docker://{built}"), format!("docker://{copied}"));
    let copy = ["copy", "--all", "--src-tls-verify=false", "--dest-tls-verify=false", &from, &to];
    tool("skopeo", &[&["--insecure-policy"], &copy[..]].concat()).await;

    let of_crane = is_read_as_others_read_it(&project, &nested).await;
    assert_eq!((of_crane["indexes"].as_array().map(Vec::len), &of_crane["attestations"]), (Some(1), &2.into()));
    assert_eq!(of_crane["entries"], of_buildx["entries"]);
    assert_eq!(is_read_as_others_read_it(&project, &copied).await["index"], of_buildx["index"]);
    let of_oras = project.run(&["verify", &flat, "--json"]).await.expect_code(0).stdout;
    assert!(of_oras.contains("\"linux/amd64\"") && !of_oras.contains("\"linux/arm64\""), "{of_oras}");
    assert_eq!(project.run(&["digest", &single]).await.expect_code(0).stdout, amd64);

    let same = project.run(&["inspect", &built, &copied]).await.expect_code(0).stdout;
    assert!(same.ends_with("\nsame\n"), "{same}");
    let differs = project.run(&["inspect", &built, &flat]).await.expect_code(0).stdout;
    assert!(differs.contains("linux/amd64  same") && differs.contains("linux/arm64  only in A"), "{differs}");
    assert!(differs.contains("- org.opencontainers.image.vendor = tests"), "{differs}");
}

#[tokio::test]
async fn inspect_reads_lists_of_docker_manifest() {
    let registry = Distribution::start(Setup::Plain);
    let project = project(Engine::old(), "list", registry.address());
    project.run(&["build", "--no-join"]).await.expect_code(0);
    let name = |tag: &str| project.reference(registry.address(), tag);
    let (list, amd64, arm64) = (name("list"), name("1.0-amd64"), name("1.0-arm64"));
    tool("docker", &["manifest", "create", "--insecure", &list, &amd64, &arm64]).await;
    tool("docker", &["manifest", "push", "--purge", "--insecure", &list]).await;
    let found = is_read_as_others_read_it(&project, &list).await;
    assert_eq!(found["media_type"], "application/vnd.docker.distribution.manifest.list.v2+json");
    assert_eq!(found["entries"].as_array().map(Vec::len), Some(2));
}

async fn verify_pull_leaves_no_new_image_on_the_engine(engine: Engine) {
    let registry = Distribution::start(Setup::Plain);
    let project = project(engine.clone(), "pulled", registry.address());
    let published = project.run(&["build"]).await.expect_code(0).stdout;
    let reference = project.reference(registry.address(), "1.0");
    // A private engine has none of it yet.
    let private = PrivateEngine::start(&engine, "pulls").await;
    let images = || async { parts::printed(&private.engine.docker(["images", "--all", "--digests", "--quiet"]).await) };
    let verify = |args: &[&'static str]| {
        let args = [&["verify", "--pull"], args].concat();
        project.command(&args).env("DOCKER_HOST", &private.engine.host)
    };
    let reference: &'static str = reference.leak();
    let pulled = verify(&[reference]).finish().await.expect_code(0);
    assert_eq!(pulled.stdout, published);
    let said = "engine default pulled linux/amd64, as the registry has it; removed again";
    assert!(pulled.stderr.contains(said), "{}", pulled.stderr);
    assert_eq!(images().await, "", "something is left of it");

    // What was there stays, and nothing comes beside it.
    parts::printed(&private.engine.docker(["pull", "--quiet", published.trim_end()]).await);
    let before = images().await;
    let again = verify(&[reference, "--json"]).finish().await.expect_code(0);
    let document: Value = serde_json::from_str(&again.stdout).unwrap();
    assert_eq!(document["verified"][0]["pulled"][0]["kept"], "was_there", "{}", again.stdout);
    assert_eq!(images().await, before);

    // A name of the same image keeps it, too.
    parts::printed(&private.engine.docker(["tag", published.trim_end(), "kept:1"]).await);
    parts::printed(&private.engine.docker(["rmi", published.trim_end()]).await);
    verify(&[reference]).finish().await.expect_code(0);
    parts::printed(&private.engine.docker(["image", "inspect", "--format={{.Id}}", "kept:1"]).await);
}

async fn verify_pull_uses_the_plan_and_the_login_of_the_user(engine: Engine) {
    let registry = Distribution::start(Setup::Login);
    let project = project(engine.clone(), "login", registry.address());
    let engines = format!("engines:\n  lab: {{ host: '{}', platforms: [linux/amd64, linux/arm64] }}\n", engine.host);
    let plan = std::fs::read_to_string(project.path("build.yaml")).unwrap() + &engines;
    project.write("build.yaml", plan);
    let auth = base64::engine::general_purpose::STANDARD.encode(format!("{USER}:{PASSWORD}"));
    let login = json!({ "auths": { registry.address().to_string(): { "auth": auth } } });
    std::fs::write(project.home.docker_config().join("config.json"), login.to_string()).unwrap();
    project.run(&["build"]).await.expect_code(0);
    let verified = project.run(&["verify", "--pull"]).await.expect_code(0);
    for platform in ["linux/amd64", "linux/arm64"] {
        assert!(verified.stderr.contains(&format!("engine lab pulled {platform}, as the registry has it")));
    }
    assert!(!verified.stderr.contains(PASSWORD));
    // Each index once, however many tags it has.
    assert_eq!(verified.stderr.matches("pulled linux/arm64").count(), 1, "{}", verified.stderr);
}
