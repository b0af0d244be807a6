//! Engines with TLS: certificates that do not fit, servers without TLS, and files that polyarch cannot use.

use std::fs;
use std::path::PathBuf;

use rcgen::date_time_ymd;
use serde_json::json;

use super::world::{HELLO, World, says};
use crate::support::program::{Finished, Run};
use crate::support::scripted_engine::Script;
use crate::support::tls_front::{Authority, Front, HANDSHAKE, Listen};

/// A world whose engine listens with TLS, too. The certificates of a client are in `certs`.
struct Encrypted {
    world: World,
    front: Front,
}

impl Encrypted {
    async fn start(listen: Listen) -> Self {
        let world = World::start(Script::default()).await;
        let front = Front::start(&world.engine.host(), listen).await;
        Self { world, front }
    }

    fn certs(&self) -> PathBuf {
        self.world.home.path().join("certs")
    }

    fn plan(&self, tls: &str) {
        self.plan_at("127.0.0.1", tls);
    }

    fn plan_at(&self, host: &str, tls: &str) {
        let host = format!("tcp://{host}:{}", self.front.port());
        self.world.plan(&format!("engines: {{ far: {{ host: '{host}', tls: {tls} }} }}\n{HELLO}"));
    }

    async fn build(&self) -> Finished {
        Run::new(&self.world.home, ["build"]).finish().await
    }

    /// The build was refused before its start, and polyarch connected `connections` times and never without TLS.
    async fn is_refused(&self, connections: usize, words: &[&str]) {
        let before = self.front.first_bytes().len();
        let refused = self.build().await.expect_code(3);
        says(&refused, words);
        says(&refused, &["engine far: cannot connect to tcp://", "hint: "]);
        let key = fs::read_to_string(self.certs().join("key.pem")).unwrap();
        assert!(!refused.stderr.contains(key.lines().nth(1).unwrap()), "{}", refused.stderr);
        assert_eq!(self.front.first_bytes()[before..], vec![HANDSHAKE; connections], "{}", refused.stderr);
        assert_eq!(self.world.engine.counts().solves.started, 0);
        self.world.assert_untouched();
    }
}

const ALL: &str = "{ ca: certs/ca.pem, cert: certs/cert.pem, key: certs/key.pem }";
const CA: &str = "{ ca: certs/ca.pem }";

#[tokio::test]
async fn engine_with_tls_builds_from_plan_variables_or_context() {
    let authority = Authority::new();
    let signed = authority.sign("127.0.0.1");
    let (certs, key) = (tempfile::tempdir().unwrap(), "key.pem");
    authority.write_for_client(certs.path());
    let encrypted = Encrypted::start(Listen::tls(&signed, Some(&authority))).await;
    fs::create_dir(encrypted.certs()).unwrap();
    for name in ["ca.pem", "cert.pem", key] {
        fs::copy(certs.path().join(name), encrypted.certs().join(name)).unwrap();
    }
    encrypted.plan(ALL);
    encrypted.build().await.expect_code(0);
    // `polyarch plan` shows the paths and no content.
    let shown = Run::new(&encrypted.world.home, ["plan", "--format", "json"]).finish().await.expect_code(0);
    assert!(shown.stdout.contains("certs/key.pem") && !shown.stdout.contains("PRIVATE KEY"), "{}", shown.stdout);
    encrypted.world.plan(HELLO);
    let host = format!("tcp://127.0.0.1:{}", encrypted.front.port());
    let by_variables = || Run::new(&encrypted.world.home, ["build"]).env("DOCKER_HOST", &host);
    let with_verify = || by_variables().env("DOCKER_CERT_PATH", certs.path()).env("DOCKER_TLS_VERIFY", "1");
    with_verify().finish().await.expect_code(0);
    let unverified = by_variables().env("DOCKER_TLS", "1").finish().await.expect_code(3);
    says(&unverified, &["DOCKER_TLS without DOCKER_TLS_VERIFY", "set DOCKER_TLS_VERIFY=1"]);
    // The directory is `printf far | sha256sum`.
    let id = polyarch::oci::Digest::of(b"far").to_string().replace("sha256:", "");
    let contexts = encrypted.world.home.docker_config().join("contexts");
    let meta = json!({ "Name": "far", "Endpoints": { "docker": { "Host": host } } });
    fs::create_dir_all(contexts.join("meta").join(&id)).unwrap();
    fs::write(contexts.join("meta").join(&id).join("meta.json"), meta.to_string()).unwrap();
    let tls = contexts.join("tls").join(&id).join("docker");
    fs::create_dir_all(&tls).unwrap();
    for name in ["ca.pem", "cert.pem", key] {
        fs::copy(certs.path().join(name), tls.join(name)).unwrap();
    }
    let by_context = Run::new(&encrypted.world.home, ["build"]).env("DOCKER_CONTEXT", "far");
    by_context.finish().await.expect_code(0);
    encrypted.world.plan(&format!("engines: {{ far: {{ context: far }} }}\n{HELLO}"));
    encrypted.build().await.expect_code(0);
    assert!(encrypted.front.first_bytes().iter().all(|first| *first == HANDSHAKE));
}

#[tokio::test]
async fn engine_certificate_of_another_authority_is_refused() {
    let encrypted = Encrypted::start(Listen::tls(&Authority::new().sign("127.0.0.1"), None)).await;
    Authority::new().write_for_client(&encrypted.certs());
    encrypted.plan(CA);
    let words = ["no authority that polyarch trusts", "`tls: { ca: FILE }`"];
    encrypted.is_refused(1, &words).await;
    // The authorities of the system do not know it either.
    for tls in ["{}", "true"] {
        encrypted.plan(tls);
        encrypted.is_refused(1, &words).await;
    }
}

