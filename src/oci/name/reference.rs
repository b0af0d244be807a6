//! Names of registries and repositories, and of the images in them.
//!
//! The grammar follows the OCI distribution-spec, "Pull: name, reference". The form of hosts and the defaults of
//! `docker.io` follow the `reference` package of the distribution project, which the docker CLI uses.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::oci::{Digest, DigestError};

/// The longest name of a repository including its host (distribution's `NameTotalLengthMax`).
const MAX_NAME: usize = 255;
/// The longest tag (OCI distribution-spec).
const MAX_TAG: usize = 128;
/// The host of Docker Hub's API.
const HUB_API: &str = "registry-1.docker.io";
/// The namespace of Docker Hub's repositories without a namespace.
const LIBRARY: &str = "library/";

/// A registry: `host` or `host:port`. Docker Hub is `docker.io` in every spelling.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegistryHost(Box<str>);

/// The name of a repository inside its registry: `org/hello`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepositoryPath(Box<str>);

/// A repository of a registry: `ghcr.io/org/hello`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Repository {
    host: RegistryHost,
    path: RepositoryPath,
}

/// A tag: at most 128 letters, digits, `_`, `.` and `-`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(Box<str>);

/// A tag in its repository, or in another place with tags.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TagRef<R = Repository> {
    /// The repository.
    pub repository: R,
    /// The tag.
    pub tag: Tag,
}

/// Content by digest in its repository, or in another place with content.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DigestRef<R = Repository> {
    /// The repository.
    pub repository: R,
    /// The digest.
    pub digest: Digest,
}

/// The tag or the digest that selects content in a repository: `<reference>` in the OCI distribution-spec.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Selector {
    /// A tag. Its content may change.
    Tag(Tag),
    /// A digest. Its content cannot change.
    Digest(Digest),
}

/// A reference as a person writes it: `host/repository[:tag][@digest]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    /// The repository.
    pub repository: Repository,
    /// The digest, or else the tag. The default is `latest`.
    pub selector: Selector,
}

/// Why a string is not a valid name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReferenceError {
    /// The text is not `host` or `host:port`.
    #[error("a registry has the form host or host:port")]
    Host,
    /// The path has a component that registries refuse.
    #[error(
        "a repository has lower-case letters and digits, single `.`, `_` or `-` between them, and `/` between \
            its components"
    )]
    Repository,
    /// The name is valid except for its upper-case letters.
    #[error("registries accept only lower-case letters, as in {0}")]
    Case(String),
    /// The name is longer than 255 characters.
    #[error("a repository has at most {MAX_NAME} characters together with its host")]
    Long,
    /// The text is not a tag.
    #[error("a tag has at most {MAX_TAG} letters, digits, `_`, `.` and `-`, and does not begin with `.` or `-`")]
    Tag,
    /// The part after `@` is not a digest.
    #[error(transparent)]
    Digest(#[from] DigestError),
}

impl RegistryHost {
    /// Docker Hub, as references name it.
    pub const DOCKER_HUB: &'static str = "docker.io";

    /// The host and port as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The host without the port and without the brackets of an IPv6 address.
    #[must_use]
    pub fn name(&self) -> &str {
        let name = match self.0.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
            _ => &self.0,
        };
        name.trim_start_matches('[').trim_end_matches(']')
    }

    /// Whether this is exactly a loopback name or address. `localhost.example.com` and `127.0.0.1.example.com` are
    /// not. polyarch uses unencrypted HTTP for loopback, so this must be exact.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let name = self.name();
        name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }

    /// Whether this is Docker Hub. Its API and its credentials use other host names.
    #[must_use]
    pub fn is_docker_hub(&self) -> bool {
        &*self.0 == Self::DOCKER_HUB
    }

    /// The host of the registry's API. Docker Hub's API is not at the host that references name.
    #[must_use]
    pub fn api(&self) -> &str {
        if self.is_docker_hub() { HUB_API } else { self.as_str() }
    }

    /// The repository `path` in this registry. On Docker Hub, a path without a namespace gets the prefix `library/`.
    ///
    /// # Errors
    /// The host and the path together are too long for registries.
    pub fn repository(&self, path: &RepositoryPath) -> Result<Repository, ReferenceError> {
        let library = self.is_docker_hub() && !path.0.contains('/');
        let path = if library { RepositoryPath(format!("{LIBRARY}{path}").into()) } else { path.clone() };
        if self.0.len() + 1 + path.0.len() > MAX_NAME {
            return Err(ReferenceError::Long);
        }
        Ok(Repository { host: self.clone(), path })
    }
}

