//! Reads `from`. polyarch imports that third-party image unchanged, so build settings beside `from` are an error.

use crate::plan::model::plan::Import;
use crate::plan::read::import::NAMES;
use crate::plan::read::node::{Map, get};
use crate::plan::read::reader::{Late, Read, Reader};

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
