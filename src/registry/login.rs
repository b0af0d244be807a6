//! Logging in: what a challenge asks for is fetched once and kept, per repository and access.

use std::collections::HashMap;
use std::sync::{Arc, Mutex as SyncMutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use reqwest::header::{HeaderValue, WWW_AUTHENTICATE};
use reqwest::{Method, Url};
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::{Duration, Instant};

use super::answer::Answer;
use super::challenge::Challenge;
use super::error::{ErrorKind, RegistryError};
use super::http::refusal;
use super::target;
use super::wire::{Read, Reply, Request, To, Wire};
use crate::auth::{Credential, CredentialSource, Secret};
use crate::oci::RepositoryPath;

/// Longest answer of a token server, in bytes.
const MAX_TOKEN: usize = 64 << 10;
/// What we call ourselves at token servers.
const CLIENT_ID: &str = "polyarch";
/// How soon what is spent is asked for again, at the earliest: the source may fail, and its clock may be wrong.
const SPENT_AGAIN: Duration = Duration::from_mins(1);

/// What a token is for (distribution, "Token scope").
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Scope {
    pub(super) repository: RepositoryPath,
    pub(super) access: Access,
    /// Another repository, of which blobs are mounted into this one: they are pulled there.
    pub(super) from: Option<RepositoryPath>,
}

/// What may be done in the repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Access {
    Pull,
    Push,
    Delete,
}

impl Scope {
    /// To read in a repository.
    pub(super) fn pull(repository: &RepositoryPath) -> Self {
        Self { repository: repository.clone(), access: Access::Pull, from: None }
    }

    /// To write in it, too.
    pub(super) fn push(repository: &RepositoryPath) -> Self {
        Self { repository: repository.clone(), access: Access::Push, from: None }
    }

    /// To delete in it, too.
    pub(super) fn delete(repository: &RepositoryPath) -> Self {
        Self { access: Access::Delete, ..Self::push(repository) }
    }

    /// To write what is mounted from another one.
    pub(super) fn mount(repository: &RepositoryPath, from: &RepositoryPath) -> Self {
        Self { from: Some(from.clone()), ..Self::push(repository) }
    }

    /// As token servers take it, the access to write first: some read no more than that.
    fn words(&self) -> Vec<String> {
        let actions = match self.access {
            Access::Pull => "pull",
            Access::Push => "pull,push",
            Access::Delete => "pull,push,delete",
        };
        let own = format!("repository:{}:{actions}", self.repository);
        std::iter::once(own).chain(self.from.iter().map(|from| format!("repository:{from}:pull"))).collect()
    }
}

/// The logins of one registry.
pub(super) struct Login {
    source: Arc<dyn CredentialSource>,
    slots: SyncMutex<HashMap<Option<Scope>, Arc<Mutex<Slot>>>>,
    /// The source's last answers, by the part of the registry that they are for: a helper is a process, and is not run
    /// for every repository.
    credentials: Mutex<HashMap<Option<RepositoryPath>, Kept>>,
    /// What the registry asked for last: it asks the same for other repositories.
    challenge: SyncMutex<Option<Challenge>>,
}

/// What the source answered last.
#[derive(Clone)]
struct Kept {
    credential: Credential,
    /// Which of its answers it is, from 1.
    answer: u64,
    spent_at: Option<Instant>,
}

/// The login of one scope. Its lock is held while it is renewed: who comes meanwhile waits and shares it.
/// A renewal that is dropped leaves it as it was.
#[derive(Default)]
struct Slot {
    /// How often it was renewed.
    generation: u64,
    sent: Option<Sent>,
    challenge: Option<Challenge>,
}

/// What is sent from now on.
struct Sent {
    authorization: HeaderValue,
    with_credentials: bool,
    /// Of which of the source's answers it was made.
    answer: u64,
    spent_at: Option<Instant>,
}

/// What one request sends.
pub(super) struct Ticket {
    slot: Arc<Mutex<Slot>>,
    generation: u64,
    pub(super) authorization: Option<HeaderValue>,
    /// Whether credentials of ours are in it or behind it.
    pub(super) with_credentials: bool,
}

#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
}

impl Login {
    pub(super) fn new(source: Arc<dyn CredentialSource>) -> Self {
        Self { source, slots: SyncMutex::default(), credentials: Mutex::default(), challenge: SyncMutex::default() }
    }

