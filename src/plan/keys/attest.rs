//! Reads the attestations that a build creates: `provenance`, `sbom`.

use crate::plan::model::spec::PROVENANCES;
use crate::plan::model::spec::{Attest, Generator, Provenance};
use crate::plan::read::node::{Map, Node, Value, get};
use crate::plan::read::reader::{Late, Read, Reader};
use crate::plan::read::suggest::suggest;

/// Reads both keys from the settings of a job.
pub(in crate::plan) fn read(reader: &mut Reader<'_>, settings: &Map, late: Late<'_>) -> Read<Attest> {
    let node = |key| get(settings, key).map(|entry| &entry.value);
    let provenance = node("provenance").map_or(Ok(None), |node| provenance(reader, node, late));
    let sbom = node("sbom").map_or(Ok(None), |node| sbom(reader, node, late));
    Ok(Attest { provenance: provenance?, sbom: sbom? })
}

fn provenance(reader: &mut Reader<'_>, node: &Node, late: Late<'_>) -> Read<Option<Provenance>> {
    let text = word(reader, node, "`provenance`", late)?;
    if text == "false" {
        return Ok(None);
    }
    if text == "true" {
        // The meaning of `true` depends on the tool: buildx reads it as min, BuildKit as max.
        let hint = Some("write min or max".to_owned());
        return Err(reader.problem(
            &node.origin,
            "`provenance: true` does not specify how much provenance you want",
            hint,
        ));
    }
    let found = PROVENANCES.iter().find(|(name, _)| *name == text);
    found.map(|(_, provenance)| Some(*provenance)).ok_or_else(|| {
        let message = format!("`{}` is not a mode of provenance", text.escape_debug());
        reader.problem(&node.origin, message, suggest(&text, ["min", "max", "false"]))
    })
}

fn sbom(reader: &mut Reader<'_>, node: &Node, late: Late<'_>) -> Read<Option<Generator>> {
    let text = word(reader, node, "`sbom`", late)?;
    match &*text {
        "false" => Ok(None),
        "true" => Ok(Some(Generator::Standard)),
        image => image.parse().map(|image| Some(Generator::Image(image))).map_err(|error| {
            let message = format!("the generator `{}` of `sbom` is not an image: {error}", image.escape_debug());
            reader.problem(&node.origin, message, Some("write true, false or HOST/REPOSITORY:TAG".to_owned()))
        }),
    }
}

/// A text that may also be written as a boolean.
fn word(reader: &mut Reader<'_>, node: &Node, subject: &str, late: Late<'_>) -> Read<String> {
    match &node.value {
        Value::Bool(value) => Ok(value.to_string()),
        _ => reader.text(node, subject, late),
    }
}
