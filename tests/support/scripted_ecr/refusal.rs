//! What ECR says when it does not do what is asked: as its API says it, and as its registry does.

use serde_json::json;

use super::super::scripted_registry::{Reply, status};
use super::Action;

/// A refusal. Its message is the same on both planes.
#[derive(Debug)]
pub(super) struct Refusal {
    /// Of the API, whose status is always 400.
    exception: &'static str,
    /// Of the registry.
    status: u16,
    code: &'static str,
    message: String,
}

impl Refusal {
    pub(super) fn new(exception: &'static str, status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { exception, status, code, message: message.into() }
    }

    pub(super) fn repository_missing(name: &str, account: &str) -> Self {
        let message = format!("The repository with name '{name}' does not exist in the registry with id '{account}'");
        Self::new("RepositoryNotFoundException", 404, "NAME_UNKNOWN", message)
    }

    pub(super) fn image_missing() -> Self {
        Self::new("ImageNotFoundException", 404, "MANIFEST_UNKNOWN", "Requested image not found")
    }

    pub(super) fn syntax() -> Self {
        let message = "Invalid parameter at 'ImageManifest' failed to satisfy constraint: 'Invalid JSON syntax'";
        Self::new("InvalidParameterException", 405, "UNSUPPORTED", message)
    }

    pub(super) fn denied(action: Action, resource: &str, account: &str) -> Self {
        let iam = action.iam();
        let message = format!(
            "User: arn:aws:sts::{account}:assumed-role/ci/polyarch is not authorized to perform: {iam} on resource: \
             {resource} because no identity-based policy allows the {iam} action"
        );
        Self::new("AccessDeniedException", 403, "DENIED", message)
    }

    pub(super) fn throttled() -> Self {
        Self::new("ThrottlingException", 429, "TOOMANYREQUESTS", "Rate exceeded")
    }

    pub(super) fn expired() -> Self {
        let message = "Your authorization token has expired. Reauthenticate and try again.";
        Self::new("ExpiredTokenException", 403, "DENIED", message)
    }

    /// As `/v2/` answers.
    pub(super) fn of_registry(&self) -> Reply {
        let body = json!({ "errors": [{ "code": self.code, "message": self.message }] });
        status(self.status).header("Content-Type", "application/json; charset=utf-8").body(body.to_string())
    }

    /// As the API answers.
    pub(super) fn of_api(&self) -> Reply {
        status(400)
            .header("Content-Type", "application/x-amz-json-1.1")
            .header("x-amzn-ErrorType", self.exception)
            .body(json!({ "__type": self.exception, "message": self.message }).to_string())
    }
}
