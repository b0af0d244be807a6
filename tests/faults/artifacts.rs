//! What registries have beside images: charts, plugins, signatures, and manifests of a format that is gone.

use serde_json::{Value, json};

use super::editing::{join, reference, world};
use super::world::{World, says};
use crate::support::images::{Document, OCI_MANIFEST, fields};
use crate::support::program::Run;

/// Puts a manifest of `config` under the tag `artifact`.
fn has(world: &World, config_type: &str, config: &Value, more: &Value) {
    let config = Document::new(config_type, config);
    world.store.keep(&config);
    let mut manifest = json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config.descriptor(), "layers": [],
    });
    manifest.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    world.store.put("hello", "artifact", &Document::new(OCI_MANIFEST, &manifest));
}

#[tokio::test]
async fn join_names_the_kind_of_an_artifact_source() {
    let cases = [
        (
            "application/vnd.cncf.helm.config.v1+json",
            json!({ "name": "web", "version": "1.0" }),
            json!({}),
            "a Helm chart",
        ),
        ("application/vnd.docker.plugin.v1+json", json!({ "description": "" }), json!({}), "a plugin of Docker Engine"),
        (
            "application/vnd.oci.empty.v1+json",
            json!({}),
            json!({ "artifactType": "application/spdx+json" }),
            "an artifact of type application/spdx+json",
        ),
        ("application/vnd.example+json", json!([]), json!({}), "an artifact of type application/vnd.example+json"),
    ];
    for (config_type, config, more, named) in cases {
        let world = world(&["linux/amd64"]).await;
        has(&world, config_type, &config, &more);
        let refused = join(&world, &[], &["amd64", "artifact"]).await.expect_code(7);
        let said = format!("{}: it is {named}, not an image", reference(&world, "artifact"));
        says(&refused, &[&said, "name an image, or copy the artifact with `polyarch copy`"]);
        assert!(world.store.get("hello", "1.0").is_none());
        // The hint is true.
        let (from, to) = (reference(&world, "artifact"), reference(&world, "copied"));
        world.run(&["copy", &from, &to]).finish().await.expect_code(0);
        assert_eq!(world.store.get("hello", "copied"), world.store.get("hello", "artifact"));
    }
}

#[tokio::test]
async fn config_of_unknown_type_is_an_image_if_it_has_a_platform() {
    let world = world(&["linux/amd64"]).await;
    has(&world, "application/octet-stream", &fields("linux/arm64"), &json!({}));
    join(&world, &[], &["amd64", "artifact"]).await.expect_code(0);
}

#[tokio::test]
async fn docker_schema_1_manifest_is_refused_by_name() {
    let world = world(&["linux/amd64"]).await;
    let signed = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    let manifest = json!({
        "schemaVersion": 1, "name": "hello", "tag": "artifact", "architecture": "amd64",
        "fsLayers": [], "history": [], "signatures": [],
    });
    world.store.put("hello", "artifact", &Document::new(signed, &manifest));
    let refused = join(&world, &[], &["amd64", "artifact"]).await.expect_code(7);
    says(&refused, &["the manifest is Docker's schema 1", "build and push the image again"]);
    let one = reference(&world, "artifact");
    let inspected = Run::new(&world.home, ["inspect", &one]).finish().await.expect_code(7);
    says(&inspected, &["Docker's schema 1", "build and push"]);
}
