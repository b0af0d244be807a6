//! Formats durations, sizes, digests and colours.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr};

/// Whether output has colour. Only a terminal has, and only without `NO_COLOR`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Color {
    On,
    Off,
}

/// The role of a piece of text, which decides its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Error,
    Warning,
    Good,
    Strong,
    Faint,
}

impl Color {
    pub(super) fn paint(self, tone: Option<Tone>, text: &str) -> String {
        let code = match (self, tone) {
            (Self::Off, _) | (Self::On, None) => return text.to_owned(),
            (Self::On, Some(Tone::Error)) => "1;31",
            (Self::On, Some(Tone::Warning)) => "1;33",
            (Self::On, Some(Tone::Good)) => "32",
            (Self::On, Some(Tone::Strong)) => "1",
            (Self::On, Some(Tone::Faint)) => "2",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// `0.4s`, `2m03s`, `1h02m`.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the range of u64")]
pub(crate) fn duration(seconds: f64) -> String {
    let tenths = (seconds.clamp(0.0, 1e9) * 10.0).round() as u64;
    let whole = tenths / 10;
    match whole {
        0..60 => format!("{whole}.{}s", tenths % 10),
        60..3600 => format!("{}m{:02}s", whole / 60, whole % 60),
        _ => format!("{}h{:02}m", whole / 3600, whole / 60 % 60),
    }
}

/// `just now`, `5 minutes ago`, `3 weeks ago`, in docker's form: the largest unit that fits twice.
pub(crate) fn ago(seconds: u64) -> String {
    let units = [
        ("years", 31_536_000),
        ("months", 2_592_000),
        ("weeks", 604_800),
        ("days", 86_400),
        ("hours", 3600),
        ("minutes", 60),
        ("seconds", 1),
    ];
    let unit = units.into_iter().find(|(_, unit)| seconds >= 2 * unit);
    unit.map_or_else(|| "just now".to_owned(), |(name, unit)| format!("{} {name} ago", seconds / unit))
}

/// `812 B`, `12.3 MB`: decimal units, as registries and docker use them.
pub(crate) fn size(bytes: u64) -> String {
    let units = [("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1000)];
    // A size that rounds up to 1000 of a unit is 1.0 of the next.
    match units.into_iter().find(|(_, unit)| bytes >= unit - unit / 20_000) {
        Some((name, unit)) => {
            let tenths = (u128::from(bytes) * 10 + u128::from(unit / 2)) / u128::from(unit);
            format!("{}.{} {name}", tenths / 10, tenths % 10)
        }
        None => format!("{bytes} B"),
    }
}

/// The number of a terminal's columns that `text` takes.
pub(crate) fn columns(text: &str) -> usize {
    UnicodeWidthStr::width(text)
}

/// `text`, with spaces after it up to `width` columns. `{:width$}` counts characters, and a wide one takes two columns.
pub(crate) fn pad(text: &str, width: usize) -> String {
    text.to_owned() + &space(text, width)
}

/// `text`, with spaces before it up to `width` columns.
pub(crate) fn pad_start(text: &str, width: usize) -> String {
    space(text, width) + text
}

fn space(text: &str, width: usize) -> String {
    " ".repeat(width.saturating_sub(columns(text)))
}

/// `text` in at most `width` columns, with an ellipsis at the end if it was cut.
pub(crate) fn shorten(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.to_owned();
    }
    text.chars().take_while(fit(width.saturating_sub(1))).chain(['…']).collect()
}

/// `text` in at most `width` columns, with an ellipsis at the beginning if it was cut.
pub(crate) fn shorten_start(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.to_owned();
    }
    let end: Vec<char> = text.chars().rev().take_while(fit(width.saturating_sub(1))).collect();
    ['…'].into_iter().chain(end.into_iter().rev()).collect()
}

/// Whether a character still fits into `left` columns, after the characters before it.
fn fit(mut left: usize) -> impl FnMut(&char) -> bool {
    move |c| {
        let taken = left.checked_sub(c.width().unwrap_or(0));
        left = taken.unwrap_or(0);
        taken.is_some()
    }
}

/// `text` with each SHA-256 digest cut to the twelve digits that docker shows.
pub(crate) fn short_digests(text: &str) -> String {
    const SHORT: usize = 12;
    let (mut short, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find("sha256:") {
        let digits = at + "sha256:".len();
        let length = rest[digits..].bytes().take_while(u8::is_ascii_hexdigit).count();
        let kept = digits + if length == 64 { SHORT } else { length };
        short.push_str(&rest[..kept]);
        rest = &rest[digits + length..];
    }
    short + rest
}

/// `1 layer`, `3 layers`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shown_durations_are_short() {
        for (seconds, text) in [
            (0.0, "0.0s"),
            (1.24, "1.2s"),
            (59.96, "1m00s"),
            (123.4, "2m03s"),
            (3723.0, "1h02m"),
            (-1.0, "0.0s"),
            (f64::NAN, "0.0s"),
        ] {
            assert_eq!(duration(seconds), text, "{seconds}");
        }
    }

    #[test]
    fn shown_ages_are_rounded_down() {
        for (seconds, text) in [
            (1, "just now"),
            (2, "2 seconds ago"),
            (119, "119 seconds ago"),
            (120, "2 minutes ago"),
            (7199, "119 minutes ago"),
            (86_400, "24 hours ago"),
            (5 * 86_400, "5 days ago"),
            (14 * 86_400, "2 weeks ago"),
            (60 * 86_400, "2 months ago"),
            (u64::MAX, "584942417355 years ago"),
        ] {
            assert_eq!(ago(seconds), text, "{seconds}");
        }
    }

    #[test]
    fn shown_sizes_are_decimal() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (999_949, "999.9 kB"),
            (999_950, "1.0 MB"),
            (12_345_678, "12.3 MB"),
            (5_368_709_120, "5.4 GB"),
            (u64::MAX, "18446744073.7 GB"),
        ] {
            assert_eq!(size(bytes), text, "{bytes}");
        }
    }

