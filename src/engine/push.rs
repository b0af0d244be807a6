//! Pushes images through the engine that built them.

use std::time::{Duration, Instant};

use bollard::auth::DockerCredentials;
use bollard::models::{ErrorDetail, PushImageInfo};
use bollard::query_parameters::PushImageOptionsBuilder;
use futures::StreamExt;

use super::client::Engine;
use super::error::{EngineError, EngineErrorKind};
use super::rest::classify;
use crate::auth::Credential;
use crate::aws::Provider;
use crate::oci::{Digest, Platform, TagRef};

/// How long a push may be silent.
const IDLE: Duration = Duration::from_mins(5);

/// An image on the engine, by the name for its push.
#[derive(Debug)]
pub struct PushRequest<'a> {
    /// The name on the engine and in the registry.
    pub to: &'a TagRef,
    /// The platform to push, if the engine's store can hold several platforms under one name. `None` pushes everything
    /// under the name. Only this also pushes the attestations of an image.
    pub platform: Option<&'a Platform>,
    /// The provider of that registry.
    pub provider: Provider,
    /// The login at that registry. Only this one request sends it to the engine.
    pub credential: &'a Credential,
}

/// The engine's report about a push that it calls finished. Proof is only the content that the registry returns
/// afterwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushSummary {
    /// The digest in the registry, as the engine claims it. polyarch uses it only to look up the image.
    pub digest: Option<Digest>,
    /// The duration of the push.
    pub took: Duration,
    /// The layers that the registry did not have.
    pub layers_pushed: usize,
}

impl Engine {
    /// Pushes an image. Dropping the future stops the push on the engine.
    ///
    /// # Errors
    /// The engine or the registry refuses, the connection is lost, or the engine reports nothing for 5 minutes.
    pub async fn push(&self, request: &PushRequest<'_>) -> Result<PushSummary, EngineError> {
        let failed = |kind: EngineErrorKind| {
            let kind = kind.pushing_to(&request.to.repository, request.provider);
            self.error(format!("push {}", request.to), kind)
        };
        let started = Instant::now();
        let mut options = PushImageOptionsBuilder::default().tag(request.to.tag.as_str());
        let platform;
        if let Some(only) = request.platform.filter(|_| self.pushes_by_platform()) {
            platform = platform_json(only);
            options = options.platform(&platform);
        }
        let credentials = docker_credentials(request.credential, request.to.repository.host().as_str());
        let name = request.to.repository.to_string();
        let docker = self.docker().map_err(failed)?;
        let mut messages = docker.push_image(&name, Some(options.build()), Some(credentials));
        let (mut digest, mut layers_pushed) = (None, 0);
        loop {
            let message = tokio::time::timeout(IDLE, messages.next()).await;
            match message.map_err(|_| failed(EngineErrorKind::Stalled(IDLE.as_secs())))? {
                Some(Ok(PushImageInfo { error_detail: Some(detail), .. })) => return Err(failed(unexplained(&detail))),
                Some(Ok(message)) => {
                    let status = message.status.unwrap_or_default();
                    layers_pushed += usize::from(status == "Pushed");
                    digest = claimed_digest(&status).or(digest);
                }
                Some(Err(error)) if ended(&error) => break,
                Some(Err(error)) => return Err(failed(push_error(error))),
                None => break,
            }
        }
        Ok(PushSummary { digest, took: started.elapsed(), layers_pushed })
    }
}

/// bollard 0.21 returns this error if the CRLF of the last line arrived in two reads (bollard#560). The answer is
/// complete then.
pub(super) fn ended(error: &bollard::errors::Error) -> bool {
    matches!(error, bollard::errors::Error::IOError { err } if err.to_string().contains("bytes remaining on stream"))
}

/// Turns every failure of a push into [`EngineErrorKind::Push`], except a lost connection.
fn push_error(error: bollard::errors::Error) -> EngineErrorKind {
    match classify(error) {
        EngineErrorKind::Refused { message, .. } => EngineErrorKind::Push { message, ecr: None },
        other => other,
    }
}

/// bollard 0.21 takes an error without a message for progress.
pub(super) fn unexplained(detail: &ErrorDetail) -> EngineErrorKind {
    let code = detail.code.map(|code| format!(" with code {code}")).unwrap_or_default();
    EngineErrorKind::Push { message: format!("the engine gave up{code}, without a message"), ecr: None }
}

/// The digest in `1.0-amd64: digest: sha256:… size: 528`, the last line of an engine's push.
fn claimed_digest(status: &str) -> Option<Digest> {
    let (_, rest) = status.split_once("digest: ")?;
    rest.split_whitespace().next()?.parse().ok()
}

/// `platform` of `/images/{name}/push` in Engine API 1.46: JSON with OCI's field names.
fn platform_json(platform: &Platform) -> String {
    let mut fields = serde_json::json!({ "os": platform.os(), "architecture": platform.architecture() });
    if let Some(variant) = platform.variant() {
        fields["variant"] = variant.into();
    }
    fields.to_string()
}

pub(super) fn docker_credentials(credential: &Credential, host: &str) -> DockerCredentials {
    let serveraddress = Some(host.to_owned());
    match credential {
        Credential::Anonymous => DockerCredentials::default(),
        Credential::Basic { username, password } => DockerCredentials {
            username: Some(username.clone()),
            password: Some(password.expose().to_owned()),
            serveraddress,
            ..DockerCredentials::default()
        },
        Credential::RegistryToken(token) => DockerCredentials {
            registrytoken: Some(token.expose().to_owned()),
            serveraddress,
            ..DockerCredentials::default()
        },
        Credential::IdentityToken(token) => DockerCredentials {
            identitytoken: Some(token.expose().to_owned()),
            serveraddress,
            ..DockerCredentials::default()
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Secret;

    #[test]
    fn pushed_digest_is_read_from_the_last_status() {
        let digest = Digest::of(b"x");
        assert_eq!(claimed_digest(&format!("1.0-amd64: digest: {digest} size: 528")), Some(digest));
        assert_eq!(claimed_digest("1.0: digest: sha256:../../x size: 1"), None);
        assert_eq!(claimed_digest("Pushed"), None);
    }

    #[test]
    fn push_names_the_platform_as_oci_json() {
        assert_eq!(
            platform_json(&"linux/arm/v7".parse().unwrap()),
            r#"{"architecture":"arm","os":"linux","variant":"v7"}"#
        );
    }

    #[test]
    fn push_credentials_name_their_host() {
        let credential = Credential::Basic { username: "u".into(), password: Secret::new("p".to_owned()) };
        let sent = docker_credentials(&credential, "ghcr.io");
        assert_eq!(sent.serveraddress.as_deref(), Some("ghcr.io"));
        assert_eq!(docker_credentials(&Credential::Anonymous, "ghcr.io").serveraddress, None);
        let sent = docker_credentials(&Credential::RegistryToken(Secret::new("t".to_owned())), "ghcr.io");
        assert_eq!((sent.registrytoken.as_deref(), sent.identitytoken, sent.password), (Some("t"), None, None));
    }
}
