//! Build contexts that the engine fetches itself: git repositories, archives and single Dockerfiles.
//!
//! polyarch recognises them by the rules of `docker build` (Docker docs, "Build context", "Remote context";
//! `BuildKit`, `frontend/dockerui/context.go` and `frontend/dockerfile/dfgitutil`).

use std::fmt;

/// A context that the engine fetches itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RemoteContext {
    /// A git repository or one of its directories.
    Git(GitContext),
    /// The content of a URL: an archive or a single Dockerfile.
    Http(HttpContext),
}

/// A git repository at a reference.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GitContext {
    remote: Box<str>,
    reference: Option<Box<str>>,
    directory: Option<Box<str>>,
}

/// The URL of an archive or of a Dockerfile, `http://` or `https://`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HttpContext(Box<str>);

/// Why a text is neither a directory nor a remote context. The message never repeats the text, because it may contain
/// a credential.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RemoteContextError {
    /// The URL has a user name or a password. Everyone who sees the URL would see it.
    #[error("the URL contains a credential, which logs and the image's history would show")]
    Credential,
    /// The scheme is not supported.
    #[error("{0}:// is not a scheme that a context can have")]
    Scheme(String),
    /// The URL has no host, or it has characters that a URL must not have.
    #[error("the URL has no host, or it has characters that a URL must not have")]
    Form,
    /// A part of the query of a git URL is unknown, or the fragment of the URL contradicts it.
    #[error("`{0}` in the URL's query is unknown, or has two values")]
    Query(String),
}

impl RemoteContextError {
    /// The next step.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Credential => {
                "pass the credential as a secret: secrets: [{ id: GIT_AUTH_TOKEN, env: GIT_AUTH_TOKEN }]"
            }
            Self::Scheme(_) | Self::Form => {
                "name a directory, a git repository (https://HOST/REPO.git#REF:DIRECTORY, git@HOST:REPO.git), \
                    or the URL of an archive"
            }
            Self::Query(_) => "use ref, tag or branch, and subdir: https://HOST/REPO.git?ref=main&subdir=app",
        }
    }
}

impl RemoteContext {
    /// Reads `text`. `None`: it is the path of a directory.
    ///
    /// # Errors
    /// `text` is neither a path nor a context that an engine can fetch.
    pub fn parse(text: &str) -> Result<Option<Self>, RemoteContextError> {
        let Some(form) = Form::of(text) else { return Ok(None) };
        // polyarch sends the URL among other options and prints it in logs. BuildKit would pass it to git unchanged.
        if text.contains(|c: char| c.is_control() || c.is_whitespace()) {
            return Err(RemoteContextError::Form);
        }
        match form {
            Form::GitHub | Form::Scp => GitContext::parse(text),
            Form::Url { scheme, rest } => {
                let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
                let (user, host) =
                    authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
                // The user name of an ssh login is not a secret.
                if user.is_some_and(|user| scheme != "ssh" || user.contains(':')) {
                    return Err(RemoteContextError::Credential);
                }
                if host.is_empty() {
                    return Err(RemoteContextError::Form);
                }
                let path = rest.split(['?', '#']).next().unwrap_or_default();
                match &*scheme {
                    "git" | "ssh" => GitContext::parse(text),
                    "http" | "https" if path.strip_suffix(".git").is_some() => GitContext::parse(text),
                    "http" | "https" => return Ok(Some(Self::Http(HttpContext(text.into())))),
                    _ => return Err(RemoteContextError::Scheme(scheme)),
                }
            }
        }
        .map(|git| Some(Self::Git(git)))
    }
}

/// The form of a remote context.
enum Form<'a> {
    /// `github.com/OWNER/REPO`, a form of Docker.
    GitHub,
    /// `USER@HOST:PATH`, the form of scp: a repository over ssh.
    Scp,
    /// `SCHEME://REST`
    Url {
        /// In lower case.
        scheme: String,
        rest: &'a str,
    },
}

impl<'a> Form<'a> {
    fn of(text: &'a str) -> Option<Self> {
        if text.starts_with("github.com/") {
            return Some(Self::GitHub);
        }
        let word = |text: &str, more: &str| {
            !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
        };
        if let Some((scheme, rest)) = text.split_once("://")
            && word(scheme, "+-.")
        {
            return Some(Self::Url { scheme: scheme.to_ascii_lowercase(), rest });
        }
        let (user, rest) = text.split_once('@')?;
        let (host, path) = rest.split_once(':')?;
        (word(user, "-_") && word(host, "-.") && !path.is_empty()).then_some(Self::Scp)
    }
}

