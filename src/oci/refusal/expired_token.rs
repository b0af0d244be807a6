//! Texts that registries send if a token has expired. The status differs between registries.

/// Parts of these answers, in lower case.
const SPENT: [&str; 10] = [
    // Amazon ECR, status 403 (aws/aws-cli#2351)
    "token has expired",
    // public.ecr.aws, status 400 (aws/containers-roadmap#2835)
    "token is invalid",
    // golang-jwt's `ErrTokenExpired`, in registries that use that library
    "token is expired",
    "token expired",
    "expired token",
    "jwt expired",
    // RFC 6750, 3.1; Quay: "Invalid bearer token format"
    "invalid_token",
    "invalid token",
    "invalid bearer token",
    // Artifactory: "Token failed verification: expired"
    "token failed verification",
];

/// Whether a registry's answer reports an expired token. `text` may also be an engine's message that contains the
/// answer.
pub(crate) fn is_of_expired_token(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    SPENT.iter().any(|words| text.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expired_token_is_recognised_by_the_message() {
        for said in [
            r#"{"errors":[{"code":"DENIED","message":"Your authorization token has expired. Reauthenticate and try again."}]}"#,
            "Your Authorization Token has expired. Please run 'aws ecr get-login' to fetch a new one.",
            r#"{"errors":[{"code":"DENIED","message":"Your Authorization Token is invalid."}]}"#,
            r#"{"error": "Invalid bearer token format"}"#,
            "Token failed verification: expired",
            "token contains an invalid number of segments; invalid_token",
        ] {
            assert!(is_of_expired_token(said), "{said}");
        }
        for said in [
            "",
            r#"{"errors":[{"code":"MANIFEST_INVALID","message":"Unexpected token < in JSON"}]}"#,
            r#"{"errors":[{"code":"DENIED","message":"requested access to the resource is denied"}]}"#,
            "this token may not push",
        ] {
            assert!(!is_of_expired_token(said), "{said}");
        }
    }
}
