//! Finds the registry that belongs to a git remote: GitHub and GitLab have one for each project.

use std::fmt;

/// A registry and the place of the project in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) host: &'static str,
    pub(super) namespace: String,
    /// The host of the git remote.
    pub(super) remote: &'static str,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.namespace)
    }
}

/// The registry for the URL of a remote, if its host has one.
pub(super) fn registry(url: &str) -> Option<Found> {
    let (host, path) = parts(url)?;
    let path = path.trim_matches('/').trim_end_matches(".git").to_lowercase();
    let has_project =
        path.contains('/') && path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte));
    if !has_project {
        return None;
    }
    match host {
        "github.com" | "ssh.github.com" => {
            // Images belong to the owner, and not to a repository.
            let owner = path.split('/').next()?.to_owned();
            Some(Found { host: "ghcr.io", namespace: owner, remote: "github.com" })
        }
        // An image of GitLab lies below its project.
        "gitlab.com" | "altssh.gitlab.com" => {
            Some(Found { host: "registry.gitlab.com", namespace: path, remote: "gitlab.com" })
        }
        _ => None,
    }
}

/// The host and the path of `https://USER@HOST:PORT/PATH`, `ssh://HOST/PATH` or `USER@HOST:PATH`.
fn parts(url: &str) -> Option<(&str, &str)> {
    let (authority, path) = match url.split_once("://") {
        Some((_, rest)) => rest.split_once('/')?,
        None => url.split_once(':')?,
    };
    let host = authority.rsplit('@').next()?;
    Some((host.split(':').next()?, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registry_belongs_to_the_host_of_the_remote() {
        for (url, wanted) in [
            ("https://github.com/Acme/web.git", Some("ghcr.io/acme")),
            ("https://token:secret@github.com/acme/web", Some("ghcr.io/acme")),
            ("git@github.com:acme/web.git", Some("ghcr.io/acme")),
            ("ssh://git@ssh.github.com:443/acme/web.git", Some("ghcr.io/acme")),
            ("git@gitlab.com:Acme/shop/web.git", Some("registry.gitlab.com/acme/shop/web")),
            ("https://git.example.com/acme/web.git", None),
            ("https://github.com.example.com/acme/web", None),
            ("/srv/git/web.git", None),
            ("git@github.com:acme", None),
            ("https://github.com/a b/web", None),
        ] {
            assert_eq!(registry(url).map(|found| found.to_string()).as_deref(), wanted, "{url}");
        }
    }
}
