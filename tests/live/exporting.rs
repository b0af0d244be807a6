//! How images are written, and who can read them.

use std::fs;
use std::io::Write as _;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::project::{Project, config, crane};
use crate::support::distribution::{Distribution, Setup};
use crate::support::engines::Engine;

/// An image whose layers are all its own: a layer stays on an engine as it was first compressed, for other tests too.
fn project(engine: Engine, what: &str) -> Project {
    let project = Project::new(engine, what);
    project.write("context/mine", &project.name);
    project.busybox("COPY mine /mine\n");
    for arch in ["amd64", "arm64", "armv7"] {
        let shell = fs::File::options().append(true).open(project.context().join(format!("busybox-{arch}")));
        shell.unwrap().write_all(project.name.as_bytes()).unwrap();
    }
    project
}

async fn manifest(reference: &str, platform: &str) -> Value {
    serde_json::from_str(&crane(&["manifest", "--platform", platform, reference]).await).unwrap()
}

fn layer_types(manifest: &Value) -> Vec<String> {
    let layers = manifest["layers"].as_array().unwrap();
    layers.iter().map(|layer| layer["mediaType"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn each_platform_gets_its_planned_compression() {
    let registry = Distribution::start(Setup::Plain);
    let project = project(Engine::new(), "compression");
    let platforms = "\
platforms:
  linux/amd64: { compression: zstd, compression_level: 3 }
  linux/arm64: { compression: gzip, compression_level: 9 }
  linux/arm/v7: { compression: uncompressed }";
    project.plan(registry.address(), platforms);
    let built = project.run(&["build"]).await.expect_code(0);
    let words = "its layers are zstd: Docker Engine before 23.0 cannot pull them";
    assert!(built.stderr.contains(words), "{}", built.stderr);
    let reference = project.reference(registry.address(), "1.0");
    let oci = "application/vnd.oci.image.layer.v1.tar";
    for (platform, layer) in [
        ("linux/amd64", format!("{oci}+zstd")),
        ("linux/arm64", "application/vnd.docker.image.rootfs.diff.tar.gzip".into()),
        ("linux/arm/v7", "application/vnd.docker.image.rootfs.diff.tar".into()),
    ] {
        let manifest = manifest(&reference, platform).await;
        assert!(layer_types(&manifest).iter().all(|found| *found == layer), "{platform}");
    }
    for engine in Engine::both() {
        let _cleanup = engine.cleanup(&project.name);
        for platform in ["linux/amd64", "linux/arm64"] {
            let pulled = engine.docker(["pull", "--quiet", "--platform", platform, &reference]).await;
            let said = String::from_utf8_lossy(&pulled.stderr).into_owned();
            let can = engine.host == Engine::new().host || platform == "linux/arm64";
            assert_eq!(pulled.status.success(), can, "{} {platform}: {said}", engine.host);
        }
    }
}

#[tokio::test]
async fn images_get_their_planned_oci_annotations() {
    let registry = Distribution::start(Setup::Plain);
    let project = project(Engine::new(), "annotations");
    let settings = "\
platforms: { linux/amd64: , linux/arm64: { annotations: { of: arm } } }
annotations: { of: all, by: \"${name}\" }";
    project.plan(registry.address(), settings);
    project.build(&[]).await;
    let reference = project.reference(registry.address(), "1.0");
    for (platform, of) in [("linux/amd64", "all"), ("linux/arm64", "arm")] {
        let manifest = manifest(&reference, platform).await;
        assert_eq!(manifest["mediaType"], "application/vnd.oci.image.manifest.v1+json", "{platform}");
        assert_eq!(manifest["annotations"], serde_json::json!({ "of": of, "by": project.name }), "{platform}");
    }
}

#[tokio::test]
async fn same_inputs_give_the_same_digest_on_another_day() {
    let registry = Distribution::start(Setup::Plain);
    let project = project(Engine::new(), "epoch");
    project.plan(registry.address(), "platforms: [linux/amd64, linux/arm64]\nrewrite_timestamp: true");
    let mut digests = Vec::new();
    for days in [1, 2] {
        let time = SystemTime::now() - Duration::from_secs(days * 86_400);
        let files = ["mine", "busybox-amd64", "busybox-arm64"].map(|file| project.context().join(file));
        for file in files {
            fs::File::options().write(true).open(file).unwrap().set_modified(time).unwrap();
        }
        let built = project.command(&["build", "--no-cache"]).env("SOURCE_DATE_EPOCH", "1600000000").finish().await;
        digests.push(built.expect_code(0).stdout);
    }
    assert_eq!(digests[0], digests[1]);
    let reference = project.reference(registry.address(), "1.0");
    assert_eq!(config(&reference, "linux/arm64").await["created"], "2020-09-13T12:26:40Z");
}

#[tokio::test]
async fn compression_is_refused_on_a_graph_driver_engine() {
    let registry = Distribution::start(Setup::Plain);
    let project = project(Engine::old(), "refused");
    let settings = "\
platforms: [linux/amd64]
compression: zstd
force_compression: true
annotations: { a: b }
ulimits: { nofile: 500 }";
    project.plan(registry.address(), settings);
    let refused = project.run(&["build"]).await.expect_code(3);
    let cannot = format!("cannot build {} linux/amd64 with", project.name);
    for words in [
        "`compression`, `force_compression`: its image store cannot hold such an image",
        "`annotations`: its image store cannot hold such an image",
        "`ulimits`: its BuildKit is too old",
    ] {
        assert!(refused.stderr.contains(&format!("{cannot} {words}")), "{words}:\n{}", refused.stderr);
    }
    project.plan(registry.address(), "platforms: [linux/amd64]\ncompression: gzip");
    let built = project.command(&["build"]).env("SOURCE_DATE_EPOCH", "1600000000").finish().await.expect_code(0);
    assert!(built.stderr.contains("ignores SOURCE_DATE_EPOCH"), "{}", built.stderr);
}
