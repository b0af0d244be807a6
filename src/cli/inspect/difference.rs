//! What differs between two indexes.

use polyarch::run::{AnnotationChange, Change, Difference, ImageFacts, PlatformDifference, Side};
use serde_json::{Value, json};

use super::super::output::{count, size};
use super::text::safe;

pub(super) fn as_json(difference: &Difference) -> Value {
    let Difference { a, b, platforms, annotations } = difference;
    json!({
        "version": 1, "same": difference.is_same(), "a": a, "b": b, "platforms": platforms,
        "annotations": annotations,
    })
}

pub(super) fn lines(difference: &Difference) -> Vec<String> {
    let Difference { a, b, platforms, annotations } = difference;
    let mut lines = [side("A", a), side("B", b)].concat();
    if difference.is_same() {
        lines.push("same".to_owned());
        return lines;
    }
    if a.media_type != b.media_type {
        lines.push(format!("type changed\n  - {}\n  + {}", a.media_type, b.media_type));
    }
    if a.attestations != b.attestations {
        lines.push(format!("attestations: {} in A, {} in B", a.attestations, b.attestations));
    }
    lines.extend(annotations.iter().flat_map(|change| annotation("", change)));
    lines.push(String::new());
    let width = platforms.iter().map(|one| one.platform.chars().count()).max().unwrap_or(0);
    lines.extend(platforms.iter().flat_map(|one| platform(one, width)));
    lines
}

fn side(letter: &str, Side { reference, digest, .. }: &Side) -> Vec<String> {
    vec![format!("{letter}        {}", safe(reference)), format!("         {digest}")]
}

fn platform(PlatformDifference { platform, change, annotations }: &PlatformDifference, width: usize) -> Vec<String> {
    let name = safe(platform);
    let (says, more) = match change {
        Change::Same { .. } => ("same".to_owned(), Vec::new()),
        Change::OnlyA { a } => ("only in A".to_owned(), facts("-", a)),
        Change::OnlyB { b } => ("only in B".to_owned(), facts("+", b)),
        Change::Changed { a, b, layers_shared, new_bytes } => {
            let of = b.layers.map(|layers| format!(" of {}", count(layers, "layer"))).unwrap_or_default();
            let says = format!("changed, {layers_shared}{of} shared, {} new", size(*new_bytes));
            (says, [facts("-", a), facts("+", b)].concat())
        }
    };
    let mut lines = vec![format!("{name:width$}  {says}")];
    lines.extend(more);
    lines.extend(annotations.iter().flat_map(|change| annotation("  ", change)));
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
