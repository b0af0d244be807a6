//! Docker's `config.json` and podman's `auth.json`, which has the same form (containers-auth.json(5)). polyarch reads
//! both as the docker CLI reads its own (docker/cli, `cli/config`).

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use futures::future::BoxFuture;
use serde::de::MapAccess;

use super::proxies::{BuildProxies, Proxy};
use super::{AuthError, Credential, CredentialSource, Secret, helper};
use crate::oci::loose::{self, Loose, Object};
use crate::oci::{RegistryHost, RepositoryPath};

/// The largest configuration that polyarch reads, in bytes.
const MAX_CONFIG: u64 = 1 << 20;
/// Go's base64, which ignores the bits after the last byte.
const GO: GeneralPurpose =
    GeneralPurpose::new(&alphabet::STANDARD, GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true));
/// Docker Hub's key in `config.json` and in credential helpers.
const HUB_KEY: &str = "https://index.docker.io/v1/";

/// The credentials that `docker login` or `podman login` saved.
///
/// The docker CLI's rules select the entry for a host: its helper in `credHelpers`, else the store in `credsStore`,
/// else `auths`. An entry for a part of the host (`quay.io/org`, from podman) takes precedence over the store. The
/// longest such entry wins. If the selected helper knows no login for the host, polyarch is anonymous there. If that
/// helper does not exist, polyarch reports an error. In both cases polyarch tries no other entry.
#[derive(Debug, Clone)]
pub struct DockerConfig {
    file: PathBuf,
    path: OsString,
    content: Content,
}

/// docker/cli, `cli/config/configfile`, `ConfigFile`.
#[derive(Debug, Clone, Default)]
struct Content {
    auths: BTreeMap<String, Loose<Entry>>,
    cred_helpers: BTreeMap<String, String>,
    creds_store: String,
    proxies: BTreeMap<String, Loose<Proxy>>,
}

/// docker/cli, `cli/config/types`, `AuthConfig`.
#[derive(Debug, Clone, Default)]
struct Entry {
    auth: Secret,
    username: String,
    password: Secret,
    identitytoken: Secret,
    registrytoken: Secret,
}

impl Object for Content {
    fn take<'de, A: MapAccess<'de>>(&mut self, name: &str, values: &mut A) -> Result<(), A::Error> {
        match name {
            "auths" => loose::add(&mut self.auths, values),
            "credhelpers" => loose::add(&mut self.cred_helpers, values),
            "credsstore" => loose::set(&mut self.creds_store, values),
            "proxies" => loose::add(&mut self.proxies, values),
            _ => loose::skip(values),
        }
    }
}

impl Object for Entry {
    fn take<'de, A: MapAccess<'de>>(&mut self, name: &str, values: &mut A) -> Result<(), A::Error> {
        match name {
            "auth" => loose::set(&mut self.auth, values),
            "username" => loose::set(&mut self.username, values),
            "password" => loose::set(&mut self.password, values),
            "identitytoken" => loose::set(&mut self.identitytoken, values),
            "registrytoken" => loose::set(&mut self.registrytoken, values),
            _ => loose::skip(values),
        }
    }
}

impl DockerConfig {
    /// Reads `config.json` in `dir` (docker's `DOCKER_CONFIG`, by default `~/.docker`). If the file does not exist,
    /// every access is anonymous. polyarch searches helpers in the directories of `path` (the `PATH` variable).
    ///
    /// # Errors
    /// As for [`Self::read`].
    pub fn load(dir: &Path, path: &OsStr) -> Result<Self, AuthError> {
        let file = dir.join("config.json");
        let absent = || Self { file: file.clone(), path: path.to_owned(), content: Content::default() };
        Ok(Self::read(&file, path)?.unwrap_or_else(absent))
    }

