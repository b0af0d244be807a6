//! A resolved plan as YAML.

use serde::Serialize;

/// `document` as YAML 1.2 in the block style, which polyarch reads as the same plan again.
///
/// Texts of several lines are quoted on one line, so that no text of a plan begins a line.
///
/// # Errors
/// A document that YAML cannot hold: a map's key that is not a text or a number.
pub fn to_yaml(document: &impl Serialize) -> std::io::Result<String> {
    let options = serde_yaml::ser_options! { prefer_block_scalars: false, empty_as_braces: true };
    serde_yaml::to_string_with_options(document, options).map_err(std::io::Error::other)
}

pub(in crate::plan) fn escape(text: &str) -> String {
    text.replace('$', "$$")
}