impl RepositoryPath {
    /// The path as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path without `library/`, as engines list it and `docker run` accepts it.
    #[must_use]
    pub fn short(&self) -> &str {
        self.0.strip_prefix(LIBRARY).filter(|rest| !rest.contains('/')).unwrap_or(&self.0)
    }

    /// The path behind `namespace`, if there is one.
    ///
    /// # Errors
    /// Both together are too long for registries.
    pub fn within(&self, namespace: Option<&Self>) -> Result<Self, ReferenceError> {
        namespace.map_or_else(|| Ok(self.clone()), |namespace| format!("{namespace}/{self}").parse())
    }
}

impl FromStr for RepositoryPath {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        if !text.split('/').all(is_path_component) {
            let lower = text.to_ascii_lowercase();
            let is_case = lower.split('/').all(is_path_component);
            return Err(if is_case { ReferenceError::Case(lower) } else { ReferenceError::Repository });
        }
        if text.len() > MAX_NAME {
            return Err(ReferenceError::Long);
        }
        Ok(Self(text.into()))
    }
}

impl Repository {
    /// The registry.
    #[must_use]
    pub fn host(&self) -> &RegistryHost {
        &self.host
    }

    /// The name inside the registry: `org/hello`.
    #[must_use]
    pub fn path(&self) -> &RepositoryPath {
        &self.path
    }

    /// The name as docker lists it, without `docker.io` and `library`.
    #[must_use]
    pub fn familiar(&self) -> String {
        if self.host.is_docker_hub() { self.path.short().to_owned() } else { self.to_string() }
    }

    /// A tag in this repository.
    #[must_use]
    pub fn tag(&self, tag: Tag) -> TagRef {
        TagRef { repository: self.clone(), tag }
    }

    /// Content in this repository.
    #[must_use]
    pub fn digest(&self, digest: Digest) -> DigestRef {
        DigestRef { repository: self.clone(), digest }
    }
}

impl Tag {
    /// The tag as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_path_component(component: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = component.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    if !alphanumeric(*first) || !alphanumeric(*last) {
        return false;
    }
    component
        .split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        .all(|separator| matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|b| b == b'-'))
}

/// Whether the first component of a reference is a registry, by the rule of the docker CLI.
fn names_a_host(component: &str) -> bool {
    component == "localhost" || component.contains(['.', ':']) || component.bytes().any(|b| b.is_ascii_uppercase())
}

impl FromStr for RegistryHost {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let (name, port) = match text.rsplit_once(':') {
            Some((name, port)) if !text.ends_with(']') => (name, Some(port)),
            _ => (text, None),
        };
        if port.is_some_and(|p| p.parse::<u16>().map_or(true, |n| n == 0) || p.starts_with('+')) {
            return Err(ReferenceError::Host);
        }
        let v6 = name.strip_prefix('[').and_then(|n| n.strip_suffix(']'));
        let valid = match v6 {
            Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
            None => name.split('.').all(is_host_label),
        };
        if !valid || text.len() > MAX_NAME {
            return Err(ReferenceError::Host);
        }
        // Some names are a host only because of their capitals. Such a name keeps them, as in docker's references.
        let lower = Some(text.to_ascii_lowercase()).filter(|lower| names_a_host(lower) || !names_a_host(text));
        let lower = lower.unwrap_or_else(|| text.to_owned());
        let hub = matches!(&*lower, "index.docker.io" | "registry-1.docker.io" | "registry.hub.docker.com");
        Ok(Self(if hub { Self::DOCKER_HUB.into() } else { lower.into() }))
    }
}

