//! Who we are at AWS, as the SDK's credential chain finds it.

use std::error::Error;
use std::time::Duration;

use aws_config::imds::client::error::{ImdsError, TokenError};
use aws_config::profile;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::error::EcrErrorKind;

/// How long all of the chain may take: less than an attempt of a call, which would be made again.
pub(super) const LIMIT: Duration = Duration::from_secs(5);
/// How long it is known that there is nobody: an instance that is none is not waited for again by every call.
const KNOWN: Duration = Duration::from_mins(1);
/// The profile that need not be there.
const DEFAULT_PROFILE: &str = "default";

/// The chain, asked by one caller at a time: who comes meanwhile gets the same failure. What it finds the SDK keeps.
#[derive(Debug)]
pub(super) struct Chain {
    links: SharedCredentialsProvider,
    failed: Mutex<Option<(Instant, EcrErrorKind)>>,
}

impl Chain {
    pub(super) fn of(links: SharedCredentialsProvider) -> Self {
        Self { links, failed: Mutex::default() }
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
                None => kind(&error),
            },
            Err(_) => {
                EcrErrorKind::Credentials(format!("what gives them out did not answer within {} s", LIMIT.as_secs()))
            }
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

fn kind(error: &CredentialsError) -> EcrErrorKind {
    // The instance is asked last: one that is none, or that gives nothing out, leaves nobody to ask.
    let is_instance = causes(error).any(|cause| cause.is::<ImdsError>() || cause.is::<TokenError>());
    if is_instance || matches!(error, CredentialsError::CredentialsNotLoaded(_)) {
        return EcrErrorKind::NoCredentials;
    }
    // The first of them only says that something went wrong.
    let said: Vec<_> = causes(error).skip(1).map(ToString::to_string).collect();
    EcrErrorKind::Credentials(said.join(": "))
}

/// Why the profile that is named cannot be used: the chain passes over one that is not there.
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

/// An error, and what it comes from, outermost first.
pub(super) fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    fn cause<'a>(error: &&'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
        Error::source(*error)
    }
    std::iter::successors(Some(error), cause)
}
