//! The only `send`: it adds the login and the retries to a call, and turns a status into an error.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderValue, WARNING};

use super::notice::Notice;
use super::pace::Pace;
use super::retry::{self, Backoff, Patience, Throttle};
use super::slots::Slots;
use crate::aws::{EcrAction, Provider};
use crate::oci::refusal::is_of_expired_token;
use crate::registry::error::{EcrRequest, RegistryError, TargetError};
use crate::registry::login::logins::{Login, Ticket};
use crate::registry::login::refusal::refusal;
use crate::registry::login::scope::Scope;
use crate::registry::transport::target::redacted;
use crate::registry::transport::wire::{Read, Recipient, Reply, Request, Wire};
use crate::text::printable;

/// The most warnings of a registry that polyarch passes on.
const MAX_WARNINGS: usize = 16;
/// The longest warning, in characters.
const MAX_WARNING: usize = 512;

/// A call of the registry's API.
pub(in crate::registry) struct Call {
    pub(in crate::registry) method: Method,
    /// A path below `/v2/`, or an address that the registry gave.
    pub(in crate::registry) path: String,
    pub(in crate::registry) scope: Option<Scope>,
    pub(in crate::registry) accept: Option<HeaderValue>,
    /// The requested bytes of the content (RFC 9110, 14.2). `None` means all bytes.
    pub(in crate::registry) range: Option<HeaderValue>,
    pub(in crate::registry) content: Option<(HeaderValue, Bytes)>,
    pub(in crate::registry) read: Read,
    /// How a 404 is handled.
    pub(in crate::registry) patience: Patience,
}

impl Call {
    /// Whether this pushes a manifest. The `PUT` of a blob has no content.
    fn puts_manifest(&self) -> bool {
        self.method == Method::PUT && self.content.is_some()
    }
}

/// A registry's API, with polyarch's login.
pub(in crate::registry) struct Http {
    pub(in crate::registry) wire: Wire,
    pub(in crate::registry) provider: Provider,
    pub(in crate::registry) login: Login,
    pub(in crate::registry) backoff: Backoff,
    pub(in crate::registry) throttle: Throttle,
    pub(in crate::registry) slots: Slots,
    /// The rate limit for pushing manifests, if there is one.
    pub(in crate::registry) puts: Option<Pace>,
    pub(in crate::registry) on_notice: Arc<dyn Fn(Notice) + Send + Sync>,
    pub(in crate::registry) warned: Mutex<BTreeSet<String>>,
}

impl Http {
    /// Sends a call until it succeeds or fails for good. The returned reply has a status of success.
    pub(in crate::registry) async fn send(&self, call: &Call) -> Result<Reply, RegistryError> {
        let line = || self.url(&call.path).map_or_else(|_| call.path.clone(), |url| redacted(&call.method, &url));
        // The deadline begins when the call gets its slot. A wait between two attempts occupies no slot.
        let mut turn = Some(self.slots.one().await);
        retry::run(
            &self.backoff,
            &[&self.throttle],
            &*self.on_notice,
            call.patience,
            || {
                let turn = turn.take();
                Box::pin(async move {
                    let _turn = match turn {
                        Some(turn) => turn,
                        None => self.slots.one().await,
                    };
                    self.attempt(call).await
                })
            },
            |kind| RegistryError::new(&self.wire.host, line(), kind),
        )
        .await
    }

    /// Makes one attempt, with at most one renewal of the login.
    pub(in crate::registry) async fn attempt(&self, call: &Call) -> Result<Reply, RegistryError> {
        self.attempted(call).await.map_err(|error| self.asked(error, call))
    }

    /// The failure of `call`, with ECR's name of the request.
    pub(in crate::registry) fn asked(&self, error: RegistryError, call: &Call) -> RegistryError {
        if self.provider != Provider::Ecr {
            return error;
        }
        let repository = call.scope.as_ref().map(|scope| scope.repository.clone());
        error.of_ecr(EcrRequest { repository, action: EcrAction::of(call.method.as_str(), &call.path) })
    }

