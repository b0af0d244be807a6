//! The registry client against registries that fail, lie, and ask for logins. `docs/contributing/fault-matrix.md` and
//! `advisories.md` list the faults.

mod certificates;
mod credentials;
mod expiring;
mod hostile;
mod limits;
mod odd;
pub(crate) mod proxies;
mod readings;
mod requests;
mod token_servers;

use std::collections::HashSet;
use std::future::ready;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use polyarch::auth::{Anonymous, AuthError, Credential, CredentialSource, DockerConfig, Secret};
use polyarch::oci::{Descriptor, Digest, MediaType, RawManifest, RegistryHost, RepositoryPath, Selector};
use polyarch::registry::{
    Backoff, Certificates, Client, ClientConfig, ErrorKind, Link, Notice, Proxies, RegistryError, TargetError,
    Timeouts, Transport, Visibility, Waiting,
};
use tokio::time::Instant;

use crate::support::scripted_registry::{Body, Reply, Request, ScriptedRegistry, status};

const INDEX: &str = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
const TYPE: &str = "application/vnd.oci.image.index.v1+json";
const GET: &str = "GET /v2/org/hello/manifests/1.0";
const HEAD: &str = "HEAD /v2/org/hello/manifests/1.0";
const PUT: &str = "PUT /v2/org/hello/manifests/1.0";
/// What must be seen nowhere but at the registry that it is for.
const CANARY: &str = "canary-3f9c";

fn repository() -> RepositoryPath {
    "org/hello".parse().unwrap()
}

fn tag() -> Selector {
    Selector::Tag("1.0".parse().unwrap())
}

fn index() -> Reply {
    status(200).header("Content-Type", TYPE).body(INDEX)
}

fn manifest() -> RawManifest {
    RawManifest::new(INDEX.as_bytes(), None).unwrap()
}

/// Retries without noticeable waits: their length is tested on a paused clock, beside the loop.
fn quick() -> Backoff {
    Backoff { base: Duration::from_millis(1), ..Backoff::STANDARD }
}

/// Knows one login and remembers for whom it was asked.
#[derive(Clone)]
struct Login {
    credential: Credential,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Login {
    fn new(credential: Credential) -> Self {
        Self { credential, asked: Arc::default() }
    }

    fn basic() -> Self {
        Self::new(Credential::Basic { username: "user".to_owned(), password: Secret::new(CANARY) })
    }
}

impl CredentialSource for Login {
    fn credential<'a>(
        &'a self,
        host: &'a RegistryHost,
        _: Option<&'a RepositoryPath>,
    ) -> futures::future::BoxFuture<'a, Result<Credential, AuthError>> {
        self.asked.lock().unwrap().push(host.to_string());
        Box::pin(ready(Ok(self.credential.clone())))
    }
}

struct Peer {
    client: Client,
    notices: Arc<Mutex<Vec<Notice>>>,
}

impl Peer {
    fn new(host: &str, backoff: Backoff, credentials: impl CredentialSource + 'static) -> Self {
        Self::with(host, backoff, credentials, Transport::Http, |_| {})
    }

    fn with(
        host: &str,
        backoff: Backoff,
        credentials: impl CredentialSource + 'static,
        link: impl Into<Link>,
        on_retry: impl Fn(Duration) + Send + Sync + 'static,
    ) -> Self {
        let notices = Arc::<Mutex<Vec<Notice>>>::default();
        let kept = Arc::clone(&notices);
        let on_notice = Arc::new(move |notice: Notice| {
            if let Notice::Retry(retry) = &notice {
                on_retry(retry.wait);
            }
            kept.lock().unwrap().push(notice);
        });
        let config = ClientConfig {
            user_agent: "polyarch/test".to_owned(),
            backoff,
            timeouts: Timeouts::STANDARD,
            proxies: Proxies::default(),
            on_notice,
        };
        let client = Client::new(config, host.parse().unwrap(), link, Arc::new(credentials)).unwrap();
        Self { client, notices }
    }

    fn anonymous(registry: &ScriptedRegistry) -> Self {
        Self::new(&registry.host(), quick(), Anonymous)
    }

    async fn get(&self) -> Result<RawManifest, RegistryError> {
        self.client.get_manifest(&repository(), &tag(), Visibility::Settled).await
    }

    async fn put(&self) -> Result<(), RegistryError> {
        self.client.put_manifest(&repository(), &tag(), &manifest()).await
    }
}

/// Stops the clock and moves it over a wait that is about to begin.
fn fast_forward(wait: Duration) {
    tokio::time::pause();
    tokio::spawn(async move {
        tokio::time::advance(wait).await;
        tokio::time::resume();
    });
}

fn unavailable(line: &'static str, times: usize, code: u16) -> Vec<(&'static str, Reply)> {
    vec![(line, status(code)); times]
}

