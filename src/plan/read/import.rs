//! The settings that count when an image is imported: build settings do not.

use std::rc::Rc;

use super::node::{Map, get};

/// The keys that a platform may have beside `from`. All other keys are build settings.
pub(in crate::plan) const NAMES: [&str; 4] = ["from", "arch_tag", "arch_tags", "entry"];

/// Whether `settings` have `from`, so that polyarch imports the image.
fn imports(settings: &Map) -> bool {
    get(settings, "from").is_some()
}

/// Whether polyarch ignores `key`, because `settings` import the image and `key` is a build setting.
pub(super) fn skips(settings: &Map, key: &str, known: &[&str]) -> bool {
    imports(settings) && known.contains(&key) && !NAMES.contains(&key)
}

/// The entries of `below` that count when `above` overrides them. If only `above` imports the image, polyarch drops
/// the build settings of `below`.
pub(in crate::plan) fn below(below: &Map, above: &Map, known: &[&str]) -> Map {
    if imports(below) || !imports(above) {
        return Rc::clone(below);
    }
    Rc::new(below.iter().filter(|entry| !skips(above, &entry.key.name, known)).cloned().collect())
}
