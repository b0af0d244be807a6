//! Logins: polyarch obtains the login that a challenge requests once, and keeps it for each repository and access.

use std::collections::HashMap;
use std::sync::{Arc, Mutex as SyncMutex, PoisonError};

use reqwest::Method;
use reqwest::header::{HeaderValue, WWW_AUTHENTICATE};
use tokio::sync::{Mutex, OnceCell};
use tokio::time::{Duration, Instant};

use super::challenge::Challenge;
use super::header::{basic, header};
use super::scope::Scope;
use super::token;
use crate::auth::{Credential, CredentialSource};
use crate::oci::RepositoryPath;
use crate::registry::error::{Answer, ErrorKind, RegistryError};
use crate::registry::transport::wire::{Read, Recipient, Reply, Request, Wire};

/// The longest answer to `GET /v2/` that polyarch reads, in bytes.
const MAX_HOME: usize = 64 << 10;
/// The shortest time until polyarch asks again for an expired login. The source may fail, and its clock may be wrong.
const SPENT_AGAIN: Duration = Duration::from_mins(1);

/// The logins of one registry.
pub(in crate::registry) struct Login {
    source: Arc<dyn CredentialSource>,
    slots: SyncMutex<HashMap<Option<Scope>, Arc<Mutex<Slot>>>>,
    /// The source's last answers, by the part of the registry that they are valid for. A helper is a process, so
    /// polyarch does not run it for every repository.
    credentials: Mutex<HashMap<Option<RepositoryPath>, KnownCredential>>,
    /// The registry's last challenge. It sends the same one for other repositories.
    challenge: SyncMutex<Option<Challenge>>,
    /// The challenge at `/v2/`, or `None` if the registry allows anonymous access.
    home: OnceCell<Option<Challenge>>,
    asking: SyncMutex<SourceTime>,
}

/// A clock that runs while polyarch asks the source.
#[derive(Default)]
struct SourceTime {
    before: Duration,
    since: Option<Instant>,
}

impl SourceTime {
    fn so_far(&self) -> Duration {
        self.before + self.since.map(|since| since.elapsed()).unwrap_or_default()
    }
}

/// Stops the clock, even if the caller no longer waits for the answer.
struct SourceTimer<'a>(&'a SyncMutex<SourceTime>);

impl Drop for SourceTimer<'_> {
    fn drop(&mut self) {
        let mut asking = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *asking = SourceTime { before: asking.so_far(), since: None };
    }
}

/// The source's last answer.
#[derive(Clone)]
struct KnownCredential {
    credential: Credential,
    /// The number of the answer, counted from 1.
    answer: u64,
    spent_at: Option<Instant>,
}

/// The login of one scope. Its lock is held during a renewal, so that other callers wait and share the result. A
/// renewal that is dropped leaves the login unchanged.
#[derive(Default)]
struct Slot {
    /// The number of renewals.
    generation: u64,
    sent: Option<CurrentLogin>,
    challenge: Option<Challenge>,
}

/// The login for the next requests.
struct CurrentLogin {
    authorization: HeaderValue,
    with_credentials: bool,
    /// The number of the source's answer that it comes from.
    answer: u64,
    spent_at: Option<Instant>,
}

/// The login that one request sends.
pub(in crate::registry) struct Ticket {
    slot: Arc<Mutex<Slot>>,
    generation: u64,
    pub(in crate::registry) authorization: Option<HeaderValue>,
    /// Whether it contains credentials, or was obtained with credentials.
    pub(in crate::registry) with_credentials: bool,
}

impl Login {
    pub(in crate::registry) fn new(source: Arc<dyn CredentialSource>) -> Self {
        Self {
            source,
            slots: SyncMutex::default(),
            credentials: Mutex::default(),
            challenge: SyncMutex::default(),
            home: OnceCell::new(),
            asking: SyncMutex::default(),
        }
    }

    /// The time spent in the source so far. A helper may ask a person, and this time does not count as the registry's.
    pub(in crate::registry) fn asked(&self) -> Duration {
        self.asking.lock().unwrap_or_else(PoisonError::into_inner).so_far()
    }

