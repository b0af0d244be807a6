//! Pushing what was built, through the engine.

use std::time::{Duration, Instant};

use bollard::auth::DockerCredentials;
use bollard::models::{ErrorDetail, PushImageInfo};
use bollard::query_parameters::PushImageOptionsBuilder;
use futures::StreamExt;

use super::client::Engine;
use super::error::{EngineError, EngineErrorKind};
use super::rest::classify;
use crate::auth::Credential;
use crate::oci::{Digest, Platform, Provider, TagRef};

/// How long a push may be silent.
const IDLE: Duration = Duration::from_mins(5);

/// An image of the engine, by the name under which it is pushed.
#[derive(Debug)]
pub struct PushRequest<'a> {
    /// The name on the engine and in the registry.
    pub to: &'a TagRef,
    /// The one platform to push, where the engine's store can hold several under one name; or else all that the name
    /// has, which is the only way to push what is attested of an image.
    pub platform: Option<&'a Platform>,
    /// Who runs that registry.
    pub provider: Provider,
    /// Who we are there: sent to the engine in this one request.
    pub credential: &'a Credential,
}

/// What the engine said of a push that it calls finished. Proof is what the registry returns afterwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushSummary {
    /// The digest under which the engine says that the registry has it. A claim, good to look it up by.
    pub digest: Option<Digest>,
    /// How long it took.
    pub took: Duration,
    /// Layers that the registry did not have.
    pub layers_pushed: usize,
}

impl Engine {
    /// Pushes an image. Dropping the future stops the push on the engine.
    ///
    /// # Errors
    /// The engine or the registry refuses, the connection is lost, or nothing is heard for 5 minutes.
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
        let mut messages = self.docker.push_image(&name, Some(options.build()), Some(credentials));
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

/// bollard 0.21 says so when the last line's CRLF came in two reads (bollard#560): the engine has said everything.
pub(super) fn ended(error: &bollard::errors::Error) -> bool {
    matches!(error, bollard::errors::Error::IOError { err } if err.to_string().contains("bytes remaining on stream"))
}

/// Everything that ends a push is a push that failed, but for the connection itself.
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

/// The digest of `1.0-amd64: digest: sha256:… size: 528`, an engine's last word on a push.
fn claimed_digest(status: &str) -> Option<Digest> {
    let (_, rest) = status.split_once("digest: ")?;
    rest.split_whitespace().next()?.parse().ok()
}

/// Engine API 1.46, `platform` of `/images/{name}/push`: JSON, as OCI writes it.
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
    fn the_digest_of_the_last_word_is_read() {
        let digest = Digest::of(b"x");
        assert_eq!(claimed_digest(&format!("1.0-amd64: digest: {digest} size: 528")), Some(digest));
        assert_eq!(claimed_digest("1.0: digest: sha256:../../x size: 1"), None);
        assert_eq!(claimed_digest("Pushed"), None);
    }

    #[test]
    fn the_platform_is_ocis_json() {
        assert_eq!(
            platform_json(&"linux/arm/v7".parse().unwrap()),
            r#"{"architecture":"arm","os":"linux","variant":"v7"}"#
        );
    }

    #[test]
    fn credentials_name_the_host_that_they_are_for() {
        let credential = Credential::Basic { username: "u".into(), password: Secret::new("p".to_owned()) };
        let sent = docker_credentials(&credential, "ghcr.io");
        assert_eq!(sent.serveraddress.as_deref(), Some("ghcr.io"));
        assert_eq!(docker_credentials(&Credential::Anonymous, "ghcr.io").serveraddress, None);
        let sent = docker_credentials(&Credential::RegistryToken(Secret::new("t".to_owned())), "ghcr.io");
        assert_eq!((sent.registrytoken.as_deref(), sent.identitytoken, sent.password), (Some("t"), None, None));
    }
}