#[tokio::test]
async fn registry_client_waits_as_long_as_retry_after() {
    let date = time::OffsetDateTime::now_utc() + time::Duration::seconds(30);
    let date = date.format(&time::format_description::well_known::Rfc2822).unwrap().replace("+0000", "GMT");
    for (header, seconds) in [("2".to_owned(), 2), (date, 28)] {
        let registry =
            ScriptedRegistry::ordered([(GET, status(429).header("Retry-After", header)), (GET, index())]).await;
        let peer = Peer::with(&registry.host(), quick(), Anonymous, Transport::Http, fast_forward);
        let start = Instant::now();
        peer.get().await.unwrap();
        assert!(start.elapsed() >= Duration::from_secs(seconds), "{:?}", start.elapsed());
    }
}

#[tokio::test]
async fn retry_after_of_a_day_is_not_waited_for() {
    let body = r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"pull rate limit"}]}"#;
    let registry = ScriptedRegistry::ordered([(GET, status(429).header("Retry-After", "86400").body(body))]).await;
    let error = Peer::anonymous(&registry).get().await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::RetryLater { after, .. } if after.as_secs() == 86400), "{error}");
    assert!(error.to_string().contains(": pull rate limit"), "{error}");
}

#[tokio::test]
async fn invalid_retry_after_values_are_ignored() {
    for value in ["-1", "abc", "", "Sun, 06 Nov 1994 08:49:37 GMT"] {
        let registry =
            ScriptedRegistry::ordered([(GET, status(429).header("Retry-After", value)), (GET, index())]).await;
        Peer::anonymous(&registry).get().await.unwrap();
    }
}

#[tokio::test]
async fn server_errors_are_tried_five_times() {
    for code in [500, 502, 503, 504, 522] {
        let registry = ScriptedRegistry::ordered([(GET, status(code)), (GET, index())]).await;
        let peer = Peer::anonymous(&registry);
        peer.get().await.unwrap();
        assert_eq!(peer.notices.lock().unwrap().len(), 1);
        let registry = ScriptedRegistry::ordered(unavailable(GET, 5, code)).await;
        let error = Peer::anonymous(&registry).get().await.unwrap_err();
        assert!(error.is_transient() && error.answer().unwrap().0 == code, "{error}");
    }
}

#[tokio::test]
async fn refusals_are_not_retried() {
    for code in [400, 403, 404, 405, 409, 413, 416, 501] {
        let registry = ScriptedRegistry::ordered([(GET, status(code))]).await;
        let error = Peer::anonymous(&registry).get().await.unwrap_err();
        assert_eq!(error.answer().unwrap().0, code, "{error}");
        assert_eq!((error.is_not_found(), error.is_denied()), (code == 404, code == 403));
    }
}

#[tokio::test]
async fn head_manifest_returns_none_on_404() {
    let there = status(200)
        .header("Content-Type", TYPE)
        .header("Content-Length", "84")
        .header("Docker-Content-Digest", manifest().digest().to_string());
    let registry = ScriptedRegistry::ordered([(HEAD, there), (HEAD, status(404))]).await;
    let client = Peer::anonymous(&registry).client;
    let head = client.head_manifest(&repository(), &tag()).await.unwrap().unwrap();
    assert_eq!(
        (head.digest, head.media_type, head.size),
        (Some(manifest().digest().clone()), MediaType::OciIndex, Some(84))
    );
    assert_eq!(client.head_manifest(&repository(), &tag()).await.unwrap(), None);
}

#[tokio::test]
async fn broken_connections_are_retried() {
    let registry = ScriptedRegistry::ordered([(GET, Reply::Reset), (GET, Reply::CutHead), (GET, index())]).await;
    assert_eq!(Peer::anonymous(&registry).get().await.unwrap(), manifest());
}

#[tokio::test]
async fn refused_connection_is_retried_and_explained() {
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let peer = Peer::new(&closed.to_string(), quick(), Anonymous);
    let error = peer.get().await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Connect(_)) && error.is_unreachable(), "{error}");
    assert_eq!(error.to_string(), format!("registry {closed} cannot be reached"));
    assert_eq!(error.request(), GET.replace(" /", &format!(" http://{closed}/")));
    assert_eq!(error.hint().unwrap(), format!("check that {closed} is up and can be reached from here"));
    assert_eq!(peer.notices.lock().unwrap().len(), 4);
}

#[tokio::test]
async fn tls_alert_is_retried() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let server = async {
        for _ in 0..5 {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 4096]).await.unwrap();
            // Alert, TLS 1.2, two bytes: fatal, internal_error.
            stream.write_all(&[0x15, 3, 3, 0, 2, 2, 80]).await.unwrap();
        }
    };
    let peer = Peer::with(&host, quick(), Anonymous, Transport::Https, |_| {});
    let ((), result) = tokio::join!(server, peer.get());
    assert!(result.unwrap_err().is_transient());
}

