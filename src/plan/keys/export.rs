//! Reads how the engine writes an image: `compression` and related keys, `rewrite_timestamp`, `oci_mediatypes`,
//! `annotations`.

use std::collections::BTreeMap;

use crate::plan::model::compression::COMPRESSIONS;
use crate::plan::model::compression::Compression;
use crate::plan::model::spec::{CompressionLevel, Export, LayerPolicy, MediaTypes, Timestamps};
use crate::plan::read::node::{Map, Node, get};
use crate::plan::read::pairs;
use crate::plan::read::pairs::EPOCH;
use crate::plan::read::reader::{Late, Read, Reader};
use crate::plan::read::suggest::suggest;

/// Reads these keys from the settings of a job. `args` are its build arguments.
pub(in crate::plan) fn read(
    reader: &mut Reader<'_>,
    settings: &Map,
    late: Late<'_>,
    args: &Read<BTreeMap<String, String>>,
) -> Read<Export> {
    let node = |key| get(settings, key).map(|entry| &entry.value);
    let compression = node("compression").map(|node| compression(reader, node, late)).transpose();
    let level = node("compression_level").map(|node| level(reader, node, compression)).transpose();
    let mut flag = |key: &'static str| node(key).map_or(Ok(false), |node| reader.boolean(node, &format!("`{key}`")));
    let (force, rewrite, oci) = (flag("force_compression"), flag("rewrite_timestamp"), flag("oci_mediatypes"));
    let annotations = pairs::annotations(reader, node("annotations"), late);
    let rewrite = rewrite?;
    if let (true, Ok(args), Some(node)) = (rewrite, args, node("rewrite_timestamp"))
        && !args.contains_key(EPOCH)
    {
        let hint = format!("set {EPOCH} to seconds since 1970, in the environment or under `args`");
        return Err(reader.problem(&node.origin, format!("`rewrite_timestamp` needs {EPOCH}"), Some(hint)));
    }
    Ok(Export {
        compression: compression?,
        level: level?,
        layers: if force? { LayerPolicy::Recompress } else { LayerPolicy::Keep },
        timestamps: if rewrite { Timestamps::Rewrite } else { Timestamps::Keep },
        media_types: if oci? { MediaTypes::Oci } else { MediaTypes::Default },
        annotations: annotations?,
    })
}

fn compression(reader: &mut Reader<'_>, node: &Node, late: Late<'_>) -> Read<Compression> {
    let text = reader.text(node, "`compression`", late)?;
    let found = COMPRESSIONS.iter().find(|(name, _)| *name == text);
    found.map(|(_, compression)| *compression).ok_or_else(|| {
        let names = COMPRESSIONS.map(|(name, _)| name);
        let hint = suggest(&text, names).unwrap_or_else(|| format!("use one of: {}", names.join(", ")));
        reader.problem(&node.origin, format!("`{text}` is not a layer compression"), Some(hint))
    })
}

/// The compression level. The highest level depends on the compression.
fn level(reader: &mut Reader<'_>, node: &Node, compression: Read<Option<Compression>>) -> Read<CompressionLevel> {
    let highest = match compression? {
        None | Some(Compression::Gzip | Compression::Estargz) => 9,
        Some(Compression::Zstd) => 22,
        Some(Compression::Uncompressed) => {
            let hint = Some("remove one of the two keys".to_owned());
            return Err(reader.problem(&node.origin, "`compression: uncompressed` has no `compression_level`", hint));
        }
    };
    let wanted = format!("a number from 0 to {highest}");
    let level = reader.number::<u8>(node, "`compression_level`", &wanted)?;
    if level > highest {
        return Err(reader.problem(&node.origin, format!("`compression_level` must be {wanted}"), None));
    }
    Ok(CompressionLevel(level))
}
