//! Reads `entry`: the same settings as `docker manifest annotate`.

use crate::oci::{EntryOverride, Platform, PlatformSpelling};

use crate::plan::read::keys::ENTRY;
use crate::plan::read::node::{Map, Node, get};
use crate::plan::read::reader::{Late, Read, Reader};

/// Reads `entry`. Parts of the platform that it omits come from the planned platform.
pub(in crate::plan) fn read(
    reader: &mut Reader<'_>,
    node: &Node,
    late: Late<'_>,
    planned: &Platform,
) -> Read<EntryOverride> {
    let map = reader.map(node, "`entry`", &ENTRY)?;
    let platform = platform(reader, &map, late, planned);
    let os_version = text(reader, &map, "os_version", late);
    let os_features = match get(&map, "os_features") {
        Some(entry) => {
            let items = reader.list(&entry.value, "`os_features`")?;
            Some(items.iter().map(|item| reader.text(item, "a feature", late)).collect::<Read<Vec<String>>>()?)
        }
        None => None,
    };
    let said = platform?.map(EntryOverride::of).unwrap_or_default();
    let (os_version, os_features) = (os_version?.or(said.os_version), os_features.or(said.os_features));
    Ok(EntryOverride { platform: said.platform, os_version, os_features })
}

fn text(reader: &mut Reader<'_>, entry: &Map, key: &str, late: Late<'_>) -> Read<Option<String>> {
    get(entry, key).map(|entry| reader.text(&entry.value, &format!("`{key}`"), late)).transpose()
}

/// The platform, from `platform` or from its parts.
fn platform(
    reader: &mut Reader<'_>,
    entry: &Map,
    late: Late<'_>,
    planned: &Platform,
) -> Read<Option<PlatformSpelling>> {
    let part = ["os", "arch", "variant"].into_iter().find_map(|key| get(entry, key));
    let (node, part) = match (get(entry, "platform"), part) {
        (Some(whole), Some(part)) => {
            let message = format!("an entry must not have both `platform` and `{}`", part.key.name);
            return Err(reader.problem(&whole.value.origin, message, None));
        }
        (Some(whole), None) => return reader.parsed(&whole.value, "`platform`", late).map(Some),
        (None, Some(part)) => (&part.value, part),
        (None, None) => return Ok(None),
    };
    let [os, arch, variant] = ["os", "arch", "variant"].map(|key| text(reader, entry, key, late));
    let (os, arch, variant) = (os?, arch?, variant?);
    // The planned variant belongs to the planned architecture only.
    let planned_variant = if arch.is_none() { planned.variant() } else { None };
    let platform = PlatformSpelling::new(
        os.as_deref().unwrap_or(planned.os()),
        arch.as_deref().unwrap_or(planned.architecture()),
        variant.as_deref().or(planned_variant),
    );
    platform.map(Some).map_err(|error| {
        reader.problem(&node.origin, format!("`{}` does not form a valid platform: {error}", part.key.name), None)
    })
}