#[tokio::test]
async fn manifest_push_with_a_lost_answer_is_repeated() {
    let stored = status(201).header("Docker-Content-Digest", manifest().digest().to_string());
    let registry = ScriptedRegistry::ordered([(PUT, Reply::Reset), (PUT, stored)]).await;
    Peer::anonymous(&registry).put().await.unwrap();
    for request in registry.requests() {
        assert_eq!(request.body, INDEX.as_bytes());
        assert_eq!(request.header("content-type"), Some(TYPE));
    }
}

/// One attempt only: how often is another test's business.
fn once() -> Backoff {
    Backoff { attempts: 1, ..Backoff::STANDARD }
}

#[tokio::test]
async fn silent_registry_times_out_after_30_seconds() {
    let registry = ScriptedRegistry::ordered([(GET, Reply::Silence)]).await;
    let peer = Peer::new(&registry.host(), once(), Anonymous);
    let wait = async {
        registry.arrived(1).await;
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(30)).await;
    };
    let start = Instant::now();
    let (result, ()) = tokio::join!(peer.get(), wait);
    assert_eq!(start.elapsed().as_secs(), 30);
    let error = result.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Timeout { waiting: Waiting::Headers, .. }), "{error}");
}

#[tokio::test]
async fn dripping_body_times_out() {
    // Never idle for 30 s, and 1 byte each 20 s.
    let drip = index().send(Body::Drip(Duration::from_secs(20)));
    let registry = ScriptedRegistry::ordered([(GET, drip)]).await;
    let peer = Peer::new(&registry.host(), once(), Anonymous);
    let start = Instant::now();
    let error = peer.get().await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Timeout { waiting: Waiting::Body, .. }), "{error}");
    assert!(start.elapsed() <= Duration::from_secs(100), "{:?}", start.elapsed());
}

#[tokio::test]
async fn truncated_body_is_detected_and_requested_again() {
    let cut = index().header("Content-Length", "5000");
    let registry = ScriptedRegistry::ordered([(GET, cut), (GET, index())]).await;
    assert_eq!(Peer::anonymous(&registry).get().await.unwrap(), manifest());
}

#[tokio::test]
async fn compressed_answers_are_refused() {
    let registry = ScriptedRegistry::ordered([(GET, index().header("Content-Encoding", "gzip"))]).await;
    let error = Peer::anonymous(&registry).get().await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Encoding(_)) && error.is_refusal(), "{error}");
    assert_eq!(registry.requests()[0].header("accept-encoding"), Some("identity"));
}

#[tokio::test]
async fn bytes_that_do_not_match_the_digest_are_refused() {
    let wanted = Digest::of(b"something else");
    let claimed = index().header("Docker-Content-Digest", wanted.to_string());
    let registry = ScriptedRegistry::stateful(move |_| Some(claimed.clone())).await;
    let peer = Peer::anonymous(&registry);
    let selector = Selector::Digest(wanted.clone());
    let error = peer.client.get_manifest(&repository(), &selector, Visibility::Settled).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::DigestMismatch { .. }) && error.is_refusal(), "{error}");
    let config = Descriptor { media_type: MediaType::parse("x/y"), digest: wanted, ..descriptor(INDEX) };
    let error = peer.client.get_config(&repository(), &config).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::DigestMismatch { .. }), "{error}");
    assert_eq!(registry.requests().len(), 2);
}

#[tokio::test]
async fn false_digest_header_warns_on_get_and_fails_on_put() {
    let lie = Digest::of(b"lie").to_string();
    let got = index().header("Docker-Content-Digest", &lie);
    let stored = status(201).header("Docker-Content-Digest", &lie);
    let registry = ScriptedRegistry::ordered([(GET, got), (PUT, stored), (GET, index()), (PUT, status(201))]).await;
    let peer = Peer::anonymous(&registry);
    assert_eq!(peer.get().await.unwrap(), manifest());
    let told = peer.notices.lock().unwrap().clone();
    assert!(matches!(&told[..], [Notice::WrongDigestHeader { claimed, .. }] if *claimed == lie), "{told:?}");
    assert!(peer.put().await.unwrap_err().is_refusal());
    // Without the header, the bytes speak for themselves.
    peer.get().await.unwrap();
    peer.put().await.unwrap();
}

#[tokio::test]
async fn endless_manifest_or_error_body_is_cut_off() {
    let declared = status(200).header("Content-Length", (5_u64 << 30).to_string());
    let registry = ScriptedRegistry::ordered([
        (GET, index().send(Body::Endless)),
        (GET, declared),
        (GET, status(400).send(Body::Endless)),
    ])
    .await;
    let peer = Peer::anonymous(&registry);
    for _ in 0..2 {
        let error = peer.get().await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::TooLarge { limit } if *limit == 4 << 20), "{error}");
    }
    assert_eq!(peer.get().await.unwrap_err().answer().unwrap().0, 400);
}

