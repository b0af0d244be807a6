//! The next step after a failed request.

use super::kind::{ErrorKind, in_words};
use super::registry_error::RegistryError;
use super::target::TargetError;
use crate::aws::{EcrAction, EcrRefusal};
use crate::oci::{ManifestError, RegistryHost};

impl RegistryError {
    /// The next step for the user in one line, if there is one.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let host = self.host();
        if let Some(refusal) = self.ecr_refusal() {
            let asked = self.0.ecr.as_ref();
            let hint = refusal.hint(host, asked.and_then(|asked| asked.repository.as_ref()));
            // A command that only reads needs a correct name. It creates no repository.
            let is_read = asked.is_some_and(|asked| asked.action == Some(EcrAction::BatchGetImage));
            let is_name = is_read && matches!(refusal, EcrRefusal::RepositoryMissing { .. });
            return Some(if is_name { format!("check the name of the repository, or {hint}") } else { hint });
        }
        let login = if host.is_docker_hub() { "docker login".to_owned() } else { format!("docker login {host}") };
        Some(match self.kind() {
            ErrorKind::TokenServer { server, kind } => match &**kind {
                ErrorKind::Dns(_) => {
                    format!("check the name {server}, the token server of {host}, and the DNS of this machine")
                }
                ErrorKind::Status { status: 500.., .. } => format!("read the log of {server}, then run this again"),
                ErrorKind::Connect(_)
                | ErrorKind::Proxy { .. }
                | ErrorKind::Tls(_)
                | ErrorKind::Interrupted(_)
                | ErrorKind::Timeout { .. } => {
                    format!("check that {server}, the token server of {host}, is up and can be reached from here")
                }
                _ => format!("check the settings of {host}, which names {server} as its token server"),
            },
            ErrorKind::LoginRequired(_) => format!("log in with `{login}`"),
            ErrorKind::LoginRefused(_) => format!("log in again with `{login}`"),
            ErrorKind::Denied(_) => {
                format!(
                    "check that your login has permission for this repository, or log in as another user with `{login}`"
                )
            }
            ErrorKind::NotFound(answer) if answer.has("NAME_UNKNOWN") => {
                "check the name of the repository; create it first if the registry requires that".to_owned()
            }
            ErrorKind::Credential(error) => error.hint(),
            ErrorKind::Dns(_) => format!("check the name {host} and this machine's DNS"),
            ErrorKind::Connect(_) => format!("check that {host} is up and can be reached from here"),
            ErrorKind::Proxy { proxy, .. } => {
                format!("check that {proxy} is up and may reach {host}, or add {host} to NO_PROXY")
            }
            ErrorKind::ProxyLogin { .. } => {
                "set the user and the password in HTTPS_PROXY or HTTP_PROXY: http://USER:PASSWORD@HOST:PORT".to_owned()
            }
            ErrorKind::Tls(cause) if cause.is_of_authority() => {
                "set `ca:` in the plan to the registry's certificate, or copy the certificate into docker's certs.d"
                    .to_owned()
            }
            ErrorKind::Tls(cause) if cause.is_of_our_certificate() => client_certificate(host),
            ErrorKind::Interrupted(cause) if cause.is_of_ended_connection() => {
                format!(
                    "run this again; if it fails again, set a client certificate for {host}: `cert:` and `key:` in the plan"
                )
            }
            ErrorKind::Status { status: 400, answer, .. } if answer.says("SSL certificate") => client_certificate(host),
            ErrorKind::Manifest(ManifestError::Schema1) => {
                "build and push the image again; if its source is lost, convert the image with `skopeo copy`".to_owned()
            }
            ErrorKind::Target(TargetError::Private(place)) => {
                format!(
                    "allow this host if you trust it: `may_send_to: [\"{place}\"]` of {host} in the plan, or --may-send-to {host}={place}"
                )
            }
            ErrorKind::Target(TargetError::Downgrade(_)) => format!(
                "configure the proxy in front of {host} to send `X-Forwarded-Proto: https` (nginx: proxy_set_header X-Forwarded-Proto $scheme)"
            ),
            ErrorKind::Tls(cause) if cause.is_of_plain_http() => {
                format!("set `insecure: true` in the plan, or pass --insecure: {host} speaks plain HTTP")
            }
            ErrorKind::Tls(_) => {
                "set `ca:` in the plan to the file of the registry's certificate authority, or pass --ca HOST=FILE"
                    .to_owned()
            }
            ErrorKind::RetryLater { after, .. } => format!("run this again in {}", in_words(*after)),
            ErrorKind::Timeout { .. } | ErrorKind::Interrupted(_) => {
                "run this again; if it fails again, check the registry and the network".to_owned()
            }
            ErrorKind::WebPage => {
                format!("open {host} in a browser: a login portal or a proxy answers instead of the registry")
            }
            ErrorKind::Status { status: 413, .. } => {
                format!("allow larger requests in the server in front of {host} (nginx: client_max_body_size 0)")
            }
            // POST, PUT and PATCH add content. A registry that takes pushes may still refuse DELETE.
            ErrorKind::Status { status: 405, .. } if self.0.request.starts_with('P') => {
                format!("push to another registry, or let {host} take pushes: a read-only registry answers so")
            }
            // The messages of Go's server and of nginx.
            ErrorKind::Status { status: 400, answer, .. } if answer.says("HTTP request") && answer.says("HTTPS") => {
                format!("remove `insecure: true` or --insecure: {host} speaks TLS")
            }
            ErrorKind::Status { status: 500.., .. } | ErrorKind::UploadLost(_) => {
                "read the registry's log, then run this again".to_owned()
            }
            _ => return None,
        })
    }
}

/// A server sends the same alert for a missing client certificate and for one that it does not accept.
fn client_certificate(host: &RegistryHost) -> String {
    format!(
        "show {host} a client certificate that it trusts: `cert:` and `key:` in the plan, or client.cert and client.key in docker's certs.d/{host}"
    )
}