    /// What to send for `scope`, as far as it is known; waits for a renewal that is under way. A registry that asked for
    /// a login before is told it at once, not after it has refused every repository and access in turn; what is spent is
    /// renewed before the registry refuses it.
    pub(super) async fn ticket(&self, wire: &Wire, scope: Option<&Scope>) -> Ticket {
        let slot = {
            let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(slots.entry(scope.cloned()).or_default())
        };
        let mut locked = slot.lock().await;
        let known = match &locked.sent {
            None => self.challenge.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            Some(sent) => locked.challenge.clone().filter(|_| is_past(sent.spent_at)),
        };
        if let Some(challenge) = known {
            // An error here is none yet: the registry will say what it thinks of a request without a login, and of one
            // with a login that has not expired.
            match self.authorize(wire, scope, &challenge, wire.home.as_str(), None).await {
                Ok(Some(sent)) => locked.renew(sent, challenge),
                Ok(None) | Err(_) => locked.postpone(),
            }
        }
        locked.ticket(&slot)
    }

    /// Renews what `old` sent, because the registry refused it with `reply`; once for all who sent the same.
    pub(super) async fn renew(
        &self,
        wire: &Wire,
        scope: Option<&Scope>,
        old: &Ticket,
        reply: &Reply,
    ) -> Result<Ticket, RegistryError> {
        let mut slot = old.slot.lock().await;
        if slot.generation != old.generation {
            return Ok(slot.ticket(&old.slot));
        }
        let fail = |kind| RegistryError::new(&wire.host, reply.request.as_str(), kind);
        let headers = reply.headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        // An expired ECR token is a 403 without a challenge: the one before holds.
        let challenge = Challenge::choose(headers).or_else(|| slot.challenge.clone());
        let challenge = challenge.ok_or_else(|| fail(ErrorKind::Challenge))?;
        let refused = slot.sent.as_ref().map(|sent| sent.answer);
        let sent = self.authorize(wire, scope, &challenge, &reply.request, refused).await?;
        let sent = sent.ok_or_else(|| fail(ErrorKind::LoginRequired(Answer::read(&reply.body))))?;
        *self.challenge.lock().unwrap_or_else(PoisonError::into_inner) = Some(challenge.clone());
        slot.renew(sent, challenge);
        Ok(slot.ticket(&old.slot))
    }

    /// What meets `challenge`; `None` where it wants a password and there is none. What was made of the source's answer
    /// `refused` was refused.
    async fn authorize(
        &self,
        wire: &Wire,
        scope: Option<&Scope>,
        challenge: &Challenge,
        line: &str,
        refused: Option<u64>,
    ) -> Result<Option<Sent>, RegistryError> {
        let fail = |kind: ErrorKind| RegistryError::new(&wire.host, line, kind);
        let Kept { credential, answer, spent_at } = self.credential(wire, scope, line, refused).await?;
        let authorization = match challenge {
            Challenge::Basic => match (&credential, basic(&credential)) {
                (_, Some(authorization)) => authorization,
                (Credential::Anonymous, None) => return Ok(None),
                (_, None) => return Err(fail(ErrorKind::LoginRefused(Answer::default()))),
            },
            Challenge::Bearer { realm, service } => {
                let realm = target::realm(&wire.home, realm).map_err(|error| fail(error.into()))?;
                let token = exchange(wire, realm, service.as_deref(), scope, &credential).await?;
                header("Bearer ", token.expose()).ok_or_else(|| fail(ErrorKind::Token))?
            }
        };
        let with_credentials = !matches!(credential, Credential::Anonymous);
        Ok(Some(Sent { authorization, with_credentials, answer, spent_at }))
    }

    /// The source's last answer, or a new one where that is spent, or is the one that was refused.
    async fn credential(
        &self,
        wire: &Wire,
        scope: Option<&Scope>,
        line: &str,
        refused: Option<u64>,
    ) -> Result<Kept, RegistryError> {
        let within = scope.and_then(|scope| self.source.namespace(&wire.host, &scope.repository));
        let mut answers = self.credentials.lock().await;
        let known = answers.get(&within);
        let is_refused = known.is_some_and(|known| refused == Some(known.answer));
        match known {
            Some(known) if is_refused => self.source.refused(&wire.host, &known.credential),
            Some(known) if !is_past(known.spent_at) => return Ok(known.clone()),
            _ => {}
        }
        let answer = known.map_or(1, |known| known.answer + 1);
        let kept = match (self.source.credential(&wire.host, within.as_ref()).await, known) {
            (Ok(credential), _) => {
                let spent_at = self.source.spent_at(&wire.host).map(|at| at.max(Instant::now() + SPENT_AGAIN));
                Kept { credential, answer, spent_at }
            }
            // What is spent has not expired yet.
            (Err(_), Some(known)) if !is_refused => {
                Kept { spent_at: Some(Instant::now() + SPENT_AGAIN), ..known.clone() }
            }
            (Err(error), _) => return Err(RegistryError::new(&wire.host, line, ErrorKind::Credential(error))),
        };
        answers.insert(within, kept.clone());
        Ok(kept)
    }
}