#[tokio::test]
async fn engine_certificate_that_is_not_valid_now_is_refused() {
    for (from, to, words) in [
        (date_time_ymd(2000, 1, 1), date_time_ymd(2001, 1, 1), "the certificate of the engine expired"),
        (date_time_ymd(4000, 1, 1), date_time_ymd(4001, 1, 1), "the certificate of the engine is not valid yet"),
    ] {
        let authority = Authority::new();
        let signed = authority.sign_with("127.0.0.1", |params| (params.not_before, params.not_after) = (from, to));
        let encrypted = Encrypted::start(Listen::tls(&signed, None)).await;
        authority.write_for_client(&encrypted.certs());
        encrypted.plan(CA);
        encrypted.is_refused(1, &[words, "check the clock of this machine"]).await;
    }
}

#[tokio::test]
async fn engine_certificate_for_another_name_needs_servername() {
    let authority = Authority::new();
    let encrypted = Encrypted::start(Listen::tls(&authority.sign("builder.example"), None)).await;
    authority.write_for_client(&encrypted.certs());
    encrypted.plan(CA);
    let words = ["is for builder.example, and not for 127.0.0.1", "`tls: { servername: NAME }`"];
    encrypted.is_refused(1, &words).await;
    encrypted.plan("{ ca: certs/ca.pem, servername: builder.example }");
    encrypted.build().await.expect_code(0);
}

#[tokio::test]
async fn engine_that_demands_a_client_certificate_is_explained() {
    let authority = Authority::new();
    let signed = authority.sign("127.0.0.1");
    let certs = tempfile::tempdir().unwrap();
    authority.write_for_client(certs.path());
    let encrypted = Encrypted::start(Listen::tls(&signed, Some(&authority))).await;
    Authority::new().write_for_client(&encrypted.certs());
    fs::copy(certs.path().join("ca.pem"), encrypted.certs().join("ca.pem")).unwrap();
    encrypted.plan(CA);
    encrypted.is_refused(1, &["the engine demands a client certificate", "`tls: { cert: FILE, key: FILE }`"]).await;
    encrypted.plan(ALL);
    encrypted.is_refused(1, &["the engine refused the client certificate", "an authority of the engine"]).await;
}

#[tokio::test]
async fn engine_without_tls_gets_no_unencrypted_request() {
    let encrypted = Encrypted::start(Listen::Plain).await;
    Authority::new().write_for_client(&encrypted.certs());
    encrypted.plan(CA);
    // The scripted engine ends the connection, or answers in HTTP.
    let answers = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = answers.local_addr().unwrap().port();
    let serving = tokio::spawn(async move {
        let (mut stream, _) = answers.accept().await.unwrap();
        let mut hello = [0; 64];
        let read = tokio::io::AsyncReadExt::read(&mut stream, &mut hello).await.unwrap();
        let answer = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n";
        tokio::io::AsyncWriteExt::write_all(&mut stream, answer).await.unwrap();
        hello[..read][0]
    });
    let host = format!("tcp://127.0.0.1:{port}");
    encrypted.world.plan(&format!("engines: {{ far: {{ host: '{host}', tls: {CA} }} }}\n{HELLO}"));
    let refused = encrypted.build().await.expect_code(3);
    says(&refused, &["the server answered without TLS", "dockerd --tlsverify", "2376"]);
    assert_eq!(serving.await.unwrap(), HANDSHAKE);
    encrypted.world.assert_untouched();
}

#[tokio::test]
async fn unusable_certificate_files_of_an_engine_are_named() {
    let authority = Authority::new();
    let signed = authority.sign("127.0.0.1");
    let encrypted = Encrypted::start(Listen::tls(&signed, None)).await;
    authority.write_for_client(&encrypted.certs());
    let at = |name: &str| encrypted.certs().join(name);
    fs::create_dir(at("folder.pem")).unwrap();
    fs::copy(at("key.pem"), at("other-key.pem")).unwrap();
    authority.sign("client").write(&encrypted.certs());
    for (tls, words) in [
        ("{ ca: certs/none.pem }", ["certs/none.pem cannot be read", "make certs/none.pem readable"]),
        ("{ ca: certs/folder.pem }", ["certs/folder.pem cannot be read", "Is a directory"]),
        ("{ ca: certs/key.pem }", ["certs/key.pem has no certificate", "BEGIN CERTIFICATE"]),
        ("{ cert: certs/cert.pem, key: certs/cert.pem }", ["certs/cert.pem has no private key", "BEGIN PRIVATE KEY"]),
        (
            "{ cert: certs/cert.pem, key: certs/other-key.pem }",
            ["certs/cert.pem is not the certificate of its key", "belong together"],
        ),
    ] {
        encrypted.plan(tls);
        encrypted.is_refused(0, &words).await;
    }
    let unreadable = at("ca.pem");
    std::os::unix::fs::chown(&unreadable, Some(1), Some(1)).unwrap();
    fs::set_permissions(&unreadable, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    encrypted.plan(CA);
    // Root may read everything, unless that capability is taken away.
    let unprivileged = ["--bounding-set=-dac_override,-dac_read_search", "--", env!("CARGO_BIN_EXE_polyarch"), "build"];
    let refused = Run::of("setpriv", &encrypted.world.home, unprivileged).finish().await.expect_code(3);
    says(&refused, &["certs/ca.pem cannot be read: Permission denied", "make certs/ca.pem readable"]);
}
