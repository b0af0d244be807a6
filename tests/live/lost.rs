//! A registry that lost a layer is filled again by the run that has it.

use polyarch::oci::Digest;
use serde_json::Value;

use crate::project::{Project, crane};
use crate::support::distribution::{Distribution, Setup};
use crate::support::engines::Engine;

on_both_engines!(engine_pushes_again_after_the_registry_lost_a_layer, second_registry_receives_its_lost_blobs_again,);

/// The layers of the project's image of `platform` in `registry`.
async fn layers(project: &Project, registry: &Distribution, platform: &str) -> Vec<Digest> {
    let printed = crane(&["manifest", "--platform", platform, &project.reference(registry.address(), "1.0")]).await;
    let manifest: Value = serde_json::from_str(&printed).unwrap();
    let layers = manifest["layers"].as_array().unwrap().iter();
    layers.map(|layer| layer["digest"].as_str().unwrap().parse().unwrap()).collect()
}

fn states(report: &Value) -> Vec<&str> {
    report["images"][0]["tags"].as_array().unwrap().iter().map(|tag| tag["state"].as_str().unwrap()).collect()
}

async fn verify(project: &Project) {
    project.run(&["verify"]).await.expect_code(0);
}

fn write(project: &Project) {
    project.busybox("COPY app-${TARGETARCH} /app\n");
    for file in ["app-amd64", "app-arm64"] {
        project.write(&format!("context/{file}"), file);
    }
}

async fn engine_pushes_again_after_the_registry_lost_a_layer(engine: Engine) {
    let (registry, project) = (Distribution::start(Setup::Plain), Project::new(engine, "lost"));
    write(&project);
    project.plan(registry.address(), "platforms: [linux/amd64, linux/arm64]");
    let first = project.build(&[]).await;
    for layer in layers(&project, &registry, "linux/arm64").await {
        registry.lose(&layer);
        let again = project.build(&[]).await;
        assert_eq!(again["images"][0]["index"], first["images"][0]["index"]);
        assert!(states(&again).iter().all(|state| *state == "unchanged"), "{again:#}");
        let said = again["warnings"].to_string();
        assert!(said.contains(layer.as_str()) && said.contains("pushes the image again"), "{said}");
        verify(&project).await;
    }
}

async fn second_registry_receives_its_lost_blobs_again(engine: Engine) {
    let (first, second) = (Distribution::start(Setup::Plain), Distribution::start(Setup::Plain));
    let project = Project::new(engine, "lost");
    write(&project);
    let both = format!("[\"{}\", \"{}\"]", first.address(), second.address());
    project.plan(both, "platforms: [linux/amd64, linux/arm64]");
    project.build(&[]).await;
    for layer in layers(&project, &first, "linux/arm64").await {
        second.lose(&layer);
        project.build(&[]).await;
        verify(&project).await;
    }
}

#[tokio::test]
async fn untagged_image_is_pushed_again_after_the_registry_lost_it() {
    let (registry, project) = (Distribution::start(Setup::Plain), Project::new(Engine::new(), "lost"));
    write(&project);
    project.plan(registry.address(), "platforms: [linux/amd64, linux/arm64]\narch_tags: none");
    project.build(&[]).await;
    for layer in layers(&project, &registry, "linux/arm64").await {
        registry.lose(&layer);
        project.build(&[]).await;
        verify(&project).await;
    }
}