    /// Reads `file`, or returns `None` if the file does not exist. polyarch searches helpers in the directories of
    /// `path`.
    ///
    /// # Errors
    /// The file exists, but polyarch cannot read it, it is larger than 1 MiB, or it does not have docker's form.
    pub fn read(file: &Path, path: &OsStr) -> Result<Option<Self>, AuthError> {
        match read(file) {
            Ok(bytes) => Self::parse(file.to_owned(), &bytes, path).map(Some),
            Err(error) if is_no_file(&error) => Ok(None),
            Err(source) => Err(AuthError::Read { path: file.to_owned(), source }),
        }
    }

    /// Reads `text`, the value of `variable` (docker's `DOCKER_AUTH_CONFIG`).
    ///
    /// # Errors
    /// The text is larger than 1 MiB, or it does not have docker's form.
    pub fn inline(variable: &str, text: &str, path: &OsStr) -> Result<Self, AuthError> {
        Self::parse(variable.into(), text.as_bytes(), path)
    }

    fn parse(file: PathBuf, bytes: &[u8], path: &OsStr) -> Result<Self, AuthError> {
        if bytes.len() as u64 > MAX_CONFIG {
            return Err(AuthError::Large { path: file, limit: MAX_CONFIG });
        }
        let invalid = |error: serde_json::Error| AuthError::Parse {
            path: file.clone(),
            line: error.line(),
            column: error.column(),
        };
        let content = loose::read(bytes).map_err(invalid)?;
        Ok(Self { file, path: path.to_owned(), content })
    }

    /// The proxies that this configuration sets for builds.
    #[must_use]
    pub fn build_proxies(&self) -> BuildProxies {
        BuildProxies(self.content.proxies.clone())
    }

    /// Whether `credHelpers` names a helper for `host`.
    pub(super) fn names_helper(&self, host: &RegistryHost) -> bool {
        lookup(&self.content.cred_helpers, host).is_some_and(|(_, name)| !name.is_empty())
    }

    /// The smallest part of `host` that contains `within` and has an entry, with that entry.
    fn part(&self, host: &RegistryHost, within: &RepositoryPath) -> Option<(RepositoryPath, &str, &Entry)> {
        let parts =
            self.content.auths.iter().filter_map(|(key, entry)| Some((part(key, host)?, key.as_str(), &entry.0)));
        parts.filter(|(part, ..)| holds(part, within)).max_by_key(|(part, ..)| part.as_str().len())
    }

    fn entry(&self, key: &str, entry: &Entry) -> Result<Credential, AuthError> {
        // Engines use this order (moby, `distribution/registry.go`).
        if !entry.registrytoken.is_empty() {
            return Ok(Credential::RegistryToken(entry.registrytoken.clone()));
        }
        if !entry.identitytoken.is_empty() {
            return Ok(Credential::IdentityToken(entry.identitytoken.clone()));
        }
        if !entry.auth.is_empty() {
            let malformed = || AuthError::Entry { path: self.file.clone(), server: key.to_owned() };
            let (username, password) = decode(entry.auth.expose()).ok_or_else(malformed)?;
            return Ok(Credential::Basic { username, password });
        }
        if entry.username.is_empty() {
            return Ok(Credential::Anonymous);
        }
        Ok(Credential::Basic { username: entry.username.clone(), password: entry.password.clone() })
    }
}

impl CredentialSource for DockerConfig {
    fn credential<'a>(
        &'a self,
        host: &'a RegistryHost,
        within: Option<&'a RepositoryPath>,
    ) -> BoxFuture<'a, Result<Credential, AuthError>> {
        Box::pin(async move {
            // An empty helper name selects `auths`, even if there is a store (docker/cli,
            // `getConfiguredCredentialStore`).
            let own = lookup(&self.content.cred_helpers, host).map(|(_, name)| name.as_str());
            if let Some(name) = own.filter(|name| !name.is_empty()) {
                return helper::get(&self.path, name, server(host)).await;
            }
            if let Some((_, key, entry)) = within.and_then(|within| self.part(host, within)) {
                let credential = self.entry(key, entry)?;
                if !matches!(credential, Credential::Anonymous) {
                    return Ok(credential);
                }
            }
            let store = own.unwrap_or(&self.content.creds_store);
            if !store.is_empty() {
                return helper::get(&self.path, store, server(host)).await;
            }
            lookup(&self.content.auths, host)
                .map_or(Ok(Credential::Anonymous), |(key, entry)| self.entry(key, &entry.0))
        })
    }

    fn may_know(&self, host: &RegistryHost) -> bool {
        let Content { auths, creds_store, .. } = &self.content;
        let has_part = || auths.keys().any(|key| part(key, host).is_some());
        !creds_store.is_empty() || self.names_helper(host) || lookup(auths, host).is_some() || has_part()
    }

    fn namespace(&self, host: &RegistryHost, repository: &RepositoryPath) -> Option<RepositoryPath> {
        self.part(host, repository).map(|(part, ..)| part)
    }
}

