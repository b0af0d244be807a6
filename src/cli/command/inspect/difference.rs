//! Prints the differences between two indexes.

use polyarch::run::{
    AnnotationChange, Change, Difference, FieldChange, ImageFacts, Order, OtherDifference, PlatformDifference, Side,
};
use serde_json::{Value, json};

use super::text::safe;
use crate::cli::terminal::style::{columns, count, pad, size};

/// The longest value that the text shows, in characters: `data` of an entry may hold a whole manifest.
const MOST_VALUE: usize = 500;

pub(crate) fn as_json(difference: &Difference) -> Value {
    let Difference { a, b, platforms, annotations, fields, others, order, other_bytes } = difference;
    json!({
        "version": 1, "same": difference.is_same(), "a": a, "b": b, "platforms": platforms,
        "annotations": annotations, "fields": fields, "others": others, "order": order, "other_bytes": other_bytes,
    })
}

pub(crate) fn lines(difference: &Difference) -> Vec<String> {
    let Difference { a, b, platforms, annotations, fields, others, order, other_bytes } = difference;
    let mut lines = [side("A", a), side("B", b)].concat();
    if difference.is_same() {
        lines.push("same".to_owned());
        return lines;
    }
    let types_differ = a.media_type != b.media_type;
    if types_differ {
        lines.extend(changed("type", &safe(a.media_type.as_str()), &safe(b.media_type.as_str())));
    }
    if a.attestations != b.attestations {
        lines.push(format!("attestations: {} in A, {} in B", a.attestations, b.attestations));
    }
    lines.extend(annotations.iter().flat_map(|change| annotation("", change)));
    let is_told = |change: &&FieldChange| types_differ && change.field == "mediaType";
    lines.extend(fields.iter().filter(|change| !is_told(change)).flat_map(|change| field("", change)));
    if let Some(Order { a, b }) = order {
        let list = |names: &[String]| names.iter().map(|name| safe(name)).collect::<Vec<_>>().join(", ");
        lines.extend(changed("order", &list(a), &list(b)));
    }
    if *other_bytes {
        lines.push("both have the same content in other bytes: white space, or the order of fields".to_owned());
    }
    lines.push(String::new());
    let width = platforms.iter().map(|one| columns(&safe(&one.platform))).max().unwrap_or(0);
    lines.extend(platforms.iter().flat_map(|one| platform(one, width)));
    lines.extend(others.iter().flat_map(other));
    lines
}

fn side(letter: &str, Side { reference, digest, .. }: &Side) -> Vec<String> {
    vec![format!("{letter}        {}", safe(reference)), format!("         {digest}")]
}

fn changed(field: &str, a: &str, b: &str) -> [String; 3] {
    [format!("{field} changed"), format!("  - {a}"), format!("  + {b}")]
}

fn platform(
    PlatformDifference { platform, change, annotations, entry, manifest }: &PlatformDifference,
    width: usize,
) -> Vec<String> {
    let name = safe(platform);
    let (says, more) = match change {
        Change::Same { .. } if annotations.is_empty() && entry.is_empty() => ("same".to_owned(), Vec::new()),
        Change::Same { .. } => ("same image, its entry changed".to_owned(), Vec::new()),
        Change::OnlyA { a } => ("only in A".to_owned(), facts("-", a)),
        Change::OnlyB { b } => ("only in B".to_owned(), facts("+", b)),
        Change::Changed { a, b, layers_shared, new_bytes } => {
            let of = b.layers.map(|layers| format!(" of {}", count(layers, "layer"))).unwrap_or_default();
            let says = format!("changed, {layers_shared}{of} shared, {} new", size(*new_bytes));
            (says, [facts("-", a), facts("+", b)].concat())
        }
    };
    let mut lines = vec![format!("{}  {says}", pad(&name, width))];
    lines.extend(more);
    lines.extend(annotations.iter().flat_map(|change| annotation("  ", change)));
    lines.extend(entry.iter().chain(manifest).flat_map(|change| field("  ", change)));
    lines
}

fn other(OtherDifference { what, a, b, entry }: &OtherDifference) -> Vec<String> {
    let says = match (a, b) {
        (Some(_), None) => "only in A",
        (None, _) => "only in B",
        (Some(a), Some(b)) if a == b => "same, its entry changed",
        _ => "changed",
    };
    let mut lines = vec![format!("{}  {says}", safe(what))];
    if a != b {
        lines.extend(a.iter().map(|digest| format!("  - {digest}")));
        lines.extend(b.iter().map(|digest| format!("  + {digest}")));
    }
    lines.extend(entry.iter().flat_map(|change| field("  ", change)));
    lines
}

fn facts(sign: &str, ImageFacts { digest, bytes, created, .. }: &ImageFacts) -> Vec<String> {
    let bytes = bytes.map_or_else(|| "not read".to_owned(), size);
    let created = created.as_deref().map(|created| format!(", created {}", safe(created))).unwrap_or_default();
    vec![format!("  {sign} {digest}"), format!("    {bytes}{created}")]
}

fn annotation(indent: &str, AnnotationChange { key, a, b }: &AnnotationChange) -> Vec<String> {
    let line = |sign: &str, value: &String| format!("{indent}{sign} {} = {}", safe(key), safe(value));
    let (a, b) = (a.as_ref().map(|value| line("-", value)), b.as_ref().map(|value| line("+", value)));
    a.into_iter().chain(b).collect()
}

fn field(indent: &str, FieldChange { field, a, b }: &FieldChange) -> Vec<String> {
    let shown = |value: &Value| {
        let text = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
        let cut = text.char_indices().nth(MOST_VALUE).map(|(at, _)| format!("{}…", &text[..at]));
        safe(&cut.unwrap_or(text))
    };
    let line = |sign: &str, value: &Value| format!("{indent}{sign} {} = {}", safe(field), shown(value));
    let (a, b) = (a.as_ref().map(|value| line("-", value)), b.as_ref().map(|value| line("+", value)));
    a.into_iter().chain(b).collect()
}