    #[test]
    fn shown_digests_are_cut_as_by_docker() {
        let digest = format!("sha256:{:064x}", 255);
        let text = format!("put x@{digest}, {digest}.");
        assert_eq!(short_digests(&text), "put x@sha256:000000000000, sha256:000000000000.");
        for other in ["sha256:", "sha256:ff", "sha256:héllo", &format!("{digest}0")] {
            assert_eq!(short_digests(other), *other);
        }
    }

    #[test]
    fn long_names_are_shortened_by_display_width() {
        assert_eq!(shorten("héllo", 5), "héllo");
        assert_eq!(shorten("héllo!", 5), "héll…");
        assert_eq!(shorten("部品を作る", 10), "部品を作る");
        assert_eq!(shorten("部品を作る", 9), "部品を作…");
        assert_eq!(shorten("部品を作る", 8), "部品を…");
        assert_eq!(shorten_start("部品 linux/arm64", 16), "部品 linux/arm64");
        assert_eq!(shorten_start("部品 linux/arm64", 14), "… linux/arm64");
        assert_eq!(shorten_start("部品 linux/arm64", 15), "…品 linux/arm64");
    }

    #[test]
    fn padding_counts_columns_of_the_terminal() {
        assert_eq!((pad("ab", 4), pad_start("ab", 4)), ("ab  ".to_owned(), "  ab".to_owned()));
        assert_eq!((pad("部", 4), pad_start("部", 4)), ("部  ".to_owned(), "  部".to_owned()));
        assert_eq!(
            (pad("🦀!", 4), pad("e\u{301}", 2), pad("long", 2)),
            ("🦀! ".to_owned(), "e\u{301} ".to_owned(), "long".to_owned())
        );
    }
}
