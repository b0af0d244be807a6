//! Texts that registries send if a tag exists and may not move. No specification defines such a text.

/// Parts of these answers, in lower case.
const FIXED: [&str; 6] = [
    // Amazon ECR: "…cannot be overwritten because the repository is immutable" (moby/buildkit#3776); Harbor:
    // "…configured as immutable" (goharbor/harbor#9427); Quay: "tag is immutable and cannot be overwritten"
    // (PROJQUAY-10859); Mirantis Secure Registry: "…is an immutable repository" (its manual, "Prevent tags from being
    // overwritten").
    "immutable",
    // Docker Hub: "…cannot be updated due to immutability settings" (docker/hub-feedback#2466)
    "due to immutability settings",
    // Google Artifact Registry: "cannot update tag X. The repository has enabled tag immutability" (its manual,
    // "Troubleshoot container image issues")
    "enabled tag immutability",
    // Alibaba Cloud Container Registry: "The requested tag already exists and cannot be overwritten." (its manual, "Enable
    // image version immutability")
    "already exists and cannot be overwritten",
    // Azure Container Registry, status 405, for a locked image (Azure/acr-cli#70, Azure/acr#84)
    "the operation is disallowed",
    "registry_disallowed_operation",
];

/// Whether a registry's answer reports that a tag may not move. `text` may also be an engine's message that contains
/// the answer.
pub(crate) fn is_of_immutable_tag(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    FIXED.iter().any(|words| text.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn immutable_tag_refusal_is_recognised_by_its_message() {
        for said in [
            "The image tag '1.0' already exists in the 'web' repository and cannot be overwritten because the tag is immutable.",
            "Failed to process request due to 'web:1.0' configured as immutable.",
            "unknown: tag is immutable and cannot be overwritten",
            "tag=latest cannot be overwritten because registry.example/web is an immutable repository",
            "denied: requested access to the resource is denied - This tag is already assigned to an image in this repository and cannot be updated due to immutability settings.",
            "manifest invalid: cannot update tag 1.0. The repository has enabled tag immutability",
            "The requested tag already exists and cannot be overwritten.",
            "unknown: The operation is disallowed on this registry, repository or image.",
        ] {
            assert!(is_of_immutable_tag(said), "{said}");
        }
        for said in [
            "",
            "manifest tag did not match URI",
            "requested access to the resource is denied",
            "The operation is unsupported.",
            "repository already exists",
        ] {
            assert!(!is_of_immutable_tag(said), "{said}");
        }
    }
}