#[tokio::test]
async fn endless_token_answer_is_cut_off() {
    let registry = token_registry(|_| status(200).send(Body::Endless)).await;
    let error = Peer::anonymous(&registry).get().await.unwrap_err();
    let ErrorKind::TokenServer { kind, .. } = error.kind() else { panic!("{error}") };
    assert!(matches!(**kind, ErrorKind::TooLarge { limit } if limit == 64 << 10), "{error}");
}

/// A registry that wants the token `t0`, `t1`, … that its own token server, `token`, gave last.
async fn token_registry(token: impl FnMut(&Request) -> Reply + Send + 'static) -> ScriptedRegistry {
    counting_registry(token, usize::MAX).await
}

/// As [`token_registry`]; each token is good for `uses` requests.
async fn counting_registry(mut token: impl FnMut(&Request) -> Reply + Send + 'static, uses: usize) -> ScriptedRegistry {
    let (mut given, mut spent) = (0, 0);
    ScriptedRegistry::stateful(move |request| {
        if request.target.starts_with("/token") {
            (given, spent) = (given + 1, 0);
            return Some(token(request));
        }
        let host = request.header("host")?;
        let valid = request.header("authorization") == Some(format!("Bearer t{given}").as_str());
        if valid && spent < uses {
            spent += 1;
            return Some(if request.method == "PUT" { status(201) } else { index() });
        }
        let challenge =
            format!(r#"Bearer realm="http://{host}/token?a=b",service="reg",scope="repository:org/hello:pull""#);
        Some(status(401).header("WWW-Authenticate", challenge))
    })
    .await
}

/// Gives `t1`, `t2`, …
fn tokens() -> impl FnMut(&Request) -> Reply + Send + 'static {
    let mut given = 0;
    move |_| {
        given += 1;
        status(200).body(format!(r#"{{"token":"t{given}","expires_in":300}}"#))
    }
}

#[tokio::test]
async fn token_is_fetched_once_and_reused() {
    let registry = token_registry(tokens()).await;
    let login = Login::basic();
    let peer = Peer::new(&registry.host(), quick(), login.clone());
    peer.get().await.unwrap();
    peer.get().await.unwrap();
    peer.put().await.unwrap();
    let lines: Vec<_> = registry.requests().iter().map(Request::line).collect();
    let pull = "GET /token?a=b&service=reg&scope=repository%3Aorg%2Fhello%3Apull";
    let push = format!("{pull}%2Cpush");
    // It asked once for a login: what else is done comes with one.
    assert_eq!(lines, [GET, pull, GET, GET, push.as_str(), PUT]);
    // base64("user:canary-3f9c"), and to the token server only.
    let basic = "Basic dXNlcjpjYW5hcnktM2Y5Yw==";
    for request in registry.requests() {
        assert_eq!(request.header("authorization") == Some(basic), request.target.starts_with("/token"));
    }
    assert_eq!(*login.asked.lock().unwrap(), [registry.host()]);
}

#[tokio::test]
async fn expired_token_is_renewed_once_for_each_401() {
    let registry = counting_registry(tokens(), 1).await;
    let peer = Peer::anonymous(&registry);
    for _ in 0..3 {
        peer.get().await.unwrap();
    }
    assert_eq!((registry.count("GET /token"), registry.count(GET)), (3, 6));
}

#[tokio::test]
async fn permanent_401_ends_after_one_renewal() {
    let registry = token_registry(|_| status(200).body(r#"{"access_token":"wrong"}"#)).await;
    let error = Peer::new(&registry.host(), quick(), Login::basic()).get().await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::LoginRefused(_)) && error.is_denied(), "{error}");
    assert_eq!((registry.count("GET /token"), registry.count(GET)), (1, 2));
}

#[tokio::test]
async fn concurrent_tasks_share_one_token_request() {
    let registry = token_registry(tokens()).await;
    let peer = Peer::anonymous(&registry);
    let results = futures::future::join_all((0..16).map(|_| peer.get())).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    assert_eq!(registry.count("GET /token"), 1);
}

#[tokio::test]
async fn dropped_token_renewal_leaves_the_login_usable() {
    let mut first = true;
    let mut next = tokens();
    let registry = token_registry(move |request| {
        // The first answer never comes; its token counts as given.
        let reply = next(request);
        if std::mem::take(&mut first) { Reply::Silence } else { reply }
    })
    .await;
    let peer = Peer::anonymous(&registry);
    tokio::select! {
        result = peer.get() => panic!("{result:?}"),
        () = registry.arrived(2) => {}
    }
    peer.get().await.unwrap();
    assert_eq!(registry.count("GET /token"), 2);
}

#[tokio::test]
async fn busy_token_server_is_asked_again() {
    let mut busy = true;
    let registry =
        token_registry(
            move |_| {
                if std::mem::take(&mut busy) { status(503) } else { status(200).body(r#"{"token":"t2"}"#) }
            },
        )
        .await;
    Peer::anonymous(&registry).get().await.unwrap();
    assert_eq!((registry.count("GET /token"), registry.count(GET)), (2, 3));
}

#[tokio::test]
async fn identity_token_is_exchanged_by_post() {
    let registry = token_registry(tokens()).await;
    let login = Login::new(Credential::IdentityToken(Secret::new("a b&c")));
    Peer::new(&registry.host(), quick(), login).get().await.unwrap();
    let request = registry.requests().into_iter().find(|request| request.method == "POST").unwrap();
    let form = "service=reg&scope=repository%3Aorg%2Fhello%3Apull&grant_type=refresh_token&client_id=polyarch&refresh_token=a+b%26c";
    assert_eq!(String::from_utf8(request.body.clone()).unwrap(), form);
    assert_eq!(request.target, "/token?a=b");
}

/// A registry that wants the password.
async fn basic_registry() -> ScriptedRegistry {
    ScriptedRegistry::stateful(|request| {
        let known = request.header("authorization") == Some("Basic dXNlcjpjYW5hcnktM2Y5Yw==");
        Some(if known { index() } else { status(401).header("WWW-Authenticate", r#"Basic realm="r""#) })
    })
    .await
}

#[tokio::test]
async fn basic_login_is_sent_only_after_the_registry_asks() {
    let registry = basic_registry().await;
    let peer = Peer::new(&registry.host(), quick(), Login::basic());
    peer.get().await.unwrap();
    peer.get().await.unwrap();
    assert_eq!(registry.requests().len(), 3);
    assert_eq!(registry.requests()[0].header("authorization"), None);
}

#[tokio::test]
async fn missing_login_error_hints_docker_login() {
    let registry = basic_registry().await;
    let error = Peer::anonymous(&registry).get().await.unwrap_err();
    let host = registry.host();
    assert!(error.to_string().starts_with(&format!("registry {host} asks for a login")), "{error}");
    assert_eq!(error.hint().unwrap(), format!("log in with `docker login {host}`"));
    assert_eq!(registry.requests().len(), 1);
}

#[tokio::test]
async fn expired_ecr_login_is_renewed_once() {
    let mut requests = 0;
    let registry = ScriptedRegistry::stateful(move |_| {
        requests += 1;
        let expired = r#"{"errors":[{"code":"DENIED","message":"Your authorization token has expired. Reauthenticate and try again."}]}"#;
        Some(match requests {
            1 => status(401).header("WWW-Authenticate", r#"Basic realm="https://ecr/",service="ecr.amazonaws.com""#),
            3 => status(403).body(expired),
            _ => index(),
        })
    })
    .await;
    let login = Login::basic();
    let peer = Peer::new(&registry.host(), quick(), login.clone());
    peer.get().await.unwrap();
    peer.get().await.unwrap();
    assert_eq!((registry.requests().len(), login.asked.lock().unwrap().len()), (4, 2));
}

#[tokio::test]
async fn hostile_token_server_receives_no_request() {
    let evil = ScriptedRegistry::stateful(|_| None).await;
    let realms = [
        format!("http://{}/token", evil.host()),
        format!("http://localhost:{}/token", evil.address.port()),
        format!("http://0.0.0.0:{}/token", evil.address.port()),
        format!("http://2130706433:{}/token", evil.address.port()),
        format!("http://user@{}/token", evil.host()),
    ];
    for realm in realms {
        let challenge = format!("Bearer realm=\"{realm}\"");
        let registry = ScriptedRegistry::ordered([(GET, status(401).header("WWW-Authenticate", challenge))]).await;
        let error = Peer::new(&registry.host(), quick(), Login::basic()).get().await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Target(_)) && error.is_refusal(), "{realm}: {error}");
    }
    assert!(evil.requests().is_empty());
}

fn descriptor(content: &str) -> Descriptor {
    let digest = Digest::of(content.as_bytes());
    let json = format!(
        r#"{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{digest}","size":{}}}"#,
        content.len()
    );
    serde_json::from_str(&json).unwrap()
}

#[tokio::test]
async fn credentials_do_not_follow_redirects() {
    for code in [301, 302, 303, 307, 308] {
        let storage = ScriptedRegistry::stateful(|request| {
            assert_eq!(request.header("authorization"), None);
            Some(status(200).body("{}"))
        })
        .await;
        let target = format!("http://{}/blob?signature={CANARY}", storage.host());
        let registry = ScriptedRegistry::stateful(move |request| {
            let known = request.header("authorization").is_some();
            let ask = status(401).header("WWW-Authenticate", "Basic");
            Some(if known { status(code).header("Location", &target) } else { ask })
        })
        .await;
        let peer = Peer::new(&registry.host(), quick(), Login::basic());
        let config = peer.client.get_config(&repository(), &descriptor("{}")).await.unwrap();
        assert_eq!(&*config, b"{}");
        assert_eq!(storage.count(&format!("GET /blob?signature={CANARY}")), 1);
    }
}

#[tokio::test]
async fn redirect_target_gets_neither_credentials_nor_content() {
    let thief = ScriptedRegistry::stateful(|request| {
        assert_eq!(request.header("authorization"), None);
        Some(status(401).header("WWW-Authenticate", "Basic"))
    })
    .await;
    let target = format!("http://{}/?secret={CANARY}", thief.host());
    let registry = ScriptedRegistry::stateful(move |_| Some(status(307).header("Location", &target))).await;
    let login = Login::basic();
    let peer = Peer::new(&registry.host(), quick(), login.clone());
    let error = peer.get().await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Status { status: 401, .. }), "{error}");
    assert!(!format!("{error} {error:?}").contains(CANARY), "{error:?}");
    assert_eq!((thief.requests().len(), login.asked.lock().unwrap().len()), (1, 0));
    // Nor is content sent there.
    let error = peer.put().await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Target(TargetError::Content(_))), "{error}");
    assert_eq!(thief.requests().len(), 1);
}

#[tokio::test]
async fn redirects_end_after_ten() {
    let registry = ScriptedRegistry::stateful(|_| Some(status(302).header("Location", "/again"))).await;
    let error = Peer::anonymous(&registry).get().await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Target(TargetError::TooMany)), "{error}");
    assert_eq!(registry.requests().len(), 11);
}

