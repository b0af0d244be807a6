//! Byte ranges (RFC 9110, section 14) and the ranges of uploads (distribution-spec, "Pushing a blob in chunks").

use std::ops::Range;

/// The part of the content that a `Range` header asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum RequestedRange {
    /// The whole content: there is no header, or the registry may ignore it (another unit, several ranges).
    Whole,
    /// These bytes.
    Part(Range<u64>),
    /// Bytes beyond the content: 416.
    Nothing,
}

impl RequestedRange {
    /// Reads a `Range` header for content of `size` bytes.
    pub(super) fn parse(header: Option<&str>, size: u64) -> Self {
        let Some(spec) = header.and_then(|text| text.trim().strip_prefix("bytes=")) else { return Self::Whole };
        let Some((first, last)) = spec.trim().split_once('-') else { return Self::Whole };
        let range = match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last => first..last.saturating_add(1).min(size),
            (Some(first), None) if last.is_empty() => first..size,
            (None, Some(length)) if first.is_empty() => size.saturating_sub(length)..size,
            _ => return Self::Whole,
        };
        if range.is_empty() { Self::Nothing } else { Self::Part(range) }
    }
}

/// The bytes that an upload's `Content-Range` header announces: `first-last`, or with `bytes ` before it and `/size`
/// after it as in RFC 9110.
pub(super) fn announced(header: &str) -> Option<Range<u64>> {
    let spec = header.trim().strip_prefix("bytes").map_or(header, |rest| rest.trim_start_matches(['=', ' ']));
    let (first, last) = spec.split('/').next()?.split_once('-')?;
    let (first, last) = (number(first)?, number(last)?);
    (first <= last).then_some(first..last.checked_add(1)?)
}

fn number(text: &str) -> Option<u64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn byte_ranges_follow_rfc_9110() {
        for (header, asked) in [
            (None, RequestedRange::Whole),
            (Some("bytes=0-0"), RequestedRange::Part(0..1)),
            (Some("bytes=2-"), RequestedRange::Part(2..10)),
            (Some("bytes=2-99"), RequestedRange::Part(2..10)),
            (Some("bytes=-3"), RequestedRange::Part(7..10)),
            (Some("bytes=-99"), RequestedRange::Part(0..10)),
            (Some("bytes=10-"), RequestedRange::Nothing),
            (Some("bytes=-0"), RequestedRange::Nothing),
            (Some("bytes=3-2"), RequestedRange::Whole),
            (Some("bytes=0-1,4-5"), RequestedRange::Whole),
            (Some("lines=0-1"), RequestedRange::Whole),
            (Some("bytes=+1-2"), RequestedRange::Whole),
            (Some("bytes=0-18446744073709551615"), RequestedRange::Part(0..10)),
        ] {
            assert_eq!(RequestedRange::parse(header, 10), asked, "{header:?}");
        }
        assert_eq!(RequestedRange::parse(Some("bytes=0-"), 0), RequestedRange::Nothing);
    }

    #[test]
    fn upload_ranges_are_inclusive_and_ascending() {
        assert_eq!(announced("0-9"), Some(0..10));
        assert_eq!(announced("bytes 5-9/*"), Some(5..10));
        for bad in ["", "9", "9-5", "-5", "5-", "a-b", "0-18446744073709551615", "+1-2"] {
            assert_eq!(announced(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn range_header_never_exceeds_the_content(header in "bytes=[0-9]{0,20}-[0-9]{0,20}", size in any::<u64>()) {
            if let RequestedRange::Part(range) = RequestedRange::parse(Some(&header), size) {
                prop_assert!(range.start < range.end && range.end <= size);
            }
            let _ = announced(&header);
        }
    }
}
