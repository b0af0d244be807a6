//! The meaning of a failed call.

use std::error::Error;

use aws_sdk_ecr::error::{ProvideErrorMetadata, SdkError};

use super::chain::causes;
use super::sdk::CALL;
use crate::aws::{EcrAnswer, EcrRefusal};
use crate::ecr::value::EcrErrorKind;

/// AWS's codes for credentials that it does not accept, in ECR and in STS.
const NOT_ACCEPTED: [&str; 7] = [
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
];
/// AWS's codes for too many requests, after the SDK's own attempts.
const TOO_OFTEN: [&str; 4] =
    ["Throttling", "ThrottlingException", "TooManyRequestsException", "LimitExceededException"];

/// The meaning of a failed call of `action` (its name in IAM, such as `ecr:CreateRepository`).
pub(super) fn kind<E>(action: &str, error: &SdkError<E>) -> EcrErrorKind
where
    E: ProvideErrorMetadata + Error + 'static,
{
    match error {
        SdkError::ServiceError(answer) => match answer.err().code() {
            Some(code) => said(action, code, answer.err().message()),
            None => EcrErrorKind::Answer("something that is not part of its API"),
        },
        SdkError::TimeoutError(_) => EcrErrorKind::Timeout(CALL),
        SdkError::ResponseError(_) => EcrErrorKind::Answer("something that is not part of its API"),
        error => not_sent(error),
    }
}

fn said(action: &str, code: &str, message: Option<&str>) -> EcrErrorKind {
    let message = message.unwrap_or("AWS sent no message").to_owned();
    match code {
        "AccessDenied" | "AccessDeniedException" => {
            // A call may need a second action: for tags, or for a bearer token.
            let action = match EcrRefusal::read(EcrAnswer { message: &message, ..EcrAnswer::default() }) {
                Some(EcrRefusal::NotAllowed { action, .. }) => action,
                _ => action.to_owned(),
            };
            EcrErrorKind::Denied { action, message }
        }
        "RepositoryNotFoundException" => EcrErrorKind::NoRepository,
        code if NOT_ACCEPTED.contains(&code) => EcrErrorKind::CredentialsRefused(format!("{code}: {message}")),
        code if TOO_OFTEN.contains(&code) => EcrErrorKind::Throttled(message),
        code => EcrErrorKind::Refused { code: code.to_owned(), message },
    }
}

/// The SDK sent nothing: it has no credentials to sign with, or it cannot reach AWS. The last cause is the clearest.
fn not_sent(error: &(dyn Error + 'static)) -> EcrErrorKind {
    let last = || causes(error).last().map(ToString::to_string).unwrap_or_default();
    // The chain reports its own failure.
    let chain = causes(error).find_map(|cause| cause.downcast_ref::<EcrErrorKind>());
    chain.cloned().unwrap_or_else(|| EcrErrorKind::Unreachable(last()))
}
