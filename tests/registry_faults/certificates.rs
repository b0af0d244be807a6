//! Certificates: those that the user trusts for a registry, and the one that polyarch shows there.

use std::sync::Arc;

use polyarch::auth::Anonymous;
use polyarch::registry::{Certificates, ErrorKind, Link, Transport};
use rcgen::{BasicConstraints, CertificateParams, CertifiedKey, IsCa, KeyPair, date_time_ymd};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::server::{NoClientAuth, WebPkiClientVerifier};
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use super::{Peer, certificate, index, manifest, quick, trusting};
use crate::support::program::{Finished, Home, Run};
use crate::support::scripted_registry::{Request, ScriptedRegistry, status};

type Made = CertifiedKey<KeyPair>;

/// A TLS server that shows `made`, and its certificate. It asks for certificates that `wants` has signed.
pub(super) fn server(made: &Made, wants: Option<&Made>) -> (TlsAcceptor, String) {
    server_of(made, wants, &[])
}

/// The same, of a server that speaks `protocols` (RFC 7301).
fn server_of(made: &Made, wants: Option<&Made>, protocols: &[&str]) -> (TlsAcceptor, String) {
    let provider = Arc::new(ring::default_provider());
    let verifier: Arc<dyn ClientCertVerifier> = wants.map_or_else(
        || Arc::new(NoClientAuth) as _,
        |wanted| {
            let mut roots = RootCertStore::empty();
            roots.add(wanted.cert.der().clone()).unwrap();
            WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone()).build().unwrap()
        },
    );
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let mut config = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    (Arc::new(config).into(), made.cert.pem())
}

/// As `openssl req -x509` makes them: the server's own, marked as an authority's.
fn as_openssl_makes_it(name: &str, change: impl Fn(&mut CertificateParams)) -> Made {
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    change(&mut params);
    let signing_key = KeyPair::generate().unwrap();
    Made { cert: params.self_signed(&signing_key).unwrap(), signing_key }
}

fn cause(error: &polyarch::registry::RegistryError) -> String {
    std::error::Error::source(error).unwrap().to_string()
}

#[tokio::test]
async fn self_signed_authority_is_trusted_only_when_named() {
    let made = as_openssl_makes_it("127.0.0.1", |_| {});
    let (acceptor, pem) = server(&made, None);
    let registry = ScriptedRegistry::stateful_tls(acceptor, |_| Some(index())).await;
    let host = registry.host();
    let named = Peer::with(&host, quick(), Anonymous, trusting(&pem), |_| {});
    assert_eq!(named.get().await.unwrap(), manifest());
    // Neither without its name, nor where another one of the same name is named.
    let other = as_openssl_makes_it("127.0.0.1", |_| {}).cert.pem();
    for link in [Transport::Https.into(), trusting(&other)] {
        let error = Peer::with(&host, quick(), Anonymous, link, |_| {}).get().await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Tls(_)), "{error:?}");
        assert!(error.hint().unwrap().contains("`ca:`"), "{error:?}");
    }
}

#[tokio::test]
async fn trusted_certificate_is_refused_for_another_name_or_time() {
    let spent = |params: &mut CertificateParams| params.not_after = date_time_ymd(2001, 1, 1);
    let early = |params: &mut CertificateParams| params.not_before = date_time_ymd(4000, 1, 1);
    for (made, wanted) in [
        (as_openssl_makes_it("registry.example", |_| {}), "not valid for name"),
        (as_openssl_makes_it("127.0.0.1", spent), "expired"),
        (as_openssl_makes_it("127.0.0.1", early), "not valid yet"),
    ] {
        let (acceptor, pem) = server(&made, None);
        let registry = ScriptedRegistry::stateful_tls(acceptor, |_| Some(index())).await;
        let peer = Peer::with(&registry.host(), quick(), Anonymous, trusting(&pem), |_| {});
        let error = peer.get().await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Tls(_)), "{error:?}");
        assert!(cause(&error).contains(wanted), "{}", cause(&error));
    }
}

#[tokio::test]
async fn missing_client_certificate_is_not_retried() {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let (acceptor, pem) = server(&made, Some(&made));
    let registry = ScriptedRegistry::stateful_tls(acceptor, |_| Some(index())).await;
    let peer = Peer::with(&registry.host(), quick(), Anonymous, trusting(&pem), |_| {});
    let error = peer.get().await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Tls(_)), "{error:?}");
    assert!(error.hint().unwrap().contains("`cert:` and `key:`"), "{error:?}");
    assert!(peer.notices.lock().unwrap().is_empty(), "asked again");
}

/// Shows `client` where the server of `pem` asks for it.
fn showing(pem: &str, client: &Made) -> Link {
    let mut certificates = Certificates::default();
    certificates.trust(pem.as_bytes()).unwrap();
    certificates.show(client.cert.pem().as_bytes(), client.signing_key.serialize_pem().as_bytes()).unwrap();
    Link { certificates, ..Transport::Https.into() }
}

