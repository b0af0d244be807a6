//! Whose login goes where: of several configurations, and of parts of a registry.

use std::ffi::OsStr;
use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use polyarch::auth::{Anonymous, DockerConfig, Logins};
use polyarch::registry::{ErrorKind, Visibility};
use serde_json::{Value, json};

use super::{CANARY, Peer, index, quick, tag};
use crate::support::images::Image;
use crate::support::program::{Home, Run};
use crate::support::scripted_registry::{Reply, Request, ScriptedRegistry, status};
use crate::support::store::Store;

/// The `auth` of a user.
fn auth(user: &str) -> Value {
    json!({ "auth": STANDARD.encode(format!("{user}:{CANARY}")) })
}

/// Who sent a request, where it was said.
fn sender(request: &Request) -> Option<String> {
    let basic = request.header("authorization")?.strip_prefix("Basic ")?;
    let login = String::from_utf8(STANDARD.decode(basic).unwrap()).unwrap();
    login.strip_suffix(&format!(":{CANARY}")).map(str::to_owned)
}

#[tokio::test]
async fn each_part_of_a_registry_gets_its_own_login() {
    let registry = ScriptedRegistry::stateful(|request| {
        let user = sender(request);
        Some(if user.is_some() { index() } else { status(401).header("WWW-Authenticate", "Basic") })
    })
    .await;
    let host = registry.host();
    let entries = json!({ "auths": {
        format!("{host}/org"): auth("org"), format!("{host}/org/web"): auth("web"), &host: auth("all"),
    } });
    let config = DockerConfig::inline("LOGINS", &entries.to_string(), OsStr::new("")).unwrap();
    let peer = Peer::new(&host, quick(), Logins::of(vec![config]));
    for (repository, user) in [("org/web", "web"), ("org/api", "org"), ("other/web", "all"), ("organ/web", "all")] {
        let path = repository.parse().unwrap();
        peer.client.get_manifest(&path, &tag(), Visibility::Settled).await.unwrap();
        let requests = registry.requests();
        let sent = requests.iter().filter(|request| request.target.contains(repository)).filter_map(sender);
        assert_eq!(sent.collect::<Vec<_>>(), [user], "{repository}");
    }
}

/// A registry with two images, which tells nobody anything who does not log in.
async fn private() -> ScriptedRegistry {
    let store = Store::default();
    for arch in ["amd64", "arm64"] {
        store.push("hello", &format!("1-{arch}"), &Image::oci(&format!("linux/{arch}"), "x"));
    }
    ScriptedRegistry::stateful(move |request| match sender(request) {
        Some(_) => store.answer(request),
        None => Some(status(401).header("WWW-Authenticate", "Basic")),
    })
    .await
}

fn senders(registry: &ScriptedRegistry) -> Vec<String> {
    let mut users: Vec<_> = registry.requests().iter().filter_map(sender).collect();
    users.dedup();
    users
}

fn join(home: &Home, registry: &ScriptedRegistry) -> Run {
    let name = |tag: &str| format!("{}/hello:{tag}", registry.host());
    Run::new(home, ["join", "-t", &name("1"), &name("1-amd64"), &name("1-arm64")])
}