/// Letters, digits and inner `-`. `_` is also allowed, because container networks use it.
fn is_host_label(label: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    !label.is_empty() && label.bytes().all(allowed) && !label.starts_with('-') && !label.ends_with('-')
}

impl FromStr for Tag {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
        if text.is_empty() || text.len() > MAX_TAG || text.starts_with(['.', '-']) || !text.bytes().all(allowed) {
            return Err(ReferenceError::Tag);
        }
        Ok(Self(text.into()))
    }
}

impl FromStr for Repository {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let (host, path) = match text.split_once('/') {
            Some((host, path)) if names_a_host(host) => (host.parse()?, path),
            _ => (RegistryHost(RegistryHost::DOCKER_HUB.into()), text),
        };
        let path = path.parse().map_err(|error| match error {
            // Only its capitals make it a host. More likely it is the namespace of the user.
            ReferenceError::Case(_) if !host.0.contains(['.', ':']) => ReferenceError::Case(text.to_ascii_lowercase()),
            error => error,
        })?;
        host.repository(&path)
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest.parse::<Digest>()?)),
            None => (text, None),
        };
        // A colon after the last slash begins a tag. A colon before it belongs to the port.
        let (name, tag) = match name.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag.parse::<Tag>()?)),
            _ => (name, None),
        };
        let repository = name.parse()?;
        let selector = match (digest, tag) {
            (Some(digest), _) => Selector::Digest(digest),
            (None, Some(tag)) => Selector::Tag(tag),
            (None, None) => Selector::Tag(Tag("latest".into())),
        };
        Ok(Self { repository, selector })
    }
}

impl fmt::Display for RegistryHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for RepositoryPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.path)
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<R: fmt::Display> fmt::Display for TagRef<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.repository, self.tag)
    }
}

impl<R: fmt::Display> fmt::Display for DigestRef<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.repository, self.digest)
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => tag.fmt(f),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let separator = if matches!(self.selector, Selector::Tag(_)) { ':' } else { '@' };
        write!(f, "{}{separator}{}", self.repository, self.selector)
    }
}

