//! The cells of an image's row.

use std::time::SystemTime;

use polyarch::oci::Tag;
use polyarch::run::{ImageKind, RepositoryImage};

use super::super::output::{ago, count, shorten};

/// Lists of names are cut here on a terminal.
const NAMES_WIDTH: usize = 32;
/// What an index lists is this far to the right of it.
const INDENT: &str = "  ";
/// Deepest that is shown as such.
const MOST_DEPTH: usize = 4;

/// Its tags, to the right of the index that it stands below. `width` is that of the terminal, if it is one.
pub(crate) fn tags(image: &RepositoryImage, width: Option<usize>) -> String {
    let tags: Vec<_> = image.tags.iter().map(Tag::as_str).collect();
    let tags = if tags.is_empty() { "<none>".to_owned() } else { several(&tags, width) };
    INDENT.repeat(image.depth.min(MOST_DEPTH)) + &tags
}

/// What it is called by others: its first tag, or else its digest.
pub(crate) fn name(image: &RepositoryImage) -> String {
    image.tags.first().map_or_else(|| image.digest.short().to_owned(), ToString::to_string)
}

pub(crate) fn platform(kind: &ImageKind) -> String {
    match kind {
        ImageKind::Index(images) => count(*images, "image"),
        ImageKind::Image(platform) => platform.to_string(),
        ImageKind::Attestation(_) => "attestation".to_owned(),
        ImageKind::Other => "other".to_owned(),
        ImageKind::Unread(_) => "not read".to_owned(),
    }
}

/// How long ago it was pushed, or else made.
pub(crate) fn age(image: &RepositoryImage, now: SystemTime) -> String {
    let age = |time| ago(now.duration_since(time).unwrap_or_default().as_secs());
    image.pushed_at.or(image.created).map(age).unwrap_or_default()
}

/// As many names as there is room for on a terminal, and how many more there are. Programs and logs get all.
pub(crate) fn several(names: &[&str], width: Option<usize>) -> String {
    if width.is_none() {
        return names.join(", ");
    }
    let mut shown = shorten(names.first().copied().unwrap_or_default(), NAMES_WIDTH);
    for (at, name) in names.iter().enumerate().skip(1) {
        let longer = format!("{shown}, {name}");
        if longer.chars().count() > NAMES_WIDTH {
            return format!("{shown}, +{}", names.len() - at);
        }
        shown = longer;
    }
    shown
}