impl GitContext {
    fn parse(text: &str) -> Result<Self, RemoteContextError> {
        let (remote, fragment) = text.split_once('#').unwrap_or((text, ""));
        let (remote, query) = remote.split_once('?').unwrap_or((remote, ""));
        let (reference, directory) = fragment.split_once(':').unwrap_or((fragment, ""));
        // `##` begins another form. No engine was tested with it.
        if reference.starts_with('#') {
            return Err(RemoteContextError::Form);
        }
        let (mut reference, mut directory) = (reference.to_owned(), directory.to_owned());
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            let (said, value) = match &*key {
                "ref" => (&mut reference, value.into_owned()),
                "tag" => (&mut reference, format!("refs/tags/{}", value.trim_start_matches("refs/tags/"))),
                "branch" => (&mut reference, format!("refs/heads/{}", value.trim_start_matches("refs/heads/"))),
                "subdir" => (&mut directory, value.into_owned()),
                other => return Err(RemoteContextError::Query(other.escape_debug().to_string())),
            };
            if !said.is_empty() && *said != value {
                return Err(RemoteContextError::Query(key.into_owned()));
            }
            *said = value;
        }
        let said = |text: String| (!text.is_empty()).then(|| text.into_boxed_str());
        let (reference, directory) = (said(reference), said(directory));
        // git would read a leading `-` as an option. Encoded text must not bring back characters that are refused
        // above.
        let bad = |text: &str| text.starts_with('-') || text.contains(|c: char| c.is_control() || c.is_whitespace());
        if reference.as_deref().is_some_and(|text| bad(text) || text.contains(':'))
            || directory.as_deref().is_some_and(bad)
        {
            return Err(RemoteContextError::Form);
        }
        Ok(Self { remote: remote.into(), reference, directory })
    }

    /// The repository, in the form that git receives.
    #[must_use]
    pub fn remote(&self) -> &str {
        &self.remote
    }

    /// The directory inside the repository that is the context.
    #[must_use]
    pub fn directory(&self) -> Option<&str> {
        self.directory.as_deref()
    }
}

impl HttpContext {
    /// The URL.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The form that every frontend reads. The query of a git URL becomes its fragment.
impl fmt::Display for RemoteContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Git(git) => git.fmt(f),
            Self::Http(http) => f.write_str(&http.0),
        }
    }
}

/// `REMOTE#REF:DIRECTORY`
impl fmt::Display for GitContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.remote)?;
        match (&self.reference, &self.directory) {
            (None, None) => Ok(()),
            (reference, None) => write!(f, "#{}", reference.as_deref().unwrap_or_default()),
            (reference, Some(directory)) => write!(f, "#{}:{directory}", reference.as_deref().unwrap_or_default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `git` or `http` and the context in the form that is sent; `directory`; or the error.
    fn read(text: &str) -> String {
        match RemoteContext::parse(text) {
            Ok(None) => "directory".to_owned(),
            Ok(Some(RemoteContext::Git(git))) => format!("git {git}"),
            Ok(Some(RemoteContext::Http(http))) => format!("http {}", http.as_str()),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn remote_contexts_are_recognised_as_by_docker() {
        for (text, is) in [
            (".", "directory"),
            ("../app", "directory"),
            ("app.git", "directory"),
            ("./github.com/acme/app", "directory"),
            ("a:b@c", "directory"),
            ("a@b", "directory"),
            ("github.com/acme/app", "git github.com/acme/app"),
            ("github.com/acme/app.git#main", "git github.com/acme/app.git#main"),
            ("https://h/app.git", "git https://h/app.git"),
            ("HTTPS://h/app.git#v1:web/api", "git HTTPS://h/app.git#v1:web/api"),
            ("http://127.0.0.1:80/app.git#:web", "git http://127.0.0.1:80/app.git#:web"),
            ("https://h/app.git#", "git https://h/app.git"),
            ("https://h/app.git?ref=v1&subdir=web%2Fapi", "git https://h/app.git#v1:web/api"),
            ("https://h/app.git?tag=v1", "git https://h/app.git#refs/tags/v1"),
            ("https://h/app.git?branch=a/b#:web", "git https://h/app.git#refs/heads/a/b:web"),
            ("git://h/app", "git git://h/app"),
            ("ssh://git@h:22/app#main", "git ssh://git@h:22/app#main"),
            ("git@h:acme/app.git#main:web", "git git@h:acme/app.git#main:web"),
            ("deploy@h:app", "git deploy@h:app"),
            ("https://h/app.tar.gz", "http https://h/app.tar.gz"),
            ("http://h/Dockerfile?x=y", "http http://h/Dockerfile?x=y"),
            ("https://h/app.git.tar", "http https://h/app.git.tar"),
        ] {
            assert_eq!(read(text), is, "{text}");
        }
    }

    #[test]
    fn invalid_remote_context_is_refused_and_not_shown() {
        for (text, error) in [
            ("https://user:word@h/app.git", RemoteContextError::Credential),
            ("https://word@h/app.tar", RemoteContextError::Credential),
            ("ssh://git:word@h/app", RemoteContextError::Credential),
            ("git://word@h/app", RemoteContextError::Credential),
            ("https:///word.git", RemoteContextError::Form),
            ("https://h/a word.git", RemoteContextError::Form),
            ("https://h/a.git##ref=word", RemoteContextError::Form),
            ("https://h/a.git#--upload-pack=word", RemoteContextError::Form),
            ("https://h/a.git?ref=a%0aword", RemoteContextError::Form),
            ("https://h/a.git?ref=a#b", RemoteContextError::Query("ref".into())),
            ("https://h/a.git?checksum=word", RemoteContextError::Query("checksum".into())),
            ("ftp://h/word", RemoteContextError::Scheme("ftp".into())),
        ] {
            assert_eq!(RemoteContext::parse(text), Err(error.clone()), "{text}");
            assert!(!error.to_string().contains("word"), "{error}");
        }
    }
}