/// A TLS server's key and certificate for `name`, and the certificate for those who shall trust it.
pub(crate) fn certificate(name: &str) -> (tokio_rustls::TlsAcceptor, String) {
    certificates::server(&rcgen::generate_simple_self_signed([name.to_owned()]).unwrap(), None)
}

/// Encrypted, to a server whose certificate is `pem`.
pub(crate) fn trusting(pem: &str) -> Link {
    let mut certificates = Certificates::default();
    certificates.trust(pem.as_bytes()).unwrap();
    Link { certificates, ..Transport::Https.into() }
}

#[tokio::test]
async fn tls_requires_a_trusted_certificate() {
    let (acceptor, pem) = certificate("127.0.0.1");
    let registry = ScriptedRegistry::stateful_tls(acceptor, |_| Some(index())).await;
    let stranger = Peer::with(&registry.host(), quick(), Anonymous, Transport::Https, |_| {});
    let error = stranger.get().await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Tls(_)) && error.is_unreachable(), "{error:?}");
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(cause, "invalid peer certificate: UnknownIssuer");
    assert!(stranger.notices.lock().unwrap().is_empty(), "a certificate does not get better by asking again");
    let friend = Peer::with(&registry.host(), quick(), Anonymous, trusting(&pem), |_| {});
    assert_eq!(friend.get().await.unwrap(), manifest());
}

