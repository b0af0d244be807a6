//! The labels that polyarch reads.

use serde::Deserialize;

/// The label with the name of the image in the plan. `clean` uses it to recognise the images that polyarch built.
pub const IMAGE_LABEL: &str = "dev.polyarch.image";

/// The label or annotation with the commit of an image (OCI image-spec, "Pre-Defined Annotation Keys").
pub const REVISION: &str = "org.opencontainers.image.revision";
/// The longest revision in a message, in characters.
const MAX_REVISION: usize = 128;

/// The parts of a manifest or a config that can contain the commit.
#[derive(Deserialize)]
struct RevisionView {
    config: Option<LabelsView>,
    annotations: Option<SaysRevision>,
}

#[derive(Deserialize)]
struct LabelsView {
    #[serde(rename = "Labels")]
    labels: Option<SaysRevision>,
}

#[derive(Deserialize)]
struct SaysRevision {
    #[serde(rename = "org.opencontainers.image.revision")]
    revision: Option<String>,
}

/// The revision in the label of the config, or else in the annotation of the manifest.
pub(in crate::oci) fn revision(manifest: &[u8], config: &[u8]) -> Option<String> {
    let read = |bytes| serde_json::from_slice::<RevisionView>(bytes).ok();
    let label = || read(config)?.config?.labels?.revision;
    let said = label().or_else(|| read(manifest)?.annotations?.revision)?;
    Some(said.chars().take(MAX_REVISION).collect::<String>()).filter(|revision| !revision.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn child_revision_is_read_from_label_or_annotation() {
        let said = |rest: &str| {
            let config = format!(r#"{{"os":"linux","architecture":"amd64"{rest}}}"#);
            revision(b"{}", config.as_bytes())
        };
        assert_eq!(
            said(&format!(r#","config":{{"Labels":{{"a":"b","{REVISION}":"0a1b"}}}}"#)).as_deref(),
            Some("0a1b")
        );
        for rest in ["", r#","config":null"#, r#","config":{"Labels":null}"#, r#","config":{"Labels":{"a":"b"}}"#] {
            assert_eq!(said(rest), None, "{rest}");
        }
        let manifest = serde_json::json!({ "annotations": { REVISION: "2c3d" } }).to_string();
        assert_eq!(revision(manifest.as_bytes(), b"{}").as_deref(), Some("2c3d"));
    }
}
