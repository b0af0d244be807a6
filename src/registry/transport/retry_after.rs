//! The time for a new request: `Retry-After` (RFC 9110, 10.2.3), and its replacements.

use std::time::{Duration, SystemTime};

use reqwest::header::{DATE, HeaderMap, HeaderName, RETRY_AFTER};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

/// The header name in Docker Hub's documentation.
const X_RETRY_AFTER: HeaderName = HeaderName::from_static("x-retry-after");
/// A number from here on, which is 31 years, is not a wait in seconds. It is a point in time …
const UNIX_TIMES: u64 = 1_000_000_000;
/// … in seconds since 1970, as Docker Hub sends it (docker/hub-feedback#2459), …
const UNIX_SECONDS: std::ops::Range<u64> = UNIX_TIMES..100 * UNIX_TIMES;
/// … or in milliseconds (rancher/charts-build-scripts#230).
const UNIX_MILLISECONDS: std::ops::Range<u64> = UNIX_TIMES * 1000..UNIX_TIMES * 100_000;

/// The time to wait. `None` means that there is no such header, its time has passed, or its value is neither a number
/// nor a date.
pub(in crate::registry) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER).or_else(|| headers.get(X_RETRY_AFTER));
    let text = value?.to_str().ok()?.trim();
    // The time is from the registry's clock. This machine's clock may differ.
    let now = headers.get(DATE).and_then(|value| date(value.to_str().ok()?)).unwrap_or(now);
    let until = |time: SystemTime| time.duration_since(now).ok().filter(|wait| !wait.is_zero());
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return until(date(text)?);
    }
    match text.parse().ok()? {
        seconds if seconds < UNIX_TIMES => Some(Duration::from_secs(seconds)),
        time if UNIX_SECONDS.contains(&time) => until(SystemTime::UNIX_EPOCH + Duration::from_secs(time)),
        time if UNIX_MILLISECONDS.contains(&time) => until(SystemTime::UNIX_EPOCH + Duration::from_millis(time)),
        _ => None,
    }
}

/// A date in one of HTTP's three forms (RFC 9110, 5.6.7), or with another zone than `GMT`.
pub(in crate::registry) fn date(text: &str) -> Option<SystemTime> {
    let zoned = || Some(OffsetDateTime::parse(text, &Rfc2822).ok()?.into());
    httpdate::parse_http_date(text).ok().or_else(zoned)
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    /// Sun, 06 Nov 1994 08:49:37 GMT.
    const NOW: u64 = 784_111_777;

    fn read(name: HeaderName, text: &'static str, date: Option<&'static str>, now: u64) -> Option<u64> {
        let date = date.map(|date| (DATE, HeaderValue::from_static(date)));
        let headers = [(name, HeaderValue::from_static(text))].into_iter().chain(date).collect();
        retry_after(&headers, SystemTime::UNIX_EPOCH + Duration::from_secs(now)).map(|wait| wait.as_secs())
    }

    #[test]
    fn retry_after_is_read_as_seconds_or_as_a_date() {
        for (text, seconds) in [
            ("2", Some(2)),
            (" 7 ", Some(7)),
            ("0", Some(0)),
            ("86400", Some(86400)),
            ("999999999", Some(999_999_999)),
            ("99999999999999999999999", None),
            ("18446744073709551615", None),
            ("Sun, 06 Nov 1994 08:50:07 GMT", Some(30)),
            ("Sun, 06 Nov 1994 09:50:07 +0100", Some(30)),
            ("Sunday, 06-Nov-94 08:50:07 GMT", Some(30)),
            ("Sun Nov  6 08:50:07 1994", Some(30)),
            ("Sun, 06 Nov 1994 08:49:07 GMT", None),
            ("1994-11-06", None),
            ("-1", None),
            ("abc", None),
            ("1.5", None),
            ("", None),
        ] {
            assert_eq!(read(RETRY_AFTER, text, None, NOW), seconds, "{text:?}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), SystemTime::now()), None);
    }

    #[test]
    fn retry_after_may_be_a_unix_time() {
        let now = 1_746_136_900;
        for (text, seconds) in
            [("1746136938", Some(38)), ("1746136938000", Some(38)), ("1746136900", None), ("1746136000", None)]
        {
            assert_eq!(read(RETRY_AFTER, text, None, now), seconds, "{text}");
            assert_eq!(read(X_RETRY_AFTER, text, None, now), seconds, "{text}");
        }
    }

    #[test]
    fn retry_after_date_is_relative_to_the_registry_clock() {
        let date = Some("Sun, 06 Nov 1994 08:49:37 GMT");
        for wrong in [0, NOW - 3600, NOW + 3600] {
            assert_eq!(read(RETRY_AFTER, "Sun, 06 Nov 1994 08:50:07 GMT", date, wrong), Some(30));
            assert_eq!(read(RETRY_AFTER, "5", date, wrong), Some(5));
        }
        assert_eq!(read(RETRY_AFTER, "Sun, 06 Nov 1994 08:50:07 GMT", Some("soon"), NOW), Some(30));
    }
}
