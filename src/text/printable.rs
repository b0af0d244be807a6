//! Short third-party text on one line.

/// `text` on one line and without control characters, at most `limit` characters of it.
pub(crate) fn printable(text: &str, limit: usize) -> String {
    text.trim().chars().take(limit).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