/// `Debug` prints the name itself, because these types appear in every error and event.
macro_rules! debug_is_display {
    ($($name:ident $(<$of:ident>)?),*) => {$(
        impl$(<$of: fmt::Display>)? fmt::Debug for $name$(<$of>)? {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    )*};
}
debug_is_display!(RegistryHost, RepositoryPath, Repository, Tag, TagRef<R>, DigestRef<R>);

/// Serialises the name itself, because reports contain references as strings.
macro_rules! serialize_as_display {
    ($($name:ident $(<$of:ident>)?),*) => {$(
        impl$(<$of: fmt::Display>)? serde::Serialize for $name$(<$of>)? {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    )*};
}
serialize_as_display!(RegistryHost, RepositoryPath, Repository, Tag, TagRef<R>, DigestRef<R>, Reference);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn references_are_read_as_by_the_docker_cli() {
        let hex = "a".repeat(64);
        for (written, meant) in [
            ("hello", "docker.io/library/hello:latest".to_owned()),
            ("org/hello:1.0", "docker.io/org/hello:1.0".into()),
            ("index.docker.io/library/hello", "docker.io/library/hello:latest".into()),
            ("localhost/hello", "localhost/hello:latest".into()),
            ("localhost:5000/a/b/c:x", "localhost:5000/a/b/c:x".into()),
            ("127.0.0.1:5000/hello", "127.0.0.1:5000/hello:latest".into()),
            ("[::1]:5000/hello:1", "[::1]:5000/hello:1".into()),
            ("GHCR.io/org/hello", "ghcr.io/org/hello:latest".into()),
            (&format!("ghcr.io/org/hello:1.0@sha256:{hex}"), format!("ghcr.io/org/hello@sha256:{hex}")),
        ] {
            assert_eq!(written.parse::<Reference>().unwrap().to_string(), meant, "{written}");
        }
    }

    #[test]
    fn invalid_reference_is_refused() {
        let long = format!("ghcr.io/{}", "a/".repeat(130) + "a");
        for bad in [
            "",
            "Hello",
            "he llo",
            "hello:",
            "hello:.x",
            "hello@sha256:x",
            "ghcr.io/",
            "ghcr.io//x",
            "ghcr.io/a/../b",
            "ghcr.io:99999/x",
            "ghcr.io:0/x",
            "-x.io/a",
            "a__b___c/x",
            "x/y-",
            "x/.y",
            "ghcr.io/x\n",
            "user@ghcr.io/x",
            &format!("hello:{}", "t".repeat(129)),
            &long,
        ] {
            assert!(bad.parse::<Reference>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn mixed_case_repository_error_shows_the_lower_case_form() {
        for (written, lower) in [("MyOrg/App", "myorg/app"), ("a.io/Org/x:V1", "org/x"), ("A.io/App", "app")] {
            assert_eq!(written.parse::<Reference>(), Err(ReferenceError::Case(lower.into())), "{written}");
        }
        assert_eq!("a.io/A--.b".parse::<Reference>(), Err(ReferenceError::Repository));
        assert!("A.io/app:V1".parse::<Reference>().is_ok(), "hosts and tags have both");
    }

    #[test]
    fn loopback_host_is_an_exact_name_or_address() {
        for (host, loopback) in [
            ("localhost", true),
            ("localhost:5000", true),
            ("LOCALHOST:1", true),
            ("127.0.0.1:5000", true),
            ("127.3.2.1", true),
            ("[::1]:5000", true),
            ("localhost.evil.com", false),
            ("127.0.0.1.nip.io", false),
            ("10.0.0.1:5000", false),
            ("0.0.0.0:5000", false),
        ] {
            assert_eq!(host.parse::<RegistryHost>().unwrap().is_loopback(), loopback, "{host}");
        }
    }

    #[test]
    fn host_recognised_only_by_its_capitals_keeps_them() {
        for text in ["zR1/a", "MyHost/org/hello", "X/a"] {
            let reference: Reference = text.parse().unwrap();
            let written = reference.to_string();
            assert_eq!(written, format!("{text}:latest"));
            assert_eq!(written.parse::<Reference>(), Ok(reference), "not one of Docker Hub");
        }
        for (text, host) in
            [("Registry.Example", "registry.example"), ("HOST:5000", "host:5000"), ("LOCALHOST", "localhost")]
        {
            assert_eq!(text.parse::<RegistryHost>().unwrap().as_str(), host);
        }
    }

    proptest! {
        #[test]
        fn reference_display_and_parse_are_inverse(
            host in "[a-z]{1,8}(\\.[a-z]{2,5}|:[1-9][0-9]{0,3})",
            path in "[a-z0-9]{1,6}((\\.|_|__|-{1,3})[a-z0-9]{1,4})?(/[a-z0-9]{1,6}){0,3}",
            tag in "[A-Za-z0-9_][A-Za-z0-9._-]{0,20}",
        ) {
            // Docker Hub adds `library/`. A generated host is practically never Docker Hub.
            let reference: Reference = format!("{host}/{path}:{tag}").parse().unwrap();
            prop_assert_eq!(reference.to_string().parse::<Reference>(), Ok(reference));
        }

        #[test]
        fn reference_parsers_never_panic(text in ".{0,80}") {
            let _ = text.parse::<Reference>();
            let _ = text.parse::<RegistryHost>();
            let _ = text.parse::<Tag>();
        }
    }
}