#[tokio::test]
async fn auth_env_variables_override_docker_then_podman_config() {
    let home = Home::new();
    let of = |registry: &ScriptedRegistry, user: &str| json!({ "auths": { registry.host(): auth(user) } }).to_string();
    let (run, config) = (home.path().join("run"), home.path().join("config"));
    for directory in [run.join("containers"), config.join("containers")] {
        fs::create_dir_all(directory).unwrap();
    }
    // Each one knows the registry; the first is taken away until nothing is left.
    let registry = private().await;
    let named = home.path().join("named.json");
    let files = [
        (named.clone(), "named"),
        (home.docker_config().join("config.json"), "docker"),
        (run.join("containers/auth.json"), "podman"),
        (config.join("containers/auth.json"), "kept"),
    ];
    for (file, user) in &files {
        fs::write(file, of(&registry, user)).unwrap();
    }
    let with = |run_directory: &std::path::Path| {
        join(&home, &registry).env("XDG_RUNTIME_DIR", run_directory).env("XDG_CONFIG_HOME", &config)
    };
    let inline = of(&registry, "inline");
    let found = with(&run).env("DOCKER_AUTH_CONFIG", &inline).env("REGISTRY_AUTH_FILE", &named).finish().await;
    assert!(!found.expect_code(0).stderr.contains(CANARY));
    // One that knows another registry only is gone past.
    let other = json!({ "auths": { "other.example": auth("other") } }).to_string();
    with(&run).env("DOCKER_AUTH_CONFIG", other).env("REGISTRY_AUTH_FILE", &named).finish().await.expect_code(0);
    for (file, _) in &files[1..] {
        with(&run).finish().await.expect_code(0);
        fs::remove_file(file).unwrap();
    }
    assert_eq!(senders(&registry), ["inline", "named", "docker", "podman", "kept"]);
    let nobody = with(&run).finish().await.expect_code(3);
    assert!(nobody.stderr.contains("docker login"), "{}", nobody.stderr);
}

