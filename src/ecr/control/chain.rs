//! The AWS credentials that the SDK's credential chain finds.

use std::error::Error;
use std::time::Duration;

use aws_config::imds::client::error::{ImdsError, TokenError};
use aws_config::profile;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use crate::ecr::value::EcrErrorKind;

/// The time limit of the whole chain. It is shorter than an attempt of a call, because the SDK would repeat the
/// attempt.
pub(super) const LIMIT: Duration = Duration::from_secs(5);
/// How long polyarch remembers a failure of the chain. Without this, each call on a machine outside of EC2 would wait
/// for the instance's metadata service again.
const KNOWN: Duration = Duration::from_mins(1);
/// The profile that may be missing.
const DEFAULT_PROFILE: &str = "default";

/// The chain. One caller at a time asks it, and callers that wait get the same failure. The SDK keeps the credentials
/// that the chain finds.
#[derive(Debug)]
pub(super) struct Chain {
    links: SharedCredentialsProvider,
    /// The failure if no source has credentials.
    none: EcrErrorKind,
    failed: Mutex<Option<(Instant, EcrErrorKind)>>,
}

impl Chain {
    pub(super) fn of(links: SharedCredentialsProvider, none: EcrErrorKind) -> Self {
        Self { links, none, failed: Mutex::default() }
    }

    async fn ask(&self) -> Result<Credentials, EcrErrorKind> {
        let mut failed = self.failed.lock().await;
        if let Some((_, known)) = failed.as_ref().filter(|(when, _)| when.elapsed() < KNOWN) {
            return Err(known.clone());
        }
        let why = match timeout(LIMIT, self.links.provide_credentials()).await {
            Ok(Ok(credentials)) => return Ok(credentials),
            Ok(Err(error)) => match unusable_profile().await {
                Some(profile) => profile,
                None => kind(&error).unwrap_or_else(|| self.none.clone()),
            },
            Err(_) => EcrErrorKind::Credentials(format!("their source did not answer within {} s", LIMIT.as_secs())),
        };
        *failed = Some((Instant::now(), why.clone()));
        Err(why)
    }
}

impl ProvideCredentials for Chain {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async { self.ask().await.map_err(CredentialsError::provider_error) })
    }
}

/// Why a source failed. `None`: no source has credentials.
fn kind(error: &CredentialsError) -> Option<EcrErrorKind> {
    // The chain asks the instance last. If the instance does not answer or gives no credentials, no source is left.
    let is_instance = causes(error).any(|cause| cause.is::<ImdsError>() || cause.is::<TokenError>());
    if is_instance || matches!(error, CredentialsError::CredentialsNotLoaded(_)) {
        return None;
    }
    // The first cause only reports that something went wrong.
    let said: Vec<_> = causes(error).skip(1).map(ToString::to_string).collect();
    Some(EcrErrorKind::Credentials(said.join(": ")))
}

/// Why polyarch cannot use the selected profile. The chain itself skips a profile that does not exist.
#[expect(clippy::default_trait_access, reason = "two of the types have no public name")]
pub(super) async fn unusable_profile() -> Option<EcrErrorKind> {
    let read = profile::load(&Default::default(), &Default::default(), &Default::default(), None).await;
    match read {
        Ok(profiles) => {
            let name = profiles.selected_profile();
            let is_there = name == DEFAULT_PROFILE || profiles.get_profile(name).is_some();
            (!is_there).then(|| EcrErrorKind::Profile(format!("there is no profile `{name}` (AWS_PROFILE)")))
        }
        Err(error) => {
            let said: Vec<_> = causes(&error).map(ToString::to_string).collect();
            Some(EcrErrorKind::Profile(said.join(": ")))
        }
    }
}

/// An error and its causes, outermost first.
pub(super) fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    fn cause<'a>(error: &&'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
        Error::source(*error)
    }
    std::iter::successors(Some(error), cause)
}
