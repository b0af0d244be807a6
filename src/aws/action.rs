//! The IAM actions that requests to Amazon ECR need (Amazon ECR, "IAM permissions for pushing an image").

use std::fmt;

/// An IAM action that a request to the registry needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EcrAction {
    /// Read a manifest.
    BatchGetImage,
    /// Push a manifest.
    PutImage,
    /// Delete an image or a tag.
    BatchDeleteImage,
    /// Check whether a layer exists.
    BatchCheckLayerAvailability,
    /// Read a layer.
    GetDownloadUrlForLayer,
    /// Begin to upload a layer.
    InitiateLayerUpload,
    /// Continue the upload.
    UploadLayerPart,
    /// Finish the upload.
    CompleteLayerUpload,
}

impl EcrAction {
    /// The action that a request needs. `method` and `path` are those of the request; `path` may be a URL.
    #[must_use]
    pub fn of(method: &str, path: &str) -> Option<Self> {
        let path = path.split('?').next().unwrap_or(path);
        if path.contains("/blobs/uploads/") {
            return match method {
                "POST" => Some(Self::InitiateLayerUpload),
                "PATCH" | "GET" => Some(Self::UploadLayerPart),
                "PUT" => Some(Self::CompleteLayerUpload),
                _ => None,
            };
        }
        let is_manifest = path.contains("/manifests/");
        match method {
            "GET" | "HEAD" if is_manifest => Some(Self::BatchGetImage),
            "PUT" if is_manifest => Some(Self::PutImage),
            "DELETE" if is_manifest => Some(Self::BatchDeleteImage),
            "HEAD" if path.contains("/blobs/") => Some(Self::BatchCheckLayerAvailability),
            "GET" if path.contains("/blobs/") => Some(Self::GetDownloadUrlForLayer),
            _ => None,
        }
    }
}

/// `ecr:PutImage`
impl fmt::Display for EcrAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ecr:{self:?}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ecr_request_maps_to_its_iam_action() {
        for (line, action) in [
            ("GET web/manifests/1.0", "ecr:BatchGetImage"),
            ("HEAD https://h/v2/web/manifests/1.0", "ecr:BatchGetImage"),
            ("PUT web/manifests/1.0", "ecr:PutImage"),
            ("DELETE web/manifests/1.0", "ecr:BatchDeleteImage"),
            ("HEAD web/blobs/sha256:0", "ecr:BatchCheckLayerAvailability"),
            ("GET web/blobs/sha256:0", "ecr:GetDownloadUrlForLayer"),
            ("POST web/blobs/uploads/?mount=x&from=y", "ecr:InitiateLayerUpload"),
            ("PATCH https://h/v2/web/blobs/uploads/1", "ecr:UploadLayerPart"),
            ("PUT https://h/v2/web/blobs/uploads/1?digest=x", "ecr:CompleteLayerUpload"),
        ] {
            let (method, path) = line.split_once(' ').unwrap();
            assert_eq!(EcrAction::of(method, path).map(|action| action.to_string()).as_deref(), Some(action), "{line}");
        }
        assert_eq!(EcrAction::of("GET", ""), None);
    }
}
