//! Reads `from`: an image of others is adopted as it is, so nothing beside it says how it would be built.

use std::rc::Rc;

use super::model::Adoption;
use super::node::{Map, get};
use super::reader::{Late, Read, Reader};

/// What a platform may say that is adopted; all else is of builds.
const NAMES: [&str; 4] = ["from", "arch_tag", "arch_tags", "entry"];

/// Whether these are settings of what is adopted.
pub(super) fn adopts(settings: &Map) -> bool {
    get(settings, "from").is_some()
}

/// Whether `key` says nothing of what `settings` adopt.
pub(super) fn passes_over(settings: &Map, key: &str, known: &[&str]) -> bool {
    adopts(settings) && known.contains(&key) && !NAMES.contains(&key)
}

/// What of `below` is for what `above` is merged over it: builds of others are no matter to what is adopted.
pub(super) fn below(below: &Map, above: &Map, known: &[&str]) -> Map {
    if adopts(below) || !adopts(above) {
        return Rc::clone(below);
    }
    Rc::new(below.iter().filter(|entry| !passes_over(above, &entry.key.name, known)).cloned().collect())
}

/// Reads it from the settings of a job.
pub(super) fn read(reader: &mut Reader<'_>, settings: &Map, late: Late<'_>) -> Read<Option<Adoption>> {
    let Some(said) = get(settings, "from") else { return Ok(None) };
    let from = reader.parsed(&said.value, "`from`", late);
    let mut alone = Ok(());
    for entry in settings.iter().filter(|entry| !NAMES.contains(&&*entry.key.name)) {
        if get(settings, &entry.key.name).is_some() {
            let message = format!("`{}` is of builds, and `from` says that the image is adopted", entry.key.name);
            alone = Err(reader.problem(&entry.key.origin, message, Some("leave one of the two out".to_owned())));
        }
    }
    alone?;
    Ok(Some(Adoption { from: from? }))
}
