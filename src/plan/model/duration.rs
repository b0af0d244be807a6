//! Durations in the form that people write: `90s`, `10m`, `1h30m`.

use std::time::Duration;

/// Reads hours, minutes and seconds in this order, each at most once. Zero is refused.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut seconds = 0_u64;
    for (unit, length) in [('h', 3600), ('m', 60), ('s', 1)] {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        if let Some(after) = rest[digits..].strip_prefix(unit) {
            let count: u64 = rest[..digits].parse().ok()?;
            seconds = seconds.checked_add(count.checked_mul(length)?)?;
            rest = after;
        }
    }
    (rest.is_empty() && (1..=u64::from(u32::MAX)).contains(&seconds)).then(|| Duration::from_secs(seconds))
}

/// The inverse of [`parse_duration`] for whole seconds.
pub(in crate::plan) fn display(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let parts = [(seconds / 3600, 'h'), (seconds / 60 % 60, 'm'), (seconds % 60, 's')];
    let parts = parts.iter().filter(|(count, _)| *count > 0);
    parts.flat_map(|(count, unit)| [count.to_string(), unit.to_string()]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_parsed_and_displayed() {
        for (text, seconds) in [("90s", 90), ("10m", 600), ("1h30m", 5400), ("2h5s", 7205), ("1h1m1s", 3661)] {
            assert_eq!(parse_duration(text), Some(Duration::from_secs(seconds)), "{text}");
            assert_eq!(parse_duration(&display(Duration::from_secs(seconds))), Some(Duration::from_secs(seconds)));
        }
        for bad in
            ["", "0s", "10", "s", "1m1h", "1h1h", "-1s", "1.5h", "1 h", "99999999999h", "99999999999999999999s", "1d"]
        {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
    }
}