#[tokio::test]
async fn http_registry_is_refused_without_insecure() {
    let registry = ScriptedRegistry::stateful(|_| None).await;
    let peer = Peer::with(&registry.host(), quick(), Login::basic(), Transport::Https, |_| {});
    let error = peer.get().await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Tls(_)), "{error:?}");
    assert!(error.hint().unwrap().contains("insecure: true"));
    assert!(peer.notices.lock().unwrap().is_empty());
}

#[tokio::test]
async fn redirect_from_https_to_http_is_refused() {
    let clear = ScriptedRegistry::stateful(|_| None).await;
    let (acceptor, pem) = certificate("127.0.0.1");
    let target = format!("http://{}/", clear.host());
    let script = move |_: &Request| Some(status(302).header("Location", &target));
    let registry = ScriptedRegistry::stateful_tls(acceptor, script).await;
    let peer = Peer::with(&registry.host(), quick(), Anonymous, trusting(&pem), |_| {});
    let error = peer.get().await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Target(TargetError::Downgrade(_))), "{error}");
    assert!(error.hint().unwrap().contains("X-Forwarded-Proto"));
    assert!(clear.requests().is_empty());
}

#[tokio::test]
async fn urls_in_a_manifest_are_not_followed() {
    let evil = ScriptedRegistry::stateful(|_| None).await;
    let body = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{{}},"layers":[],"urls":["http://{}/"]}}"#,
        evil.host()
    );
    let registry = ScriptedRegistry::ordered([(GET, status(200).body(body))]).await;
    Peer::anonymous(&registry).get().await.unwrap();
    assert!(evil.requests().is_empty());
}

