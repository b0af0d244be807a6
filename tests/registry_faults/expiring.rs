//! Logins that expire: renewed before the registry refuses them, once after it did, and never in a loop.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::future::{BoxFuture, join_all};
use polyarch::auth::{AuthError, Credential, CredentialSource, Secret, Withheld};
use polyarch::oci::{RegistryHost, RepositoryPath};
use polyarch::registry::{RegistryError, Visibility};
use tokio::time::Instant;

use super::{Peer, index, quick, tag};
use crate::support::scripted_registry::{Reply, Request, ScriptedRegistry, status};

/// What ECR answers to a token that has expired.
const EXPIRED: &str =
    r#"{"errors":[{"code":"DENIED","message":"Your authorization token has expired. Reauthenticate and try again."}]}"#;

/// What a source was asked and told.
#[derive(Default)]
struct Told {
    asked: usize,
    refused: Vec<String>,
    spent_at: Option<Instant>,
    fails: bool,
}

/// Answers with another token each time: `token-1`, `token-2` and so on.
#[derive(Clone)]
struct Tokens {
    /// When a token is spent, made anew.
    spent: fn() -> Option<Instant>,
    told: Arc<Mutex<Told>>,
}

impl Tokens {
    fn new(spent: fn() -> Option<Instant>) -> Self {
        Self { spent, told: Arc::default() }
    }

    fn asked(&self) -> usize {
        self.told.lock().unwrap().asked
    }

    fn refused(&self) -> Vec<String> {
        self.told.lock().unwrap().refused.clone()
    }
}

impl CredentialSource for Tokens {
    fn credential<'a>(
        &'a self,
        _: &'a RegistryHost,
        _: Option<&'a RepositoryPath>,
    ) -> BoxFuture<'a, Result<Credential, AuthError>> {
        Box::pin(async move {
            // Others may come meanwhile.
            tokio::task::yield_now().await;
            let mut told = self.told.lock().unwrap();
            told.asked += 1;
            if told.fails {
                return Err(AuthError::HelperName("away".to_owned()));
            }
            told.spent_at = (self.spent)();
            let password = Secret::new(format!("token-{}", told.asked));
            Ok(Credential::Basic { username: "AWS".to_owned(), password })
        })
    }

    fn spent_at(&self, _: &RegistryHost) -> Option<Instant> {
        self.told.lock().unwrap().spent_at
    }

    fn refused(&self, _: &RegistryHost, credential: &Credential) {
        let Credential::Basic { password, .. } = credential else { panic!("it answered with a password") };
        self.told.lock().unwrap().refused.push(password.expose().to_owned());
    }
}

/// The token that a request came with.
fn token(request: &Request) -> Option<String> {
    let basic = request.header("authorization")?.strip_prefix("Basic ")?;
    let login = String::from_utf8(STANDARD.decode(basic).unwrap()).unwrap();
    login.strip_prefix("AWS:").map(str::to_owned)
}

/// A registry that takes the tokens from the `oldest`th on.
async fn taking(oldest: Arc<Mutex<usize>>) -> ScriptedRegistry {
    ScriptedRegistry::stateful(move |request| {
        let Some(token) = token(request) else { return Some(challenge()) };
        let number: usize = token["token-".len()..].parse().unwrap();
        Some(if number >= *oldest.lock().unwrap() { index() } else { status(403).body(EXPIRED) })
    })
    .await
}

