//! Makes the cells of an image's row.

use std::time::SystemTime;

use polyarch::oci::Tag;
use polyarch::run::{ImageKind, RepositoryImage};

use crate::cli::terminal::style::{ago, columns, count, shorten};

/// On a terminal a list of names is cut to this width.
const NAMES_WIDTH: usize = 32;
/// Stands before the tags of an image that an index lists.
const INDENT: &str = "  ";
/// Deeper levels have the indent of this level.
const MOST_DEPTH: usize = 4;

/// The tags of an image, indented below its index. `width` is the terminal's, if there is a terminal.
pub(crate) fn tags(image: &RepositoryImage, width: Option<usize>) -> String {
    let tags: Vec<_> = image.tags.iter().map(Tag::as_str).collect();
    let tags = if tags.is_empty() { "<none>".to_owned() } else { several(&tags, width) };
    INDENT.repeat(image.depth.min(MOST_DEPTH)) + &tags
}

/// The name of an image in other rows: its first tag, or else its digest.
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

/// The time since the push, or else since the image was made.
pub(crate) fn age(image: &RepositoryImage, now: SystemTime) -> String {
    let age = |time| ago(now.duration_since(time).unwrap_or_default().as_secs());
    image.pushed_at.or(image.created).map(age).unwrap_or_default()
}

/// On a terminal: as many names as fit, and the number of the rest. Programs and logs get all names.
pub(crate) fn several(names: &[&str], width: Option<usize>) -> String {
    if width.is_none() {
        return names.join(", ");
    }
    let mut shown = shorten(names.first().copied().unwrap_or_default(), NAMES_WIDTH);
    for (at, name) in names.iter().enumerate().skip(1) {
        let longer = format!("{shown}, {name}");
        if columns(&longer) > NAMES_WIDTH {
            return format!("{shown}, +{}", names.len() - at);
        }
        shown = longer;
    }
    shown
}