    async fn attempted(&self, call: &Call) -> Result<Reply, RegistryError> {
        let mut ticket = self.login.ticket(&self.wire, call.scope.as_ref()).await;
        let mut reply = self.exchange(call, &ticket).await?;
        let (wire, scope) = (&self.wire, call.scope.as_ref());
        let other = if wants_login(&reply, &ticket) {
            Some(self.login.renew(wire, scope, &ticket, &reply).await?)
        } else if may_hide(&reply, &ticket) {
            self.login.introduce(wire, scope, &ticket, &reply.request).await?
        } else {
            None
        };
        if let Some(other) = other {
            ticket = other;
            reply = self.exchange(call, &ticket).await?;
        }
        if reply.status.is_success() {
            return Ok(reply);
        }
        let kind = refusal(&reply, ticket.with_credentials);
        Err(RegistryError::new(&self.wire.host, reply.request, kind))
    }

    async fn exchange(&self, call: &Call, ticket: &Ticket) -> Result<Reply, RegistryError> {
        if let Some(pace) = self.puts.as_ref().filter(|_| call.puts_manifest()) {
            pace.pass().await;
        }
        let url =
            self.url(&call.path).map_err(|error| RegistryError::new(&self.wire.host, call.path.as_str(), error))?;
        let request = Request {
            method: call.method.clone(),
            url,
            authorization: ticket.authorization.as_ref(),
            accept: call.accept.clone(),
            range: call.range.clone(),
            content: call.content.clone(),
            read: call.read,
            to: Recipient::Registry,
        };
        let reply = self.wire.exchange(request).await?;
        self.pass_on_warnings(&reply.headers);
        Ok(reply)
    }

    fn url(&self, path: &str) -> Result<reqwest::Url, TargetError> {
        self.wire.home.join(path).map_err(|_| TargetError::Malformed)
    }

    fn pass_on_warnings(&self, headers: &HeaderMap) {
        for text in headers.get_all(WARNING).iter().filter_map(warning) {
            let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
            if warned.len() < MAX_WARNINGS && warned.insert(text.clone()) {
                drop(warned);
                (self.on_notice)(Notice::Warning { host: self.wire.host.clone(), text });
            }
        }
    }
}

/// Whether the registry itself requests a login. A host that a redirect leads to must not request one.
pub(in crate::registry) fn wants_login(reply: &Reply, sent: &Ticket) -> bool {
    let is_spent = || sent.authorization.is_some() && is_of_expired_token(&String::from_utf8_lossy(&reply.body));
    reply.is_direct
        && match reply.status.as_u16() {
            401 => true,
            400 | 403 => is_spent(),
            _ => false,
        }
}

/// Whether the registry may hide content from clients without a login.
fn may_hide(reply: &Reply, sent: &Ticket) -> bool {
    reply.is_direct && sent.authorization.is_none() && matches!(reply.status.as_u16(), 403 | 404)
}

/// The text of `299 - "text"` (OCI distribution-spec, "Warnings": other codes and agents are ignored).
fn warning(value: &HeaderValue) -> Option<String> {
    let text = String::from_utf8_lossy(value.as_bytes());
    let quoted = text.strip_prefix("299 - \"")?.trim_end().strip_suffix('"')?;
    Some(printable(&quoted.replace("\\\"", "\"").replace("\\\\", "\\"), MAX_WARNING))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_specified_registry_warnings_are_read() {
        let read = |text: &'static str| warning(&HeaderValue::from_static(text));
        assert_eq!(read(r#"299 - "moved to \"b\"""#).as_deref(), Some(r#"moved to "b""#));
        assert_eq!(read(r#"199 - "x""#), None);
        assert_eq!(read(r#"299 agent "x""#), None);
        assert_eq!(read("299 - "), None);
    }
}
