//! Docker's `config.json`, read as the docker CLI reads it (docker/cli, `cli/config`).

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::future::BoxFuture;
use serde::Deserialize;

use super::{AuthError, Credential, CredentialSource, Secret, helper};
use crate::oci::RegistryHost;

/// Largest configuration that is read, in bytes.
const MAX_CONFIG: u64 = 1 << 20;
/// Docker Hub's key in `config.json` and at helpers.
const HUB_KEY: &str = "https://index.docker.io/v1/";

/// The credentials that `docker login` left.
///
/// Which entry answers for a host is decided as the docker CLI decides it: its helper in `credHelpers`, else
/// the store in `credsStore`, else `auths`. A helper that knows nothing of the host means anonymous, and
/// one that is missing is an error; neither falls through to another entry.
#[derive(Debug, Clone)]
pub struct DockerConfig {
    file: PathBuf,
    path: OsString,
    content: Content,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Content {
    auths: BTreeMap<String, Entry>,
    cred_helpers: BTreeMap<String, String>,
    creds_store: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
struct Entry {
    #[serde(deserialize_with = "secret")]
    auth: Secret,
    username: String,
    #[serde(deserialize_with = "secret")]
    password: Secret,
    #[serde(deserialize_with = "secret")]
    identitytoken: Secret,
}

impl Default for Entry {
    fn default() -> Self {
        let empty = Secret::new("");
        Self { auth: empty.clone(), username: String::new(), password: empty.clone(), identitytoken: empty }
    }
}

fn secret<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
    String::deserialize(deserializer).map(Secret::new)
}

impl DockerConfig {
    /// Reads `config.json` in `dir` (docker's `DOCKER_CONFIG`, by default `~/.docker`); where there is none,
    /// everybody is anonymous. Helpers are looked for in the directories of `path` (the `PATH` variable).
    ///
    /// # Errors
    /// The file is there and cannot be read, is larger than 1 MiB, or is not of docker's shape.
    pub fn load(dir: &Path, path: &OsStr) -> Result<Self, AuthError> {
        let file = dir.join("config.json");
        let content = match read(&file) {
            Ok(bytes) if bytes.len() as u64 > MAX_CONFIG => {
                return Err(AuthError::Large { path: file, limit: MAX_CONFIG });
            }
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| AuthError::Parse {
                path: file.clone(),
                line: error.line(),
                column: error.column(),
            })?,
            Err(error) if error.kind() == ErrorKind::NotFound => Content::default(),
            Err(source) => return Err(AuthError::Read { path: file, source }),
        };
        Ok(Self { file, path: path.to_owned(), content })
    }

    /// The helper that answers for `host`, if one is configured.
    fn helper(&self, host: &RegistryHost) -> Option<&str> {
        let store = Some(self.content.creds_store.as_str()).filter(|store| !store.is_empty());
        lookup(&self.content.cred_helpers, host).map(|(_, name)| name.as_str()).or(store)
    }

    fn entry(&self, host: &RegistryHost) -> Result<Credential, AuthError> {
        let Some((key, entry)) = lookup(&self.content.auths, host) else { return Ok(Credential::Anonymous) };
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
    fn credential<'a>(&'a self, host: &'a RegistryHost) -> BoxFuture<'a, Result<Credential, AuthError>> {
        Box::pin(async move {
            match self.helper(host) {
                Some(name) => helper::get(&self.path, name, server(host)).await,
                None => self.entry(host),
            }
        })
    }
}

/// One byte more than the limit at most, so that the caller can tell.
fn read(file: &Path) -> std::io::Result<zeroize::Zeroizing<Vec<u8>>> {
    let mut bytes = zeroize::Zeroizing::new(Vec::new());
    File::open(file)?.take(MAX_CONFIG + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What docker calls the host's server in its configuration and at helpers.
fn server(host: &RegistryHost) -> &str {
    if host.is_docker_hub() { HUB_KEY } else { host.as_str() }
}

/// The entry of `host`: the one under its own key, else one whose key names it with a scheme or a path.
fn lookup<'a, T>(entries: &'a BTreeMap<String, T>, host: &RegistryHost) -> Option<(&'a str, &'a T)> {
    let exact = entries.get_key_value(server(host));
    let found = exact.or_else(|| entries.iter().find(|(key, _)| names(key, host)))?;
    Some((found.0, found.1))
}

/// Whether a key names the host: `host`, `https://host`, `https://host/v2/`. Docker keeps tokens of its own
/// under paths of Docker Hub (`…/v1/access-token`): with a path, only Hub's own key names it.
fn names(key: &str, host: &RegistryHost) -> bool {
    let rest = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
    let (name, path) = rest.split_once('/').unwrap_or((rest, ""));
    let is_plain = path.is_empty() || !host.is_docker_hub();
    is_plain && name.parse::<RegistryHost>().is_ok_and(|named| named == *host)
}

/// `base64(user:password)`; docker itself pads the password with NUL at times.
fn decode(auth: &str) -> Option<(String, Secret)> {
    let bytes = zeroize::Zeroizing::new(STANDARD.decode(auth.trim()).ok()?);
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
        Ok(match config.credential(&host).await? {
            Credential::Anonymous => "anonymous".to_owned(),
            Credential::Basic { username, password } => format!("{username}:{}", password.expose()),
            Credential::IdentityToken(token) => format!("token {}", token.expose()),
        })
    }

    #[tokio::test]
    async fn where_there_is_no_file_everybody_is_anonymous() {
        let dir = tempfile::tempdir().unwrap();
        let config = DockerConfig::load(dir.path(), OsStr::new("")).unwrap();
        assert_eq!(who(&config, "ghcr.io").await.unwrap(), "anonymous");
    }

    #[tokio::test]
    async fn finds_the_entry_of_a_host_and_of_no_other() {
        let config = config(
            r#"{"auths": {
                "https://index.docker.io/v1/": {"auth": "aHViOnBhc3M6d29yZA=="},
                "https://ghcr.io/v2/": {"username": "u", "password": "p"},
                "registry.example:5000": {"auth": "ignored", "identitytoken": "refresh"},
                "empty.example": {},
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
            ("nul.example", "u:p"),
        ];
        for (host, credential) in expected {
            assert_eq!(who(&config, host).await.unwrap(), credential, "{host}");
        }
    }

    #[tokio::test]
    async fn tokens_that_docker_keeps_for_itself_are_no_logins() {
        let config = config(r#"{"auths": {"https://index.docker.io/v1/access-token": {"auth": "dTpw"}}}"#);
        assert_eq!(who(&config, "docker.io").await.unwrap(), "anonymous");
    }

    #[tokio::test]
    async fn v32_a_configured_helper_is_never_passed_over() {
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
    async fn a_store_that_knows_nothing_of_the_host_is_not_passed_over() {
        let dir = super::super::testing::helper("empty", "echo credentials not found in native keychain; exit 1");
        let json = r#"{"auths": {"a.example": {"auth": "dTpw"}}, "credsStore": "empty"}"#;
        std::fs::write(dir.path().join("config.json"), json).unwrap();
        let config = DockerConfig::load(dir.path(), dir.path().as_os_str()).unwrap();
        assert_eq!(who(&config, "a.example").await.unwrap(), "anonymous");
    }

    #[tokio::test]
    async fn v38_no_error_and_no_debug_shows_a_secret() {
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
    fn refuses_a_file_larger_than_any_configuration() {
        let json = format!(r#"{{"x": "{}"}}"#, "a".repeat(1 << 20));
        assert!(matches!(load(&json), Err(AuthError::Large { .. })));
    }
}
