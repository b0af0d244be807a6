//! Reads `from`. polyarch imports that third-party image unchanged, so build settings beside `from` are an error.

use std::rc::Rc;

use crate::plan::model::plan::Import;
use crate::plan::read::node::{Map, get};
use crate::plan::read::reader::{Late, Read, Reader};

/// The keys that a platform may have beside `from`. All other keys are build settings.
const NAMES: [&str; 4] = ["from", "arch_tag", "arch_tags", "entry"];

/// Whether `settings` have `from`, so that polyarch imports the image.
pub(super) fn imports(settings: &Map) -> bool {
    get(settings, "from").is_some()
}

/// Whether polyarch ignores `key`, because `settings` import the image and `key` is a build setting.
pub(in crate::plan) fn skips(settings: &Map, key: &str, known: &[&str]) -> bool {
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

/// Reads `from` from the settings of a job.
pub(in crate::plan) fn read(reader: &mut Reader<'_>, settings: &Map, late: Late<'_>) -> Read<Option<Import>> {
    let Some(said) = get(settings, "from") else { return Ok(None) };
    let from = reader.parsed(&said.value, "`from`", late);
    let mut alone = Ok(());
    for entry in settings.iter().filter(|entry| !NAMES.contains(&&*entry.key.name)) {
        if get(settings, &entry.key.name).is_some() {
            let message =
                format!("`{}` is a build setting, and `from` imports the image instead of building it", entry.key.name);
            alone = Err(reader.problem(&entry.key.origin, message, Some("remove one of the two keys".to_owned())));
        }
    }
    alone?;
    Ok(Some(Import { from: from? }))
}