fn is_past(at: Option<Instant>) -> bool {
    at.is_some_and(|at| at <= Instant::now())
}

impl Slot {
    fn renew(&mut self, sent: Sent, challenge: Challenge) {
        self.generation += 1;
        self.sent = Some(sent);
        self.challenge = Some(challenge);
    }

    /// What is sent stays for a while.
    fn postpone(&mut self) {
        if let Some(sent) = &mut self.sent {
            sent.spent_at = Some(Instant::now() + SPENT_AGAIN);
        }
    }

    fn ticket(&self, slot: &Arc<Mutex<Self>>) -> Ticket {
        Ticket {
            slot: Arc::clone(slot),
            generation: self.generation,
            authorization: self.sent.as_ref().map(|sent| sent.authorization.clone()),
            with_credentials: self.sent.as_ref().is_some_and(|sent| sent.with_credentials),
        }
    }
}

/// Gets a token (distribution, "Token authentication"; with an identity token, "`OAuth2` token authentication").
async fn exchange(
    wire: &Wire,
    realm: Url,
    service: Option<&str>,
    scope: Option<&Scope>,
    credential: &Credential,
) -> Result<Secret, RegistryError> {
    let mut params: Vec<(&str, &str)> = service.map(|service| ("service", service)).into_iter().collect();
    let scopes = scope.map(Scope::words).unwrap_or_default();
    // Parameters in a query, one parameter in a form.
    let together = scopes.join(" ");
    let is_form = matches!(credential, Credential::IdentityToken(_));
    if is_form && scope.is_some() {
        params.push(("scope", &together));
    } else {
        params.extend(scopes.iter().map(|scope| ("scope", scope.as_str())));
    }
    let basic = basic(credential);
    let mut url = realm;
    let mut method = Method::GET;
    let mut content = None;
    if let Credential::IdentityToken(token) = credential {
        params.extend([("grant_type", "refresh_token"), ("client_id", CLIENT_ID), ("refresh_token", token.expose())]);
        method = Method::POST;
        content = Some((HeaderValue::from_static("application/x-www-form-urlencoded"), form(&url, &params)));
    } else {
        url.query_pairs_mut().extend_pairs(&params);
    }
    let request = Request {
        method,
        url,
        authorization: basic.as_ref(),
        accept: None,
        range: None,
        content,
        read: Read::Whole(MAX_TOKEN),
        to: To::TokenServer,
    };
    let reply = wire.exchange(request).await?;
    let fail = |kind| RegistryError::new(&wire.host, reply.request.as_str(), kind);
    match reply.status.as_u16() {
        200 => {}
        // 400 is OAuth2's `invalid_grant`: an identity token that has been withdrawn.
        400 | 401 | 403 => return Err(fail(refused(credential, Answer::read(&reply.body)))),
        _ => return Err(fail(refusal(&reply, false))),
    }
    let answer: TokenAnswer = serde_json::from_slice(&reply.body).map_err(|_| fail(ErrorKind::Token))?;
    let token = answer.token.filter(|token| !token.is_empty()).or(answer.access_token);
    token.filter(|token| !token.is_empty()).map(Secret::new).ok_or_else(|| fail(ErrorKind::Token))
}

fn refused(credential: &Credential, answer: Answer) -> ErrorKind {
    match credential {
        Credential::Anonymous => ErrorKind::LoginRequired(answer),
        _ => ErrorKind::LoginRefused(answer),
    }
}

/// `application/x-www-form-urlencoded`, which is what a URL's query is.
fn form(base: &Url, params: &[(&str, &str)]) -> Bytes {
    let mut url = base.clone();
    url.query_pairs_mut().clear().extend_pairs(params);
    Bytes::from(url.query().unwrap_or_default().to_owned())
}

fn basic(credential: &Credential) -> Option<HeaderValue> {
    let Credential::Basic { username, password } = credential else { return None };
    header("Basic ", &STANDARD.encode(format!("{username}:{}", password.expose())))
}

/// A header that no Debug shows; `None` where the token has bytes that no header may have.
fn header(scheme: &str, token: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(&format!("{scheme}{token}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}