#[tokio::test]
async fn client_certificate_is_shown_to_the_registry() {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let client = rcgen::generate_simple_self_signed(["polyarch".to_owned()]).unwrap();
    let (acceptor, pem) = server(&made, Some(&client));
    let registry = ScriptedRegistry::stateful_tls(acceptor, |_| Some(index())).await;
    let peer = Peer::with(&registry.host(), quick(), Anonymous, showing(&pem, &client), |_| {});
    assert_eq!(peer.get().await.unwrap(), manifest());
}

#[tokio::test]
async fn refused_client_certificate_is_not_retried() {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let [client, other] =
        ["polyarch", "stranger"].map(|name| rcgen::generate_simple_self_signed([name.to_owned()]).unwrap());
    for protocols in [&[][..], &["h2"]] {
        let (acceptor, pem) = server_of(&made, Some(&client), protocols);
        let registry = ScriptedRegistry::stateful_tls(acceptor, |_| Some(index())).await;
        let peer = Peer::with(&registry.host(), quick(), Anonymous, showing(&pem, &other), |_| {});
        let error = peer.get().await.unwrap_err();
        assert!(error.hint().unwrap().contains("a client certificate that it trusts"), "{protocols:?}: {error:?}");
        assert!(matches!(error.kind(), ErrorKind::Tls(_)), "{protocols:?}: {error:?}");
        assert!(peer.notices.lock().unwrap().is_empty(), "{protocols:?}: asked again");
    }
}

#[tokio::test]
async fn missing_client_certificate_is_recognised_over_http_2() {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let (acceptor, pem) = server_of(&made, Some(&made), &["h2"]);
    let registry = ScriptedRegistry::stateful_tls(acceptor, |_| Some(index())).await;
    let error = Peer::with(&registry.host(), quick(), Anonymous, trusting(&pem), |_| {}).get().await.unwrap_err();
    assert!(error.hint().unwrap().contains("`cert:` and `key:`"), "{error:?}");
}

#[tokio::test]
async fn client_certificate_is_not_shown_to_other_hosts() {
    let client = rcgen::generate_simple_self_signed(["polyarch".to_owned()]).unwrap();
    // Storage that asks for a certificate is sent none, although polyarch has the one that it would take.
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (acceptor, storage_pem) = server(&made, Some(&client));
    let storage = ScriptedRegistry::stateful_tls(acceptor, |_| Some(index())).await;
    let target = format!("https://{}/", storage.host().replace("127.0.0.1", "localhost"));
    let (acceptor, pem) = certificate("127.0.0.1");
    let script = move |_: &_| Some(status(302).header("Location", &target));
    let registry = ScriptedRegistry::stateful_tls(acceptor, script).await;
    let mut link = showing(&format!("{pem}{storage_pem}"), &client);
    link.allowed_hosts = vec!["localhost".parse().unwrap()];
    let error = Peer::with(&registry.host(), quick(), Anonymous, link, |_| {}).get().await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Tls(_)), "{error:?}");
    assert!(storage.requests().is_empty());
}

/// A registry that wants a client certificate, in the files of a user.
struct Guarded {
    registry: ScriptedRegistry,
    home: Home,
}

impl Guarded {
    async fn start() -> Self {
        let made = as_openssl_makes_it("127.0.0.1", |_| {});
        let client = rcgen::generate_simple_self_signed(["polyarch".to_owned()]).unwrap();
        let (acceptor, pem) = server(&made, Some(&client));
        let (registry, home) = (ScriptedRegistry::stateful_tls(acceptor, |_| Some(index())).await, Home::new());
        let write = |name: &str, text: &[u8]| std::fs::write(home.path().join(name), text).unwrap();
        write("ca.pem", pem.as_bytes());
        write("ca.der", made.cert.der());
        write("client.pem", client.cert.pem().as_bytes());
        write("client.key", client.signing_key.serialize_pem().as_bytes());
        Self { registry, home }
    }

    fn plan(&self, settings: &str) {
        let registry = format!("{{ host: \"{}\", {settings} }}", self.registry.host());
        let images = "{ hello: { tags: [\"1\"], platforms: [linux/amd64] } }";
        std::fs::write(
            self.home.path().join("build.yaml"),
            format!("version: 1\nregistry: {registry}\nimages: {images}\n"),
        )
        .unwrap();
    }

    async fn digest(&self, args: &[&str]) -> Finished {
        Run::new(&self.home, [&["digest"], args].concat()).finish().await
    }
}

