//! Dates as facts.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;

const BUILD_DATE: &str = "build.date";
const EPOCH: &str = "SOURCE_DATE_EPOCH";

/// Answers `build.date` if it is in `wanted`: the day of `SOURCE_DATE_EPOCH` in `environment`, or else of `now`, in UTC.
pub fn build_facts(
    environment: &BTreeMap<String, String>,
    wanted: &BTreeSet<String>,
    now: SystemTime,
) -> BTreeMap<String, Result<String, String>> {
    if !wanted.contains(BUILD_DATE) {
        return BTreeMap::new();
    }
    let date = if let Some(epoch) = environment.get(EPOCH).filter(|epoch| !epoch.is_empty()) {
        day(epoch).ok_or_else(|| format!("{EPOCH} is not a number of seconds: {epoch}"))
    } else {
        let seconds = now.duration_since(UNIX_EPOCH).map(|since| since.as_secs().to_string());
        let known = seconds.ok().and_then(|seconds| day(&seconds));
        known.ok_or_else(|| "the clock of this machine is wrong".to_owned())
    };
    BTreeMap::from([(BUILD_DATE.to_owned(), date)])
}

/// The day of a number of seconds since 1970, in UTC: `20261130`. A tag may have this form.
pub(super) fn day(seconds: &str) -> Option<String> {
    let date = OffsetDateTime::from_unix_timestamp(seconds.trim().parse().ok()?).ok()?;
    Some(format!("{:04}{:02}{:02}", date.year(), u8::from(date.month()), date.day()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn build_date_is_of_the_epoch_or_of_now() {
        let now = UNIX_EPOCH + Duration::from_secs(1_796_083_201);
        let date = |epoch: &str| {
            let environment = BTreeMap::from([(EPOCH.to_owned(), epoch.to_owned())]);
            build_facts(&environment, &BTreeSet::from([BUILD_DATE.to_owned()]), now).remove(BUILD_DATE).unwrap()
        };
        assert_eq!(date(""), Ok("20261201".to_owned()));
        assert_eq!(date("1578616200"), Ok("20200110".to_owned()));
        assert_eq!(date("0"), Ok("19700101".to_owned()));
        assert!(date("today").unwrap_err().contains(EPOCH));
        assert_eq!(build_facts(&BTreeMap::new(), &BTreeSet::new(), now), BTreeMap::new());
    }
}