#[tokio::test]
async fn broken_login_files_are_named_and_not_shown() {
    let (home, registry) = (Home::new(), private().await);
    let broken = format!(r#"{{"auths":{{"x":{{"auth":"{CANARY}"}}"#);
    fs::create_dir_all(home.path().join("run/containers")).unwrap();
    let file = home.path().join("run/containers/auth.json");
    fs::write(&file, &broken).unwrap();
    let absent = home.path().join("absent.json");
    for (name, value, said) in [
        ("DOCKER_AUTH_CONFIG", broken.clone().into(), "the logins in DOCKER_AUTH_CONFIG are not valid at line 1"),
        ("XDG_RUNTIME_DIR", home.path().join("run").into_os_string(), "run/containers/auth.json are not valid"),
        ("REGISTRY_AUTH_FILE", absent.into_os_string(), "the file of logins that REGISTRY_AUTH_FILE names"),
    ] {
        let finished = join(&home, &registry).env(name, value).finish().await.expect_code(3);
        assert!(finished.stderr.contains(said), "{name}: {}", finished.stderr);
        assert!(!finished.stderr.contains(CANARY), "{}", finished.stderr);
    }
    assert_eq!(registry.requests().len(), 0);
}

/// Who was not asked who they are, and who was: a registry that wants a login wants it in every repository.
#[tokio::test]
async fn login_asked_for_once_is_sent_at_once_to_all_repositories() {
    for scheme in ["Basic", "Bearer"] {
        let registry = ScriptedRegistry::stateful(move |request| {
            if request.target.starts_with("/token?") {
                return Some(status(200).body(format!(r#"{{"token":"{CANARY}"}}"#)));
            }
            let realm = format!(r#"{scheme} realm="http://{}/token""#, request.header("host").unwrap());
            let known = request.header("authorization").is_some();
            Some(if known { index() } else { status(401).header("WWW-Authenticate", realm) })
        })
        .await;
        let entries = json!({ "auths": { registry.host(): auth("user") } }).to_string();
        let config = DockerConfig::inline("LOGINS", &entries, OsStr::new("")).unwrap();
        let peer = Peer::new(&registry.host(), quick(), config);
        peer.client.ping().await.unwrap();
        for repository in ["a", "b"] {
            peer.client.get_manifest(&repository.parse().unwrap(), &tag(), Visibility::Settled).await.unwrap();
        }
        let unknown = |request: &&Request| request.header("authorization").is_none();
        let asked: Vec<_> = registry.requests().iter().filter(unknown).map(Request::line).collect();
        assert_eq!(asked, ["GET /v2/"], "{scheme}");
    }
}

/// A registry that answers everybody whom it does not know with `hidden`, and asks for a login at `/v2/` with `home` alone.
async fn hiding(hidden: u16, home: fn() -> Reply) -> ScriptedRegistry {
    let store = Store::default();
    for arch in ["amd64", "arm64"] {
        store.push("hello", &format!("1-{arch}"), &Image::oci(&format!("linux/{arch}"), "x"));
    }
    ScriptedRegistry::stateful(move |request| match sender(request) {
        Some(_) => store.answer(request),
        None if request.target == "/v2/" => Some(home()),
        None => Some(status(hidden)),
    })
    .await
}

fn asks() -> Reply {
    status(401).header("WWW-Authenticate", r#"Basic realm="r""#)
}

#[tokio::test]
async fn login_is_found_by_ping_when_a_registry_hides_content() {
    // The last one asks for a login, and does not say how.
    for hidden in [404, 403, 401] {
        let registry = hiding(hidden, asks).await;
        let home = Home::new();
        let entries = json!({ "auths": { registry.host(): auth("user") } }).to_string();
        fs::write(home.docker_config().join("config.json"), entries).unwrap();
        let joined = join(&home, &registry).finish().await.expect_code(0);
        assert!(!joined.stderr.contains(CANARY), "{}", joined.stderr);
        let unknown = |request: &&Request| sender(request).is_none();
        let asked: Vec<_> = registry.requests().iter().filter(unknown).map(Request::line).collect();
        let homes = asked.iter().filter(|line| *line == "GET /v2/").count();
        assert!(asked.len() <= 2 * homes && homes <= 2, "{hidden}: {asked:?}");
        // Nobody has no login to try.
        let (before, peer) = (registry.requests().len(), Peer::new(&registry.host(), quick(), Anonymous));
        peer.client.get_manifest(&"hello".parse().unwrap(), &tag(), Visibility::Settled).await.unwrap_err();
        assert_eq!(registry.requests().len(), before + 1, "{hidden}");
    }
}

#[tokio::test]
async fn open_registry_is_pinged_once_and_needs_no_helper() {
    for home in [|| status(200), || status(404)] {
        let registry = hiding(404, home).await;
        let host = registry.host();
        for entries in
            [json!({ "auths": { &host: auth("user") } }), json!({ "credHelpers": { &host: "is-not-there" } })]
        {
            let config = DockerConfig::inline("LOGINS", &entries.to_string(), OsStr::new("")).unwrap();
            let peer = Peer::new(&host, quick(), config);
            let before = registry.requests().len();
            for repository in ["a", "b", "a"] {
                let path = repository.parse().unwrap();
                let error = peer.client.get_manifest(&path, &tag(), Visibility::Settled).await.unwrap_err();
                assert!(error.is_not_found(), "{error}");
            }
            let asked: Vec<_> = registry.requests()[before..].iter().map(|request| request.target.clone()).collect();
            let [a, b] = ["/v2/a/manifests/1.0", "/v2/b/manifests/1.0"];
            assert_eq!(asked, [a, "/v2/", b, a]);
        }
    }
    // One that hides what it has is told that there is a helper, and which.
    let registry = hiding(404, asks).await;
    let entries = json!({ "credHelpers": { registry.host(): "is-not-there" } }).to_string();
    let peer = Peer::new(&registry.host(), quick(), DockerConfig::inline("LOGINS", &entries, OsStr::new("")).unwrap());
    let error = peer.client.get_manifest(&"a".parse().unwrap(), &tag(), Visibility::Settled).await.unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::Credential(_)) && error.hint().unwrap().contains("is-not-there"),
        "{error}"
    );
}

#[tokio::test]
async fn registry_token_of_docker_config_is_sent_unchanged() {
    let registry = ScriptedRegistry::stateful(|request| {
        let realm = format!(r#"Bearer realm="http://{}/token""#, request.header("host").unwrap());
        let known = request.header("authorization") == Some(&format!("Bearer {CANARY}"));
        let refused = || status(401).header("WWW-Authenticate", realm);
        (request.target != "/token").then(|| if known { index() } else { refused() })
    })
    .await;
    let of = |token: &str| {
        let entry = json!({ "auths": { registry.host(): { "registrytoken": token } } }).to_string();
        let config = DockerConfig::inline("LOGINS", &entry, OsStr::new("")).unwrap();
        Peer::new(&registry.host(), quick(), config)
    };
    of(CANARY).get().await.unwrap();
    let error = of("another").get().await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::LoginRefused(_)), "{error}");
}
