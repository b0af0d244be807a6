//! Several configurations with logins, in order.

use futures::future::BoxFuture;
use tokio::time::Instant;

use super::{AuthError, Credential, CredentialSource, DockerConfig};
use crate::oci::{RegistryHost, RepositoryPath};

/// The logins of several configurations. The first configuration that has a login for the host answers. If a
/// configuration names a helper that does not exist, polyarch reports an error and asks no later configuration.
#[derive(Debug, Clone, Default)]
pub struct Logins(Vec<DockerConfig>);

impl Logins {
    /// The logins of `configs`, in their order.
    #[must_use]
    pub fn of(configs: Vec<DockerConfig>) -> Self {
        Self(configs)
    }

    /// Whether the user named a helper for `host` itself, and not for all hosts.
    #[must_use]
    pub fn names_helper(&self, host: &RegistryHost) -> bool {
        self.0.iter().any(|config| config.names_helper(host))
    }
}

impl CredentialSource for Logins {
    fn credential<'a>(
        &'a self,
        host: &'a RegistryHost,
        within: Option<&'a RepositoryPath>,
    ) -> BoxFuture<'a, Result<Credential, AuthError>> {
        Box::pin(async move {
            for config in &self.0 {
                let credential = config.credential(host, within).await?;
                if !matches!(credential, Credential::Anonymous) {
                    return Ok(credential);
                }
            }
            Ok(Credential::Anonymous)
        })
    }

    fn may_know(&self, host: &RegistryHost) -> bool {
        self.0.iter().any(|config| config.may_know(host))
    }

    fn namespace(&self, host: &RegistryHost, repository: &RepositoryPath) -> Option<RepositoryPath> {
        let namespaces = self.0.iter().filter_map(|config| config.namespace(host, repository));
        namespaces.max_by_key(|namespace| namespace.as_str().len())
    }

    fn spent_at(&self, host: &RegistryHost) -> Option<Instant> {
        self.0.iter().filter_map(|config| config.spent_at(host)).min()
    }

    fn refused(&self, host: &RegistryHost, credential: &Credential) {
        for config in &self.0 {
            config.refused(host, credential);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    fn config(entries: &[(&str, &str)], more: &str) -> DockerConfig {
        let entry =
            |(key, user): &(&str, &str)| format!(r#""{key}":{{"auth":"{}"}}"#, STANDARD.encode(format!("{user}:p")));
        let entries = entries.iter().map(entry).collect::<Vec<_>>().join(",");
        DockerConfig::inline("LOGINS", &format!(r#"{{"auths":{{{entries}}}{more}}}"#), OsStr::new("")).unwrap()
    }

    async fn who(source: &dyn CredentialSource, host: &str, repository: &str) -> String {
        let (host, repository) = (host.parse().unwrap(), repository.parse().unwrap());
        let asked = source.credential(&host, Some(&repository)).await.unwrap();
        // The login that polyarch keeps for the namespace is the login that the repository needs.
        let within = source.namespace(&host, &repository);
        let kept = source.credential(&host, within.as_ref()).await.unwrap();
        let name = |credential: Credential| match credential {
            Credential::Anonymous => "anonymous".to_owned(),
            Credential::Basic { username, .. } => username,
            Credential::IdentityToken(_) | Credential::RegistryToken(_) => "token".to_owned(),
        };
        let (asked, kept) = (name(asked), name(kept));
        assert_eq!(asked, kept, "{host}/{repository} within {within:?}");
        asked
    }

    #[tokio::test]
    async fn most_specific_login_of_a_registry_is_used() {
        let config = config(
            &[
                ("quay.io", "host"),
                ("quay.io/org", "org"),
                ("quay.io/org/web", "web"),
                ("https://docker.example/v1/", "api"),
                ("old.example/v2", "old"),
                ("docker.io/acme", "hub"),
                ("r.example:5000/only", "only"),
            ],
            "",
        );
        for (host, repository, user) in [
            ("quay.io", "other", "host"),
            ("quay.io", "organisation/web", "host"),
            ("quay.io", "org/api", "org"),
            ("quay.io", "org/web", "web"),
            ("quay.io", "org/web/debug", "web"),
            ("quay.io", "org/website", "org"),
            ("docker.example", "a", "api"),
            ("old.example", "v2/web", "old"),
            ("docker.io", "acme/web", "hub"),
            ("docker.io", "library/alpine", "anonymous"),
            ("r.example:5000", "only", "only"),
            ("r.example:5000", "other", "anonymous"),
            ("r.example", "only", "anonymous"),
        ] {
            assert_eq!(who(&config, host, repository).await, user, "{host}/{repository}");
        }
    }

    #[tokio::test]
    async fn first_configuration_with_a_login_is_used() {
        let first = config(&[("a.example", "first"), ("b.example/org", "first")], "");
        let second = config(&[("a.example/org", "second"), ("b.example", "second"), ("c.example", "second")], "");
        let logins = Logins::of(vec![first, second]);
        for (host, repository, user) in [
            ("a.example", "org/web", "first"),
            ("b.example", "org/web", "first"),
            ("b.example", "web", "second"),
            ("c.example", "web", "second"),
            ("d.example", "web", "anonymous"),
        ] {
            assert_eq!(who(&logins, host, repository).await, user, "{host}/{repository}");
        }
    }

    #[tokio::test]
    async fn missing_helper_does_not_fall_back_to_the_next_config() {
        let first = config(&[], r#","credHelpers":{"a.example":"nope"}"#);
        let logins = Logins::of(vec![first, config(&[("a.example", "second"), ("b.example", "second")], "")]);
        let error = logins.credential(&"a.example".parse().unwrap(), None).await.unwrap_err();
        assert!(error.to_string().contains("docker-credential-nope"), "{error}");
        assert_eq!(who(&logins, "b.example", "web").await, "second");
    }
}