    /// The login for `scope`, if one is known. Waits for a renewal that is in progress. If the registry has requested a
    /// login before, polyarch sends one at once instead of waiting for a refusal in every scope. polyarch renews an
    /// expiring login before the registry refuses it.
    pub(in crate::registry) async fn ticket(&self, wire: &Wire, scope: Option<&Scope>) -> Ticket {
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
            // An error here does not count yet. The registry still answers a request without a login, or with a login
            // that has not expired.
            match self.authorize(wire, scope, &challenge, wire.home.as_str(), None).await {
                Ok(Some(sent)) => locked.renew(sent, challenge),
                Ok(None) | Err(_) => locked.postpone(),
            }
        }
        locked.ticket(&slot)
    }

    /// Renews the login in `old`, which the registry refused with `reply`. All callers with the same login share one
    /// renewal.
    pub(in crate::registry) async fn renew(
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
        // A registry may refuse an expired token without a challenge (ECR's 403, docker/hub-feedback#2530). polyarch
        // then uses the previous challenge.
        let challenge = match Challenge::choose(headers).or_else(|| slot.challenge.clone()) {
            None if !reply.headers.contains_key(WWW_AUTHENTICATE) => self.home(wire).await,
            challenge => challenge,
        };
        let challenge = challenge.ok_or_else(|| fail(ErrorKind::Challenge))?;
        let refused = slot.sent.as_ref().map(|sent| sent.answer);
        let sent = self.authorize(wire, scope, &challenge, &reply.request, refused).await?;
        let sent = sent.ok_or_else(|| fail(ErrorKind::LoginRequired(Answer::read(&reply.body))))?;
        *self.challenge.lock().unwrap_or_else(PoisonError::into_inner) = Some(challenge.clone());
        slot.renew(sent, challenge);
        Ok(slot.ticket(&old.slot))
    }

    /// Obtains a login after the registry answered `old`, a request without a login, with 403 or 404. Such a registry
    /// may hide its content, and request a login only at `/v2/` (containerd/containerd#3291), where docker and crane
    /// begin. `None` means that the registry allows anonymous access, or that polyarch has no login.
    pub(in crate::registry) async fn introduce(
        &self,
        wire: &Wire,
        scope: Option<&Scope>,
        old: &Ticket,
        line: &str,
    ) -> Result<Option<Ticket>, RegistryError> {
        let mut slot = old.slot.lock().await;
        if slot.generation != old.generation {
            return Ok(Some(slot.ticket(&old.slot)));
        }
        let Some(challenge) = self.home(wire).await else { return Ok(None) };
        let Some(sent) = self.authorize(wire, scope, &challenge, line, None).await? else { return Ok(None) };
        *self.challenge.lock().unwrap_or_else(PoisonError::into_inner) = Some(challenge.clone());
        slot.renew(sent, challenge);
        Ok(Some(slot.ticket(&old.slot)))
    }

    /// The challenge at `/v2/`, if there may be a login for it. polyarch asks once.
    async fn home(&self, wire: &Wire) -> Option<Challenge> {
        if !self.source.may_know(&wire.host) {
            return None;
        }
        let ask = async {
            let request = Request {
                method: Method::GET,
                url: wire.home.clone(),
                authorization: None,
                accept: None,
                range: None,
                content: None,
                read: Read::Whole(MAX_HOME),
                to: Recipient::Registry,
            };
            let reply = wire.exchange(request).await?;
            let headers = reply.headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
            Ok::<_, RegistryError>(Challenge::choose(headers).filter(|_| reply.is_direct && reply.status == 401))
        };
        self.home.get_or_try_init(|| ask).await.ok().cloned().flatten()
    }

    /// The login for `challenge`. `None` means that the challenge needs a password and there is none. `refused` is the
    /// number of the source's answer that the registry refused.
    async fn authorize(
        &self,
        wire: &Wire,
        scope: Option<&Scope>,
        challenge: &Challenge,
        line: &str,
        refused: Option<u64>,
    ) -> Result<Option<CurrentLogin>, RegistryError> {
        let fail = |kind: ErrorKind| RegistryError::new(&wire.host, line, kind);
        let KnownCredential { credential, answer, mut spent_at } = self.credential(wire, scope, line, refused).await?;
        let authorization = match challenge {
            Challenge::Basic => match (&credential, basic(&credential)) {
                (_, Some(authorization)) => authorization,
                (Credential::Anonymous, None) => return Ok(None),
                (_, None) => return Err(fail(ErrorKind::LoginRefused(Answer::default()))),
            },
            Challenge::Bearer { .. } if let Credential::RegistryToken(token) = &credential => {
                header("Bearer ", token.expose()).ok_or_else(|| fail(ErrorKind::Token))?
            }
            Challenge::Bearer { realm, service } => {
                let realm = wire.realm(realm).map_err(|error| fail(error.into()))?;
                let token = token::exchange(wire, realm, service.as_deref(), scope, &credential).await?;
                spent_at = Some(spent_at.map_or(token.spent_at, |at| at.min(token.spent_at)));
                header("Bearer ", token.secret.expose()).ok_or_else(|| fail(ErrorKind::Token))?
            }
        };
        let with_credentials = !matches!(credential, Credential::Anonymous);
        Ok(Some(CurrentLogin { authorization, with_credentials, answer, spent_at }))
    }

    /// The source's last answer, or a new one if the last one is expiring or was refused.
    async fn credential(
        &self,
        wire: &Wire,
        scope: Option<&Scope>,
        line: &str,
        refused: Option<u64>,
    ) -> Result<KnownCredential, RegistryError> {
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
        let asked = {
            self.asking.lock().unwrap_or_else(PoisonError::into_inner).since = Some(Instant::now());
            let _asked = SourceTimer(&self.asking);
            self.source.credential(&wire.host, within.as_ref()).await
        };
        let kept = match (asked, known) {
            (Ok(credential), _) => {
                let spent_at = self.source.spent_at(&wire.host).map(|at| at.max(Instant::now() + SPENT_AGAIN));
                KnownCredential { credential, answer, spent_at }
            }
            // A login that is expiring is still valid.
            (Err(_), Some(known)) if !is_refused => {
                KnownCredential { spent_at: Some(Instant::now() + SPENT_AGAIN), ..known.clone() }
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
    fn renew(&mut self, sent: CurrentLogin, challenge: Challenge) {
        self.generation += 1;
        self.sent = Some(sent);
        self.challenge = Some(challenge);
    }

    /// Keeps the current login for a while.
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
