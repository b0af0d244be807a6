//! The places of images: repositories of registries, and image layouts.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use super::reference::{DigestRef, Reference, ReferenceError, Repository, Selector, Tag, TagRef};
use crate::oci::Digest;

/// The prefix of a layout, as in skopeo, buildah and podman.
const OCI: &str = "oci:";

/// Other places of images in skopeo, buildah and podman. Each name could be a repository on Docker Hub, but none of
/// these repositories exists.
const TRANSPORTS: [&str; 7] =
    ["docker-archive", "oci-archive", "docker-daemon", "containers-storage", "dir", "ostree", "sif"];

/// The directory of an OCI image layout (OCI image-spec, "Image Layout"), as written. Messages show the directory as
/// `oci:DIR`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LayoutPath(Box<str>);

/// A place that contains images by tag and by digest.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Location {
    /// A repository in a registry.
    Repository(Repository),
    /// An image layout on this machine.
    Layout(LayoutPath),
}

/// A reference to an image in any place: `HOST/REPOSITORY[:TAG][@DIGEST]` or `oci:DIR[:TAG][@DIGEST]`.
///
/// In a layout, the last colon begins the tag, unless a `/` follows. A digest takes precedence over a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocatedReference {
    /// The place.
    pub location: Location,
    /// The tag or the digest. `None`: the reference names a layout without tag and digest, which must contain exactly
    /// one image.
    pub selector: Option<Selector>,
}

/// Why a string is not a reference to an image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LocationError {
    /// The text is not a reference to an image in a repository.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// `oci://` is a repository in other programs.
    #[error("`oci:` names a directory; the name of a repository has no `oci:`")]
    Url,
    /// The prefix names another kind of place (skopeo, `containers-transports(5)`).
    #[error("polyarch does not read `{0}:`")]
    Transport(&'static str),
    /// The text has no directory.
    #[error("an image layout has the form oci:DIR[:TAG]")]
    Directory,
}

impl LocationError {
    /// A hint with an example.
    #[must_use]
    pub fn example(&self) -> &'static str {
        match self {
            Self::Reference(_) | Self::Url => "write a reference such as ghcr.io/org/web:1.0",
            Self::Directory => "write a directory and a tag, such as oci:build/web:1.0",
            Self::Transport(_) => "copy the image to a layout, and name the layout: skopeo copy SOURCE oci:DIR:TAG",
        }
    }
}

impl LayoutPath {
    /// The directory.
    #[must_use]
    pub fn as_path(&self) -> &Path {
        Path::new(&*self.0)
    }
}

impl Location {
    /// A tag in this place.
    #[must_use]
    pub fn tag(&self, tag: Tag) -> TagRef<Self> {
        TagRef { repository: self.clone(), tag }
    }

    /// Content in this place.
    #[must_use]
    pub fn digest(&self, digest: Digest) -> DigestRef<Self> {
        DigestRef { repository: self.clone(), digest }
    }
}

impl FromStr for LocatedReference {
    type Err = LocationError;

    fn from_str(text: &str) -> Result<Self, LocationError> {
        let is_before = |kind: &&&str| text.strip_prefix(**kind).is_some_and(|rest| rest.starts_with(':'));
        if let Some(kind) = TRANSPORTS.iter().find(is_before) {
            return Err(LocationError::Transport(kind));
        }
        let Some(layout) = text.strip_prefix(OCI) else {
            let Reference { repository, selector } = text.parse()?;
            return Ok(Self { location: Location::Repository(repository), selector: Some(selector) });
        };
        if layout.starts_with("//") {
            return Err(LocationError::Url);
        }
        let digest = |text: &str| text.parse::<Digest>().map_err(ReferenceError::from);
        let (name, digest) = match layout.rsplit_once('@') {
            Some((name, text)) if text.starts_with("sha256:") => (name, Some(digest(text)?)),
            _ => (layout, None),
        };
        let (directory, tag) = match name.rsplit_once(':') {
            Some((directory, tag)) if !tag.contains('/') => (directory, Some(tag.parse::<Tag>()?)),
            _ => (name, None),
        };
        if directory.is_empty() || directory.chars().any(char::is_control) {
            return Err(LocationError::Directory);
        }
        let selector = digest.map(Selector::Digest).or(tag.map(Selector::Tag));
        Ok(Self { location: Location::Layout(LayoutPath(directory.into())), selector })
    }
}

impl From<Repository> for Location {
    fn from(repository: Repository) -> Self {
        Self::Repository(repository)
    }
}

impl From<TagRef> for TagRef<Location> {
    fn from(TagRef { repository, tag }: TagRef) -> Self {
        Self { repository: repository.into(), tag }
    }
}

impl From<DigestRef> for DigestRef<Location> {
    fn from(DigestRef { repository, digest }: DigestRef) -> Self {
        Self { repository: repository.into(), digest }
    }
}

impl fmt::Display for LayoutPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{OCI}{}", self.0)
    }
}

impl fmt::Debug for LayoutPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Repository(repository) => repository.fmt(f),
            Self::Layout(path) => path.fmt(f),
        }
    }
}

impl serde::Serialize for Location {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The directory of a layout, and the tag or the digest.
    fn read(text: &str) -> Result<(String, Option<String>), LocationError> {
        let LocatedReference { location, selector } = text.parse()?;
        Ok((location.to_string(), selector.map(|selector| selector.to_string())))
    }

    #[test]
    fn locations_use_the_syntax_of_skopeo_and_docker() {
        let digest = Digest::of(b"x").to_string();
        for (written, location, selector) in [
            ("oci:dir", "oci:dir", None),
            ("oci:dir:1.0", "oci:dir", Some("1.0")),
            ("oci:/a/b:latest", "oci:/a/b", Some("latest")),
            ("oci:../x", "oci:../x", None),
            // A colon before a slash belongs to the directory.
            ("oci:/a:b/c", "oci:/a:b/c", None),
            ("oci:/a:b/c:1", "oci:/a:b/c", Some("1")),
            ("oci:/a@b", "oci:/a@b", None),
            (&format!("oci:dir@{digest}"), "oci:dir", Some(&digest)),
            (&format!("oci:dir:1@{digest}"), "oci:dir", Some(&digest)),
            ("ghcr.io/org/web:1.0", "ghcr.io/org/web", Some("1.0")),
            ("oci/web:1.0", "docker.io/oci/web", Some("1.0")),
        ] {
            assert_eq!(read(written), Ok((location.to_owned(), selector.map(str::to_owned))), "{written}");
        }
    }

    #[test]
    fn location_without_a_directory_is_refused() {
        for (text, error) in [
            ("oci:", LocationError::Directory),
            ("oci::1.0", LocationError::Directory),
            ("oci:a\u{7}b", LocationError::Directory),
            ("oci://ghcr.io/org/web:1.0", LocationError::Url),
            ("oci:dir:", LocationError::Reference(ReferenceError::Tag)),
            ("oci:dir:-1", LocationError::Reference(ReferenceError::Tag)),
        ] {
            assert_eq!(read(text), Err(error), "{text}");
        }
        assert!(read("oci:dir@sha256:../../x").is_err());
    }
}