fn challenge() -> Reply {
    status(401).header("WWW-Authenticate", r#"Basic realm="https://123456789012.dkr.ecr.us-east-1.amazonaws.com/""#)
}

async fn get(peer: &Peer, repository: &str) -> Result<(), RegistryError> {
    peer.client.get_manifest(&repository.parse().unwrap(), &tag(), Visibility::Settled).await.map(drop)
}

async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

#[tokio::test]
async fn expired_login_is_renewed_before_the_registry_refuses_it() {
    let registry = taking(Arc::new(Mutex::new(1))).await;
    let tokens = Tokens::new(|| Some(Instant::now() + Duration::from_hours(9)));
    let peer = Peer::new(&registry.host(), quick(), tokens.clone());
    for repository in ["a", "b"] {
        get(&peer, repository).await.unwrap();
    }
    pass(Duration::from_hours(8)).await;
    get(&peer, "a").await.unwrap();
    assert_eq!(tokens.asked(), 1);
    pass(Duration::from_hours(1)).await;
    let before = registry.requests().len();
    let all = join_all((0..12).map(|n| get(&peer, ["a", "b", "c"][n % 3]))).await;
    assert!(all.iter().all(Result::is_ok), "{all:?}");
    assert_eq!(tokens.asked(), 2);
    let sent: Vec<_> = registry.requests()[before..].iter().map(token).collect();
    assert_eq!(sent, vec![Some("token-2".to_owned()); 12]);
    assert_eq!(tokens.refused(), Vec::<String>::new());
}

#[tokio::test]
async fn refused_login_is_reported_to_its_source_and_renewed_once() {
    let oldest = Arc::new(Mutex::new(1));
    let registry = taking(oldest.clone()).await;
    let tokens = Tokens::new(|| None);
    let peer = Peer::new(&registry.host(), quick(), tokens.clone());
    for repository in ["a", "b"] {
        get(&peer, repository).await.unwrap();
    }
    *oldest.lock().unwrap() = 2;
    let before = registry.requests().len();
    let all = join_all((0..6).map(|n| get(&peer, ["a", "b"][n % 2]))).await;
    assert!(all.iter().all(Result::is_ok), "{all:?}");
    assert_eq!((tokens.asked(), tokens.refused()), (2, vec!["token-1".to_owned()]));
    // What was refused, and the same again.
    assert_eq!(registry.requests().len() - before, 12);
}

#[tokio::test]
async fn permanently_refused_login_is_renewed_once_per_request() {
    let registry = taking(Arc::new(Mutex::new(usize::MAX))).await;
    let tokens = Tokens::new(|| None);
    let peer = Peer::new(&registry.host(), quick(), tokens.clone());
    for (asked, requests) in [(1, 2), (2, 4), (3, 6)] {
        let error = get(&peer, "a").await.unwrap_err();
        assert!(error.is_denied() && error.to_string().contains("token has expired"), "{error}");
        assert_eq!((tokens.asked(), registry.requests().len()), (asked, requests));
    }
    assert_eq!(tokens.refused(), ["token-1", "token-2"]);
}

#[tokio::test]
async fn login_that_expired_in_the_past_causes_no_loop() {
    for spent in [
        || Some(Instant::now()),
        || Instant::now().checked_sub(Duration::from_hours(1)),
        || Some(Instant::now() + Duration::from_millis(1)),
    ] {
        let registry = taking(Arc::new(Mutex::new(1))).await;
        let tokens = Tokens::new(spent);
        let peer = Peer::new(&registry.host(), quick(), tokens.clone());
        for _ in 0..20 {
            get(&peer, "a").await.unwrap();
            get(&peer, "b").await.unwrap();
        }
        assert_eq!((tokens.asked(), registry.requests().len()), (1, 41));
        pass(Duration::from_mins(1)).await;
        get(&peer, "a").await.unwrap();
        get(&peer, "b").await.unwrap();
        assert_eq!(tokens.asked(), 2);
    }
}

#[tokio::test]
async fn expired_login_is_still_used_while_its_source_fails() {
    let registry = taking(Arc::new(Mutex::new(1))).await;
    let tokens = Tokens::new(|| Some(Instant::now() + Duration::from_hours(1)));
    let peer = Peer::new(&registry.host(), quick(), tokens.clone());
    get(&peer, "a").await.unwrap();
    tokens.told.lock().unwrap().fails = true;
    pass(Duration::from_hours(1)).await;
    for _ in 0..5 {
        get(&peer, "a").await.unwrap();
    }
    assert_eq!(tokens.asked(), 2);
    tokens.told.lock().unwrap().fails = false;
    pass(Duration::from_mins(1)).await;
    get(&peer, "a").await.unwrap();
    assert_eq!(tokens.asked(), 3);
    assert_eq!(registry.requests().iter().filter_map(token).next_back().as_deref(), Some("token-3"));
}

#[tokio::test]
async fn withheld_login_source_forwards_refusals_and_expiry() {
    let host: RegistryHost = "registry.example".parse().unwrap();
    let tokens = Tokens::new(|| Some(Instant::now()));
    let credential = tokens.credential(&host, None).await.unwrap();
    let withheld = Withheld { source: Arc::new(tokens.clone()), channel: "engine lab".to_owned() };
    assert_eq!(withheld.spent_at(&host), tokens.spent_at(&host));
    withheld.refused(&host, &credential);
    assert_eq!(tokens.refused(), ["token-1"]);
}

/// A registry with a token server that answers `{"token":"t1",` and `more`, then `t2` and so on; `refuse` is its answer to
/// what is no token any more.
async fn with_tokens(more: &'static str, refuse: impl Fn() -> Reply + Send + 'static) -> Registry {
    let spent = Arc::new(Mutex::new(0));
    let (mut given, oldest) = (0, spent.clone());
    let script = move |request: &Request| {
        if request.target.starts_with("/token") {
            given += 1;
            return Some(status(200).body(format!(r#"{{"token":"t{given}"{more}}}"#)));
        }
        let Some(token) = request.header("authorization") else {
            let realm = format!(r#"Bearer realm="http://{}/token""#, request.header("host")?);
            return Some(status(401).header("WWW-Authenticate", realm));
        };
        let number: usize = token.strip_prefix("Bearer t")?.parse().unwrap();
        Some(if number > *oldest.lock().unwrap() { index() } else { refuse() })
    };
    Registry { scripted: ScriptedRegistry::stateful(script).await, spent }
}

struct Registry {
    scripted: ScriptedRegistry,
    /// How many of its tokens are spent.
    spent: Arc<Mutex<usize>>,
}

impl Registry {
    /// `token`, or the method, of each request since `from`.
    fn asked(&self, from: usize) -> Vec<String> {
        let name = |request: &Request| {
            let is_token = request.target.starts_with("/token");
            if is_token { "token".to_owned() } else { request.method.clone() }
        };
        self.scripted.requests()[from..].iter().map(name).collect()
    }
}

#[tokio::test]
async fn token_is_renewed_before_it_expires() {
    for (more, before, end) in [
        (r#","expires_in":300"#, 260, 20),
        (r#","expires_in":3600,"issued_at":"2009-11-10T23:00:00Z""#, 40, 20),
        ("", 40, 20),
        (r#","expires_in":5"#, 40, 20),
    ] {
        let registry = with_tokens(more, || status(418)).await;
        let peer = Peer::new(&registry.scripted.host(), quick(), Tokens::new(|| None));
        get(&peer, "a").await.unwrap();
        pass(Duration::from_secs(before)).await;
        get(&peer, "a").await.unwrap();
        assert_eq!(registry.asked(0), ["GET", "token", "GET", "GET"], "{more}");
        // The registry would refuse the first one from now on.
        *registry.spent.lock().unwrap() = 1;
        pass(Duration::from_secs(end)).await;
        let all = join_all((0..5).map(|_| get(&peer, "a"))).await;
        assert!(all.iter().all(Result::is_ok), "{all:?}");
        assert_eq!(registry.asked(4), ["token", "GET", "GET", "GET", "GET", "GET"], "{more}");
    }
}

#[tokio::test]
async fn token_refused_as_expired_is_renewed_once() {
    let refusals: [fn() -> Reply; 4] = [
        || status(400).body(r#"{"errors":[{"code":"DENIED","message":"Your Authorization Token is invalid."}]}"#),
        || status(403).body("Your Authorization Token has expired. Please run 'aws ecr get-login' to fetch a new one."),
        || status(403).body("Token failed verification: expired"),
        // docker/hub-feedback#2530
        || status(401),
    ];
    for refuse in refusals {
        let registry = with_tokens(r#","expires_in":3600"#, refuse).await;
        let peer = Peer::new(&registry.scripted.host(), quick(), Tokens::new(|| None));
        get(&peer, "a").await.unwrap();
        *registry.spent.lock().unwrap() = 1;
        get(&peer, "a").await.unwrap();
        assert_eq!(registry.asked(3), ["GET", "token", "GET"]);
        // The answer to HEAD says nothing; that to GET says why.
        *registry.spent.lock().unwrap() = 2;
        let head = peer.client.head_manifest(&"a".parse().unwrap(), &tag()).await.unwrap();
        assert!(head.is_some());
        // One that stays refused is no loop.
        *registry.spent.lock().unwrap() = usize::MAX;
        let before = registry.scripted.requests().len();
        get(&peer, "a").await.unwrap_err();
        assert_eq!(registry.asked(before), ["GET", "token", "GET"]);
    }
}

/// A helper that asks a person.
struct Slow;

impl CredentialSource for Slow {
    fn credential<'a>(
        &'a self,
        _: &'a RegistryHost,
        _: Option<&'a RepositoryPath>,
    ) -> BoxFuture<'a, Result<Credential, AuthError>> {
        Box::pin(async {
            pass(Duration::from_secs(50)).await;
            Ok(Credential::Basic { username: "AWS".to_owned(), password: Secret::new("token-1") })
        })
    }
}

#[tokio::test]
async fn slow_credential_helper_does_not_count_as_registry_time() {
    let registry = taking(Arc::new(Mutex::new(1))).await;
    Peer::new(&registry.host(), quick(), Slow).client.ping().await.unwrap();
}
