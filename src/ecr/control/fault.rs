//! What a failed call says.

use std::error::Error;

use aws_config::imds::client::error::{ImdsError, TokenError};
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_ecr::error::{ProvideErrorMetadata, SdkError};

use crate::ecr::error::EcrErrorKind;
use crate::ecr::sdk::CALL;

/// What AWS says of credentials that it does not take, in ECR and in STS.
const NOT_ACCEPTED: [&str; 7] = [
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
];
/// What it says where it was asked too often, in what follows on the SDK's own attempts.
const TOO_OFTEN: [&str; 4] =
    ["Throttling", "ThrottlingException", "TooManyRequestsException", "LimitExceededException"];

/// What the failure of a call of `action` (IAM's name for it, `ecr:CreateRepository`) says.
pub(super) fn kind<E>(action: &str, error: &SdkError<E>) -> EcrErrorKind
where
    E: ProvideErrorMetadata + Error + 'static,
{
    match error {
        SdkError::ServiceError(answer) => said(action, answer.err().code(), answer.err().message()),
        SdkError::TimeoutError(_) => EcrErrorKind::Timeout(CALL),
        SdkError::ResponseError(_) => EcrErrorKind::Answer("something that is not of its API"),
        error => not_sent(error),
    }
}

fn said(action: &str, code: Option<&str>, message: Option<&str>) -> EcrErrorKind {
    let (code, message) = (code.unwrap_or("error"), message.unwrap_or("without a message").to_owned());
    match code {
        "AccessDenied" | "AccessDeniedException" => EcrErrorKind::Denied { action: action.to_owned(), message },
        "RepositoryNotFoundException" => EcrErrorKind::NoRepository,
        code if NOT_ACCEPTED.contains(&code) => EcrErrorKind::CredentialsRefused(format!("{code}: {message}")),
        code if TOO_OFTEN.contains(&code) => EcrErrorKind::Throttled(message),
        code => EcrErrorKind::Refused { code: code.to_owned(), message },
    }
}

/// Nothing was sent: there is nobody to sign for, or no way there. The last of the causes says it best.
fn not_sent(error: &(dyn Error + 'static)) -> EcrErrorKind {
    fn cause<'a>(error: &&'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
        Error::source(*error)
    }
    let causes = || std::iter::successors(Some(error), cause);
    let last = || causes().last().map(ToString::to_string).unwrap_or_default();
    // The instance is asked last: one that is none, or that gives nothing out, leaves nobody to ask.
    let is_instance = causes().any(|cause| cause.is::<ImdsError>() || cause.is::<TokenError>());
    match causes().find_map(|cause| cause.downcast_ref::<CredentialsError>()) {
        Some(_) if is_instance => EcrErrorKind::NoCredentials,
        Some(CredentialsError::CredentialsNotLoaded(_)) => EcrErrorKind::NoCredentials,
        Some(CredentialsError::ProviderTimedOut(_)) => {
            EcrErrorKind::Credentials("what gives them out did not answer within 5 s".into())
        }
        Some(_) => EcrErrorKind::Credentials(last()),
        None => EcrErrorKind::Unreachable(last()),
    }
}
