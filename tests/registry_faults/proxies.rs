//! Proxies. A proxy looks up host names itself. A host name that does not exist proves that polyarch asked the proxy.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use polyarch::auth::Anonymous;
use polyarch::registry::{
    Client, ClientConfig, ErrorKind, Link, Notice, Proxies, RegistryError, Timeouts, Transport, Visibility,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::{CANARY, INDEX, Login, certificate, index, quick, repository, tag, trusting};
use crate::support::program::{Home, Run};
use crate::support::scripted_registry::{Reply, Request, ScriptedRegistry, status};

/// A registry that no DNS knows.
const NOWHERE: &str = "registry.invalid:5000";
/// `user:canary-3f9c`.
const LOGIN: &str = "Basic dXNlcjpjYW5hcnktM2Y5Yw==";

/// A proxy that knows `CONNECT`, and one place to go to.
pub(crate) struct Tunnel {
    pub(crate) address: SocketAddr,
    /// What was asked of it.
    heads: Arc<Mutex<Vec<String>>>,
    server: JoinHandle<()>,
}

impl Tunnel {
    pub(crate) async fn to(target: SocketAddr, login: Option<&'static str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::<Mutex<Vec<String>>>::default();
        let asked = heads.clone();
        let server = tokio::spawn(async move {
            let mut tunnels = tokio::task::JoinSet::new();
            while let Ok((mut client, _)) = listener.accept().await {
                let asked = asked.clone();
                tunnels.spawn(async move {
                    let head = head(&mut client).await;
                    let known = login.is_none_or(|login| head.contains(login));
                    asked.lock().unwrap().push(head);
                    if !known {
                        let refusal = "HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n";
                        return client.write_all(refusal.as_bytes()).await.unwrap();
                    }
                    let mut target = TcpStream::connect(target).await.unwrap();
                    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
                    drop(tokio::io::copy_bidirectional(&mut client, &mut target).await);
                });
            }
        });
        Self { address, heads, server }
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn head(client: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// A client of a registry that nobody knows, through what `variables` say.
fn client(variables: &[(&str, String)], link: impl Into<Link>) -> (Client, Arc<Mutex<Vec<Notice>>>) {
    let set = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str());
    let notices = Arc::<Mutex<Vec<Notice>>>::default();
    let kept = notices.clone();
    let config = ClientConfig {
        user_agent: "polyarch/test".to_owned(),
        backoff: quick(),
        timeouts: Timeouts::STANDARD,
        proxies: Proxies::read(set).unwrap(),
        on_notice: Arc::new(move |notice| kept.lock().unwrap().push(notice)),
    };
    let host = NOWHERE.parse().unwrap();
    (Client::new(config, host, link, Arc::new(Anonymous)).unwrap(), notices)
}

async fn get(client: &Client) -> Result<(), RegistryError> {
    client.get_manifest(&repository(), &tag(), Visibility::Settled).await.map(drop)
}

#[tokio::test]
async fn https_uses_a_proxy_tunnel_with_its_own_login() {
    let (acceptor, pem) = certificate("registry.invalid");
    let registry = ScriptedRegistry::stateful_tls(acceptor, |_| Some(index())).await;
    let tunnel = Tunnel::to(registry.address, Some(LOGIN)).await;
    let proxy = |login: &str| vec![("HTTPS_PROXY", format!("http://{login}{}", tunnel.address))];
    let (through, _) = client(&proxy(&format!("user:{}@", CANARY.replace('-', "%2D"))), trusting(&pem));
    get(&through).await.unwrap();
    assert!(tunnel.heads()[0].starts_with(&format!("CONNECT {NOWHERE} HTTP/1.1\r\n")), "{:?}", tunnel.heads());
    for request in registry.requests() {
        assert_eq!([request.header("proxy-authorization"), request.header("authorization")], [None, None]);
    }
    // Without the login, or with another: once, for it does not get better.
    for login in ["", "user:wrong@"] {
        let before = tunnel.heads().len();
        let (refused, notices) = client(&proxy(login), trusting(&pem));
        let error = get(&refused).await.unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::ProxyLogin { proxy } if *proxy == tunnel.address.to_string()),
            "{error}"
        );
        assert!(error.is_unreachable() && error.hint().unwrap().contains("HTTPS_PROXY"), "{error}");
        assert_eq!((tunnel.heads().len() - before, notices.lock().unwrap().len()), (1, 0), "{error}");
    }
}

#[tokio::test]
async fn plain_http_uses_the_proxy_unless_no_proxy_matches() {
    let line = format!("GET http://{NOWHERE}/v2/org/hello/manifests/1.0");
    let expected = line.clone();
    let proxy = ScriptedRegistry::stateful(move |request| (request.line() == expected).then(index)).await;
    let variables = [("http_proxy", format!("user:{CANARY}@{}", proxy.host()))];
    let (through, _) = client(&variables, Transport::Http);
    get(&through).await.unwrap();
    assert_eq!(proxy.requests()[0].header("proxy-authorization"), Some(LOGIN));
    let [variable] = variables;
    let (past, _) = client(&[variable, ("NO_PROXY", ".example,invalid".to_owned())], Transport::Http);
    let error = get(&past).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Dns(_)), "{error}");
    assert_eq!(proxy.requests().len(), 1);
}

