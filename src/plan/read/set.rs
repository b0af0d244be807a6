//! `--set IMAGE[.PLATFORM].KEY=VALUE`, as in buildx bake.

use std::rc::Rc;

use crate::oci::{Platform, PlatformError};

use super::import;
use super::keys::{IMAGE, PLATFORM};
use super::node::{Map, Node, Origin, Value, put};
use super::reader::{Read, Reader};
use super::suggest::{nearest, suggest};

/// The `--set` flags. Each one records whether it matched an image.
pub(in crate::plan) struct Sets(Vec<Set>);

/// One `--set`.
#[derive(Clone)]
pub(in crate::plan) struct Set {
    pattern: String,
    platform: Option<Platform>,
    /// A key. For a key with a map, also a name in that map: `args.VERSION`.
    pub(in crate::plan) path: Vec<Rc<str>>,
    pub(in crate::plan) value: Node,
    used: bool,
}

impl Sets {
    /// Reads the flags.
    pub(in crate::plan) fn parse(reader: &mut Reader<'_>, flags: &[String]) -> Self {
        Self(flags.iter().filter_map(|flag| parse(reader, flag).ok()).collect())
    }

    /// Applies the flags for the image `name` to `map`. Returns the flags for single platforms.
    pub(in crate::plan) fn apply(
        &mut self,
        reader: &mut Reader<'_>,
        name: &str,
        map: &mut Map,
    ) -> Vec<(Platform, Set)> {
        let mut of_platforms = Vec::new();
        for set in self.0.iter_mut().filter(|set| matches(&set.pattern, name)) {
            set.used = true;
            match &set.platform {
                None if set.skips(map) => {}
                None => put(map, &set.path, &set.value),
                Some(platform) if plans(map, platform) => of_platforms.push((platform.clone(), set.clone())),
                // A pattern applies only to the images that have the platform.
                Some(_) if set.pattern.contains('*') => {}
                Some(platform) => {
                    reader.problem(&set.value.origin, format!("the image `{name}` has no platform {platform}"), None);
                }
            }
        }
        of_platforms
    }

    /// Reports every flag that matched no image.
    pub(in crate::plan) fn check_used(&self, reader: &mut Reader<'_>, names: &[&str]) {
        for set in self.0.iter().filter(|set| !set.used) {
            let message = format!("there is no image `{}` in the plan", set.pattern);
            reader.problem(&set.value.origin, message, suggest(&set.pattern, names.iter().copied()));
        }
    }
}

fn parse(reader: &mut Reader<'_>, flag: &str) -> Read<Set> {
    let origin = Origin::Flag(format!("--set {flag}").into());
    let parts =
        flag.split_once('=').and_then(|(path, value)| path.split_once('.').map(|(image, path)| (image, path, value)));
    let Some((pattern, path, value)) = parts else {
        let hint = "pass --set hello.args.VERSION=1.0, or --set '*.linux/arm64.target=release'".to_owned();
        return Err(reader.problem(&origin, "the value must have the form IMAGE[.PLATFORM].KEY=VALUE", Some(hint)));
    };
    // A slash before the first dot means a platform. Dots of a version in parentheses do not count.
    let mut depth = 0_i32;
    let dot = path.find(|c| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        c == '.' && depth <= 0
    });
    let (platform, path) = match dot.and_then(|dot| path.split_at_checked(dot)).map(|(one, rest)| (one, &rest[1..])) {
        Some((platform, path)) if platform.contains('/') => {
            let parsed = platform.parse::<Platform>().map_err(|error| {
                reader.problem(&origin, format!("the platform `{platform}` is not valid: {error}"), None)
            });
            (Some(parsed?), path)
        }
        _ => (None, path),
    };
    let path: Vec<Rc<str>> = path.splitn(2, '.').map(Rc::from).collect();
    let keys = if platform.is_some() { &PLATFORM } else { &IMAGE };
    let key = path.first().map_or("", |key| key);
    if let Some(meant) = platform_meant(key).filter(|_| platform.is_none()) {
        let hint = format!("did you mean `{meant}`?");
        return Err(reader.problem(&origin, format!("{} has no key `{key}`", keys.of), Some(hint)));
    }
    reader.key(&origin, key, keys)?;
    let value = Node { origin, value: Value::Flag(value.to_owned()) };
    Ok(Set { pattern: pattern.to_owned(), platform, path, value, used: false })
}

impl Set {
    /// Whether polyarch ignores this flag: the flag has a pattern and a build setting, and `settings` import the
    /// image.
    pub(in crate::plan) fn skips(&self, settings: &Map) -> bool {
        let key = self.path.first().map_or("", |key| key);
        self.pattern.contains('*') && import::skips(settings, key, PLATFORM.known)
    }
}

/// The platform that a word in the place of a key means: `arm64` is `linux/arm64`. A misspelled key is not a platform.
fn platform_meant(key: &str) -> Option<String> {
    match key.parse::<Platform>() {
        Err(PlatformError::Meant { meant, .. }) => nearest(key, IMAGE.known.iter().copied()).is_none().then_some(meant),
        _ => None,
    }
}

/// Whether the map of an image has `platform`, in any of its forms.
fn plans(map: &Map, platform: &Platform) -> bool {
    let is = |text: &str| text.parse::<Platform>().is_ok_and(|parsed| parsed == *platform);
    match super::node::get(map, "platforms").map(|entry| &entry.value.value) {
        Some(Value::Map(platforms)) => platforms.iter().any(|entry| is(&entry.key.name)),
        Some(Value::List(items)) => items.iter().any(|item| matches!(&item.value, Value::Text(text) if is(text))),
        Some(Value::Flag(text)) => text.split(',').any(|item| is(item.trim())),
        _ => false,
    }
}

/// Whether `name` matches `pattern`. `*` stands for any characters. The leftmost match of each part is always good
/// enough, so one pass suffices.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else { return pattern == name };
    let (middle, last) = tail.rsplit_once('*').unwrap_or(("", tail));
    let Some(mut rest) = name.strip_prefix(head).and_then(|rest| rest.strip_suffix(last)) else { return false };
    for part in middle.split('*') {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_pattern_star_matches_any_letters() {
        for (pattern, name, matched) in [
            ("hello", "hello", true),
            ("hello", "hello2", false),
            ("*", "", true),
            ("*", "hello", true),
            ("h*o", "hello", true),
            ("h*l*", "hello", true),
            ("h*l*l*o", "hello", true),
            ("h*l*l*l*o", "hello", false),
            ("hel*lo", "hello", true),
            ("hell*lo", "hello", false),
            ("*x", "hello", false),
            ("he", "hello", false),
        ] {
            assert_eq!(matches(pattern, name), matched, "{pattern} {name}");
        }
    }
}