#[tokio::test]
async fn manifest_with_both_manifests_and_layers_is_refused() {
    let body = r#"{"schemaVersion":2,"manifests":[],"layers":[]}"#;
    let registry = ScriptedRegistry::ordered([(GET, status(200).body(body))]).await;
    let error = Peer::anonymous(&registry).get().await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Manifest(_)) && error.is_refusal(), "{error}");
}

#[tokio::test]
async fn errors_and_debug_output_never_show_credentials() {
    let registry = basic_registry().await;
    let wrong = Login::new(Credential::Basic { username: "user".to_owned(), password: Secret::new("canary-wrong") });
    let peer = Peer::new(&registry.host(), quick(), wrong.clone());
    let error = peer.get().await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::LoginRefused(_)), "{error}");
    let seen = format!("{error} {error:?} {:?} {:?} {:?}", peer.client, wrong.credential, peer.notices);
    assert!(!seen.contains("canary"), "{seen}");
    // base64 of it neither
    assert!(!seen.contains("Y2FuYXJ5") && !seen.contains("dXNlcj"), "{seen}");
}

#[tokio::test]
async fn errors_and_their_causes_never_show_signed_urls() {
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let target = format!("http://{closed}/blob?signature={CANARY}");
    let registry = ScriptedRegistry::stateful(move |_| Some(status(307).header("Location", &target))).await;
    let error = Peer::new(&registry.host(), once(), Anonymous).get().await.unwrap_err();
    assert!(error.to_string().contains(&format!("cannot be reached, at {closed}")), "{error}");
    assert_eq!(error.request(), format!("GET http://{closed}/blob"));
    let mut seen = format!("{error:?}");
    let mut cause: Option<&dyn std::error::Error> = Some(&error);
    while let Some(error) = cause {
        seen.push_str(&error.to_string());
        cause = error.source();
    }
    assert!(!seen.contains(CANARY), "{seen}");
}