#[tokio::test]
async fn unreachable_proxy_is_retried_and_named() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let (client, notices) = client(&[("ALL_PROXY", format!("http://user:{CANARY}@{gone}"))], Transport::Https);
    let error = get(&client).await.unwrap_err();
    let said = format!("registry {NOWHERE} cannot be reached through the proxy {gone}");
    assert!(error.to_string() == said && error.is_unreachable(), "{error}");
    assert!(error.hint().unwrap().contains(&gone.to_string()));
    assert_eq!(notices.lock().unwrap().len(), 4);
    assert!(!format!("{error:?} {client:?} {:?}", notices.lock().unwrap()).contains(CANARY));
}

/// What is not on this machine, of what a run asks.
fn answered(request: &Request) -> Option<Reply> {
    let target = request.target.strip_prefix(&format!("http://{NOWHERE}"))?;
    Some(match target {
        "/v2/" => status(200).body("{}"),
        _ => status(200).header("Content-Type", super::TYPE).body(INDEX),
    })
}

#[tokio::test]
async fn proxy_password_is_never_shown() {
    let wants_login = Arc::new(Mutex::new(false));
    let wanted = wants_login.clone();
    let proxy = ScriptedRegistry::stateful(
        move |request| {
            if *wanted.lock().unwrap() { Some(status(407)) } else { answered(request) }
        },
    )
    .await;
    let home = Home::new();
    let name = format!("{NOWHERE}/org/hello:1.0");
    let inspect = || {
        let address = format!("http://user:{CANARY}@{}", proxy.host());
        Run::new(&home, ["inspect", "--insecure", "--raw", &name]).env("HTTP_PROXY", address)
    };
    assert_eq!(inspect().finish().await.expect_code(0).stdout, INDEX);
    *wants_login.lock().unwrap() = true;
    let refused = inspect().env("RUST_LOG", "trace").finish().await.expect_code(3);
    let said = format!("cannot be reached: the proxy {} requires a login", proxy.host());
    assert!(refused.stderr.contains(&said) && !refused.stderr.contains(CANARY), "{}", refused.stderr);
    let broken = inspect().env("HTTPS_PROXY", format!("ftp://user:{CANARY}@x")).finish().await.expect_code(3);
    assert!(broken.stderr.contains("HTTPS_PROXY is not the address of a proxy"), "{}", broken.stderr);
    assert!(!broken.stderr.contains(CANARY), "{}", broken.stderr);
}

#[tokio::test]
async fn loopback_registry_is_reached_without_a_proxy() {
    let registry = ScriptedRegistry::stateful(|_| Some(index())).await;
    let name = format!("{}/org/hello:1.0", registry.host());
    let home = Home::new();
    let run = Run::new(&home, ["inspect", "--raw", &name]);
    let run = run.env("HTTP_PROXY", "http://proxy.invalid:1").env("ALL_PROXY", "http://proxy.invalid:1");
    assert_eq!(run.finish().await.expect_code(0).stdout, INDEX);
}

/// A proxy in front of a name does not open what is closed without one: an address of a private network that a registry
/// names is refused before the proxy hears of it.
#[tokio::test]
async fn proxy_is_not_asked_for_a_forbidden_redirect_target() {
    let proxy = ScriptedRegistry::stateful(|request| {
        let is_home = request.target.starts_with(&format!("http://{NOWHERE}/"));
        is_home.then(|| status(302).header("Location", "http://10.0.0.1/metadata"))
    })
    .await;
    let config = ClientConfig {
        user_agent: "polyarch/test".to_owned(),
        backoff: quick(),
        timeouts: Timeouts { connect: Duration::from_secs(5), ..Timeouts::STANDARD },
        proxies: Proxies::read(|name| (name == "HTTP_PROXY").then_some(Box::leak(proxy.host().into_boxed_str())))
            .unwrap(),
        on_notice: Arc::new(|_| {}),
    };
    let login = Arc::new(Login::basic());
    let client = Client::new(config, NOWHERE.parse().unwrap(), Transport::Http, login).unwrap();
    let error = get(&client).await.unwrap_err();
    assert!(error.is_refusal(), "{error}");
    assert_eq!(proxy.requests().len(), 1);
}