#[tokio::test]
async fn plan_names_authority_and_client_certificate() {
    let guarded = Guarded::start().await;
    guarded.plan("ca: ca.pem, cert: client.pem, key: client.key");
    let digest = guarded.digest(&["hello"]).await.expect_code(0);
    assert_eq!(digest.stdout.trim(), manifest().digest().to_string());
    for (settings, code, wanted) in [
        ("ca: ca.pem", 3, "a client certificate that it trusts: `cert:` and `key:`"),
        ("ca: ca.pem, cert: client.pem", 2, "`cert` is set, and `key` is missing"),
        ("insecure: true, cert: client.pem, key: client.key", 2, "both `insecure: true` and `cert`"),
        ("ca: ca.pem, cert: ca.pem, key: client.key", 2, "ca.pem is not the certificate of its key"),
        ("ca: ca.der", 2, "ca.der is in the format DER, not PEM"),
        ("ca: ca.der", 2, "convert it: openssl x509 -inform der -in"),
        ("ca: absent.pem", 2, "absent.pem cannot be read: No such file"),
    ] {
        guarded.plan(settings);
        let refused = guarded.digest(&["hello"]).await.expect_code(code);
        assert!(refused.stderr.contains(wanted), "{settings}: {}", refused.stderr);
    }
}

#[tokio::test]
async fn certificates_are_found_in_the_certs_d_directories() {
    for directory in ["docker/certs.d", ".config/docker/certs.d", ".config/containers/certs.d"] {
        let guarded = Guarded::start().await;
        let home = guarded.home.path();
        let directory = home.join(directory).join(guarded.registry.host());
        std::fs::create_dir_all(&directory).unwrap();
        for (from, to) in [("ca.pem", "ca.crt"), ("client.pem", "client.cert"), ("client.key", "client.key")] {
            std::fs::copy(home.join(from), directory.join(to)).unwrap();
        }
        let reference = format!("{}/hello:1", guarded.registry.host());
        let run = Run::new(&guarded.home, ["digest", &reference]).env("DOCKER_CONFIG", home.join("docker"));
        let digest = run.finish().await.expect_code(0);
        assert_eq!(digest.stdout.trim(), manifest().digest().to_string());
        std::fs::remove_file(directory.join("client.key")).unwrap();
        let run = Run::new(&guarded.home, ["digest", &reference]).env("DOCKER_CONFIG", home.join("docker"));
        let refused = run.finish().await.expect_code(3);
        assert!(refused.stderr.contains("client.cert has no key beside it"), "{}", refused.stderr);
    }
}

#[tokio::test]
async fn registry_flag_for_an_unused_registry_is_refused() {
    let guarded = Guarded::start().await;
    let reference = format!("{}/hello:1", guarded.registry.host());
    for (flag, value) in [("--ca", "ghcr.io=ca.pem"), ("--may-send-to", "ghcr.io=10.0.0.1")] {
        let refused = guarded.digest(&[flag, value, &reference]).await.expect_code(2);
        let wanted = format!("{flag} ghcr.io=…: no reference has registry ghcr.io");
        assert!(refused.stderr.contains(&wanted), "{}", refused.stderr);
        assert!(refused.stderr.contains(&format!("name {}", guarded.registry.host())), "{}", refused.stderr);
    }
    assert!(guarded.registry.requests().is_empty());
}

#[tokio::test]
async fn private_token_server_is_used_only_if_may_send_to_allows_it() {
    // A token server on another port of the same private address, as on a GitLab that has no name.
    let tokens = ScriptedRegistry::stateful(|_| Some(status(200).body(r#"{"token":"t"}"#))).await;
    let realm = format!("Bearer realm=\"http://{}/token\",service=\"s\"", tokens.host());
    let script = move |request: &Request| match request.header("authorization") {
        Some("Bearer t") => Some(index()),
        _ => Some(status(401).header("WWW-Authenticate", &realm)),
    };
    let (registry, home) = (ScriptedRegistry::stateful(script).await, Home::new());
    let reference = format!("{}/hello:1", registry.host());
    let refused = Run::new(&home, ["digest", &reference]).finish().await.expect_code(7);
    let flag = format!("--may-send-to {}={}", registry.host(), tokens.host());
    assert!(refused.stderr.contains(&flag), "{}", refused.stderr);
    assert!(refused.stderr.contains(&format!("`may_send_to: [\"{}\"]`", tokens.host())), "{}", refused.stderr);
    assert!(tokens.requests().is_empty());
    let (name, value) = flag.split_once(' ').unwrap();
    Run::new(&home, ["digest", name, value, &reference]).finish().await.expect_code(0);
    let registry = format!("{{ host: \"{}\", may_send_to: [\"{}\"] }}", registry.host(), tokens.host());
    let plan = format!(
        "version: 1\nregistry: {registry}\nimages: {{ hello: {{ tags: [\"1\"], platforms: [linux/amd64] }} }}\n"
    );
    std::fs::write(home.path().join("build.yaml"), plan).unwrap();
    Run::new(&home, ["digest", "hello"]).finish().await.expect_code(0);
}