#[tokio::test]
async fn reads_after_a_push_wait_until_content_is_visible() {
    let unknown = status(400).body(r#"{"errors":[{"code":"MANIFEST_BLOB_UNKNOWN","message":"blob unknown"}]}"#);
    let registry =
        ScriptedRegistry::ordered([(GET, status(404)), (GET, index()), (PUT, unknown), (PUT, status(201))]).await;
    let peer = Peer::with(&registry.host(), quick(), Anonymous, Transport::Http, fast_forward);
    peer.client.get_manifest(&repository(), &tag(), Visibility::JustWritten).await.unwrap();
    peer.put().await.unwrap();
}

#[tokio::test]
async fn missing_repository_error_quotes_the_registry() {
    let body = r#"{"errors":[{"code":"NAME_UNKNOWN","message":"repository name not known to registry"}]}"#;
    let registry = ScriptedRegistry::ordered([(GET, status(404).body(body))]).await;
    let error = Peer::anonymous(&registry).get().await.unwrap_err();
    assert!(error.is_not_found());
    assert!(error.to_string().contains("has no such content: repository name not known to registry"), "{error}");
}

#[tokio::test]
async fn registry_warnings_are_shown_once_and_limited() {
    let registry = ScriptedRegistry::stateful(|request| {
        let reply = index().header("Warning", r#"299 - "same""#);
        let n = request.header("user-agent").map(|agent| assert_eq!(agent, "polyarch/test"));
        assert!(n.is_some());
        Some((0..40).fold(reply, |reply, n| reply.header("Warning", format!(r#"299 - "warning {n}""#))))
    })
    .await;
    let peer = Peer::anonymous(&registry);
    peer.get().await.unwrap();
    peer.get().await.unwrap();
    let told = peer.notices.lock().unwrap().clone();
    let texts: HashSet<_> = told.iter().map(|notice| format!("{notice:?}")).collect();
    assert_eq!((told.len(), texts.len()), (16, 16));
}

#[tokio::test]
async fn ping_distinguishes_a_registry_from_a_404() {
    let registry = ScriptedRegistry::ordered([("GET /v2/", status(200)), ("GET /v2/", status(404))]).await;
    let client = Peer::anonymous(&registry).client;
    client.ping().await.unwrap();
    assert!(client.ping().await.unwrap_err().is_not_found());
}

#[tokio::test]
async fn ping_of_a_silent_registry_ends_after_ten_seconds() {
    let registry = ScriptedRegistry::ordered([("GET /v2/", Reply::Silence)]).await;
    let client = Peer::anonymous(&registry).client;
    let wait = async {
        registry.arrived(1).await;
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(10)).await;
    };
    let start = Instant::now();
    let (result, ()) = tokio::join!(client.ping(), wait);
    assert_eq!(start.elapsed().as_secs(), 10);
    let error = result.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Timeout { waiting: Waiting::Operation, .. }), "{error}");
    assert!(error.is_unreachable());
}

#[tokio::test]
async fn docker_hub_client_uses_registry_1_docker_io() {
    let peer = Peer::with("docker.io", quick(), Anonymous, Transport::Https, |_| {});
    assert_eq!(format!("{:?}", peer.client), r#"Client { home: "https://registry-1.docker.io/v2/", .. }"#);
}

#[tokio::test]
async fn missing_credential_helper_never_falls_back_to_another_login() {
    let dir = tempfile::tempdir().unwrap();
    let registry = basic_registry().await;
    let json = format!(r#"{{"auths":{{"{0}":{{"auth":"dTpw"}}}},"credHelpers":{{"{0}":"nope"}}}}"#, registry.host());
    std::fs::write(dir.path().join("config.json"), json).unwrap();
    let config = DockerConfig::load(dir.path(), dir.path().as_os_str()).unwrap();
    let error = Peer::new(&registry.host(), quick(), config).get().await.unwrap_err();
    assert!(error.is_denied() && error.hint().unwrap().contains("install docker-credential-nope"), "{error}");
    assert_eq!(registry.requests().len(), 1);
}

#[tokio::test]
async fn invalid_punycode_host_is_refused() {
    let config = ClientConfig {
        user_agent: "polyarch/test".to_owned(),
        backoff: quick(),
        timeouts: Timeouts::STANDARD,
        proxies: Proxies::default(),
        on_notice: Arc::new(|_| {}),
    };
    let host = "xn--99999999.example".parse().unwrap();
    let error = Client::new(config, host, Transport::Https, Arc::new(Anonymous)).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Host), "{error}");
}

#[tokio::test]
async fn registry_client_calls_can_be_spawned() {
    let registry = ScriptedRegistry::ordered([(GET, index()), (HEAD, status(404)), (PUT, status(201))]).await;
    let client = Peer::anonymous(&registry).client;
    let calls = async move {
        client.get_manifest(&repository(), &tag(), Visibility::Settled).await?;
        client.head_manifest(&repository(), &tag()).await?;
        client.put_manifest(&repository(), &tag(), &manifest()).await
    };
    tokio::task::JoinSet::from_iter([calls]).join_all().await.pop().unwrap().unwrap();
}

#[tokio::test]
async fn manifest_push_fails_when_refused_or_for_another_digest() {
    let registry = ScriptedRegistry::ordered([(PUT, status(400))]).await;
    let peer = Peer::anonymous(&registry);
    assert_eq!(peer.put().await.unwrap_err().answer().unwrap().0, 400);
    let other = Selector::Digest(Digest::of(b"other"));
    let error = peer.client.put_manifest(&repository(), &other, &manifest()).await.unwrap_err();
    assert!(error.is_refusal(), "{error}");
}

#[tokio::test]
async fn config_of_another_size_is_refused() {
    let registry = ScriptedRegistry::stateful(|_| Some(status(200).body("{}"))).await;
    let client = Peer::anonymous(&registry).client;
    let longer = Descriptor { size: 3, ..descriptor("{}") };
    let error = client.get_config(&repository(), &longer).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Size { expected: 3, actual: 2 }), "{error}");
    let huge = Descriptor { size: u64::MAX, ..descriptor("{}") };
    let error = client.get_config(&repository(), &huge).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::TooLarge { .. }), "{error}");
    assert_eq!(registry.requests().len(), 1);
}

#[tokio::test]
async fn delete_tag_asks_for_delete_scope_and_accepts_404_on_retry() {
    const DELETE: &str = "DELETE /v2/org/hello/manifests/1.0";
    let (repository, tag) = (repository(), "1.0".parse().unwrap());
    // The answer to the first request was lost.
    let rows = [(DELETE, status(503)), (DELETE, status(404)), (DELETE, status(202)), (DELETE, status(405))];
    let registry = ScriptedRegistry::ordered(rows).await;
    let peer = Peer::new(&registry.host(), quick(), Anonymous);
    peer.client.delete_tag(&repository, &tag).await.unwrap();
    peer.client.delete_tag(&repository, &tag).await.unwrap();
    let error = peer.client.delete_tag(&repository, &tag).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Status { status: 405, .. }), "{error}");

    let registry = ScriptedRegistry::stateful(|request| match request.method.as_str() {
        "DELETE" if request.header("authorization").is_none() => {
            let realm = format!("Bearer realm=\"http://{}/token\",service=\"s\"", request.header("host").unwrap());
            Some(status(401).header("WWW-Authenticate", realm))
        }
        "DELETE" => Some(status(202)),
        _ => Some(status(200).body(r#"{"token":"t"}"#)),
    })
    .await;
    Peer::new(&registry.host(), quick(), Login::basic()).client.delete_tag(&repository, &tag).await.unwrap();
    let asked = registry.lines().into_iter().find(|line| line.contains("/token")).unwrap();
    assert!(asked.contains("scope=repository%3Aorg%2Fhello%3Apull%2Cpush%2Cdelete"), "{asked}");
}