/// Whether the file does not exist. A directory counts as no file: docker creates one if a container mounts a file that
/// does not exist.
fn is_no_file(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::IsADirectory)
}

/// Reads at most one byte more than the limit, so that the caller sees when the file is too large.
fn read(file: &Path) -> std::io::Result<zeroize::Zeroizing<Vec<u8>>> {
    let mut bytes = zeroize::Zeroizing::new(Vec::new());
    File::open(file)?.take(MAX_CONFIG + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Docker's name for the host in its configuration and for its helpers.
fn server(host: &RegistryHost) -> &str {
    if host.is_docker_hub() { HUB_KEY } else { host.as_str() }
}

/// The entry of `host`: the one under its own key, else one whose key names it with a scheme or a path.
fn lookup<'a, T>(entries: &'a BTreeMap<String, T>, host: &RegistryHost) -> Option<(&'a str, &'a T)> {
    let exact = entries.get_key_value(server(host));
    let found = exact.or_else(|| entries.iter().find(|(key, _)| names(key, host)))?;
    Some((found.0, found.1))
}

/// Whether a key names the host: `host`, `https://host`, `https://host/v2/`. Docker keeps other tokens under paths of
/// Docker Hub (`…/v1/access-token`), so with a path only Hub's own key names it. Without a scheme, a path names a part
/// of the host, unless it is the path of the API.
fn names(key: &str, host: &RegistryHost) -> bool {
    let url = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://"));
    let (name, path) = url.unwrap_or(key).split_once('/').unwrap_or((url.unwrap_or(key), ""));
    let is_whole = path.is_empty() || !host.is_docker_hub() && (url.is_some() || is_api(path));
    is_whole && name.parse::<RegistryHost>().is_ok_and(|named| named == *host)
}

/// The part of `host` that a key names: a namespace or a repository, `org` or `org/web`.
fn part(key: &str, host: &RegistryHost) -> Option<RepositoryPath> {
    let (name, path) = key.split_once('/')?;
    let is_of_host = name.parse::<RegistryHost>().is_ok_and(|named| named == *host);
    if is_of_host && !is_api(path) { path.trim_end_matches('/').parse().ok() } else { None }
}

/// Whether a path is the path of an API version. Old configurations append one to the host.
fn is_api(path: &str) -> bool {
    matches!(path.trim_end_matches('/'), "v1" | "v2")
}

/// Whether `part` is `repository` or a namespace that contains it.
fn holds(part: &RepositoryPath, repository: &RepositoryPath) -> bool {
    let rest = repository.as_str().strip_prefix(part.as_str());
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Decodes `base64(user:password)`, also in several lines as the program `base64` writes it. Docker itself sometimes
/// pads the password with NUL.
fn decode(auth: &str) -> Option<(String, Secret)> {
    let auth = zeroize::Zeroizing::new(auth.trim().replace(['\r', '\n'], ""));
    let bytes = zeroize::Zeroizing::new(GO.decode(&*auth).ok()?);
    let (username, password) = std::str::from_utf8(&bytes).ok()?.split_once(':')?;
    Some((username.to_owned(), Secret::new(password.trim_matches('\0'))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(json: &str) -> DockerConfig {
        load(json).unwrap()
    }

    fn load(json: &str) -> Result<DockerConfig, AuthError> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("config.json"), json).unwrap();
        DockerConfig::load(dir.path(), OsStr::new(""))
    }

    /// `user:password`, `token …` or `anonymous`.
    async fn who(config: &DockerConfig, host: &str) -> Result<String, AuthError> {
        let host = host.parse().unwrap();
        Ok(match config.credential(&host, None).await? {
            Credential::Anonymous => "anonymous".to_owned(),
            Credential::Basic { username, password } => format!("{username}:{}", password.expose()),
            Credential::IdentityToken(token) => format!("token {}", token.expose()),
            Credential::RegistryToken(token) => format!("bearer {}", token.expose()),
        })
    }

    #[tokio::test]
    async fn missing_docker_config_means_anonymous_access() {
        let dir = tempfile::tempdir().unwrap();
        let config = DockerConfig::load(dir.path(), OsStr::new("")).unwrap();
        assert_eq!(who(&config, "ghcr.io").await.unwrap(), "anonymous");
    }

    #[tokio::test]
    async fn docker_config_finds_only_the_entry_of_the_host() {
        let config = config(
            r#"{"auths": {
                "https://index.docker.io/v1/": {"auth": "aHViOnBhc3M6d29yZA=="},
                "https://ghcr.io/v2/": {"username": "u", "password": "p"},
                "registry.example:5000": {"auth": "ignored", "identitytoken": "refresh"},
                "empty.example": {},
                "token.example": {"auth": "dTpw", "identitytoken": "refresh", "registrytoken": "access"},
                "nul.example": {"auth": "dTpwAAA="}
            }, "HttpHeaders": {"X": "y"}, "currentContext": "c"}"#,
        );
        let expected = [
            ("docker.io", "hub:pass:word"),
            ("index.docker.io", "hub:pass:word"),
            ("ghcr.io", "u:p"),
            ("GHCR.io", "u:p"),
            ("registry.example:5000", "token refresh"),
            ("registry.example", "anonymous"),
            ("ghcr.io.evil.example", "anonymous"),
            ("evil.ghcr.io", "anonymous"),
            ("empty.example", "anonymous"),
            ("token.example", "bearer access"),
            ("nul.example", "u:p"),
        ];
        for (host, credential) in expected {
            assert_eq!(who(&config, host).await.unwrap(), credential, "{host}");
        }
    }

    #[tokio::test]
    async fn docker_config_accepts_all_forms_of_the_docker_cli() {
        for empty in ["", "\n", "null", "{}", r#"{"auths":null,"credHelpers":null,"credsStore":null}"#] {
            assert_eq!(who(&config(empty), "a.example").await.unwrap(), "anonymous", "{empty:?}");
        }
        for known in [
            r#"{"Auths":{"a.example":{"AUTH":"dTpw"}}}"#,
            r#"{"auths":{"a.example":{"auth":"dT\r\npw\n"}}}"#,
            r#"{"auths":{"a.example":{"auth":"dTpw","email":null,"identitytoken":null,"username":null}}}"#,
            r#"{"auths":{"a.example":{"username":"u","Password":"p","auth":null}}}"#,
            r#"{"auths":{"a.example":null,"b.example":{"auth":"dTpw"}},"AUTHS":{"a.example":{"auth":"dTpw"}}}"#,
            r#"{"auths":{"a.example":{"auth":"dTpw"}}} trailing"#,
            r#"{"auths":{"a.example":{"auth":"dTpw"}},"credsStore":"gone","credHelpers":{"a.example":""}}"#,
            r#"{"auths":{"a.example":{"auth":"dTpw"}},"credsStore":"gone","credHelpers":{"a.example":null}}"#,
        ] {
            assert_eq!(who(&config(known), "a.example").await.unwrap(), "u:p", "{known}");
        }
        let bits = config(r#"{"auths":{"a.example":{"auth":"dTpwcA="},"b.example":{"auth":"dTpwcB=="}}}"#);
        assert!(matches!(who(&bits, "a.example").await, Err(AuthError::Entry { .. })), "padding that is missing");
        assert_eq!(who(&bits, "b.example").await.unwrap(), "u:pp");
    }

    #[tokio::test]
    async fn docker_config_that_is_a_directory_has_no_logins() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("config.json")).unwrap();
        let config = DockerConfig::load(dir.path(), OsStr::new("")).unwrap();
        assert_eq!(who(&config, "ghcr.io").await.unwrap(), "anonymous");
    }

    #[test]
    fn docker_config_may_know_a_host_that_it_mentions() {
        for (json, may) in [
            (r#"{"auths":{"a.example":{}}}"#, true),
            (r#"{"auths":{"https://a.example/v2/":{}}}"#, true),
            (r#"{"auths":{"a.example/org":{}}}"#, true),
            (r#"{"credHelpers":{"a.example":"gone"}}"#, true),
            (r#"{"credsStore":"gone"}"#, true),
            (r#"{"credHelpers":{"a.example":""}}"#, false),
            (r#"{"auths":{"b.example":{}},"credHelpers":{"b.example":"gone"}}"#, false),
            ("{}", false),
        ] {
            assert_eq!(config(json).may_know(&"a.example".parse().unwrap()), may, "{json}");
        }
    }

    #[tokio::test]
    async fn internal_docker_hub_tokens_are_not_logins() {
        let config = config(r#"{"auths": {"https://index.docker.io/v1/access-token": {"auth": "dTpw"}}}"#);
        assert_eq!(who(&config, "docker.io").await.unwrap(), "anonymous");
    }

    #[tokio::test]
    async fn docker_config_never_skips_a_configured_helper() {
        let json = r#"{"auths": {"a.example": {"auth": "dTpw"}, "b.example": {"auth": "dTpw"}}, HELPER}"#;
        let of_one = config(&json.replace("HELPER", r#""credHelpers": {"a.example": "nope"}"#));
        let error = who(&of_one, "a.example").await.unwrap_err();
        assert!(error.to_string().contains("docker-credential-nope"), "{error}");
        assert_eq!(who(&of_one, "b.example").await.unwrap(), "u:p");
        let of_all =
            config(&json.replace("HELPER", r#""credsStore": "gone", "credHelpers": {"https://a.example": "nope"}"#));
        assert!(who(&of_all, "a.example").await.unwrap_err().to_string().contains("-nope"));
        assert!(who(&of_all, "b.example").await.unwrap_err().to_string().contains("-gone"));
    }

    #[tokio::test]
    async fn docker_config_never_skips_an_empty_credential_store() {
        let dir = super::super::testing::helper("empty", "echo credentials not found in native keychain; exit 1");
        let json = r#"{"auths": {"a.example": {"auth": "dTpw"}}, "credsStore": "empty"}"#;
        std::fs::write(dir.path().join("config.json"), json).unwrap();
        let config = DockerConfig::load(dir.path(), dir.path().as_os_str()).unwrap();
        assert_eq!(who(&config, "a.example").await.unwrap(), "anonymous");
    }

    #[tokio::test]
    async fn docker_config_errors_and_debug_show_no_secret() {
        let canary = "canary-7f3a";
        let bad = config(&format!(r#"{{"auths": {{"a.example": {{"auth": "{canary}!", "password": "{canary}"}}}}}}"#));
        let error = who(&bad, "a.example").await.unwrap_err();
        assert!(!format!("{bad:?} {bad:#?} {error} {error:?}").contains(canary), "{error:?}");
        for json in [format!(r#"{{"auths": "{canary}"}}"#), format!("{{{canary}")] {
            let error = load(&json).unwrap_err();
            assert!(matches!(error, AuthError::Parse { line: 1, .. }), "{error}");
            assert!(!format!("{error} {error:?}").contains(canary), "{error:?}");
        }
    }

    #[test]
    fn docker_config_larger_than_its_limit_is_refused() {
        let json = format!(r#"{{"x": "{}"}}"#, "a".repeat(1 << 20));
        assert!(matches!(load(&json), Err(AuthError::Large { .. })));
    }
}
