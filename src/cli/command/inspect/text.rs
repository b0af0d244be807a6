//! Makes the text. Only digests and third-party text are longer than a narrow terminal.

use std::collections::BTreeMap;

use polyarch::oci::{Descriptor, ImageManifest, MediaType, RawManifest};
use polyarch::run::{ConfigSays, Inspected, InspectedEntry, InspectedIndex, Listed, ManifestContent};
use polyarch::text::Text;

use crate::cli::terminal::style::{columns, count, pad, pad_start, size};

/// Stands between the columns of an entry's first line.
const GAP: &str = "  ";
/// Stands before a line about the entry above.
const INDENT: &str = "  ";

pub(crate) fn lines(name: &str, Inspected { manifest, inside }: &Inspected) -> Vec<String> {
    let mut lines = heading(name, manifest);
    match inside {
        ManifestContent::Index(index) => {
            lines.extend(annotations("", &index.annotations));
            lines.push(String::new());
            lines.extend(entries("", index));
        }
        ManifestContent::Image(image, says) => lines.extend(alone(image, says)),
    }
    lines
}

fn heading(name: &str, manifest: &RawManifest) -> Vec<String> {
    vec![
        format!("name     {}", safe(name)),
        format!("digest   {}", manifest.digest()),
        format!("type     {}", manifest.media_type()),
    ]
}

fn alone(image: &ImageManifest, says: &ConfigSays) -> Vec<String> {
    let mut lines = Vec::new();
    lines.extend(says.platform.as_ref().map(|platform| format!("platform {platform}")));
    lines.extend(says.created.as_ref().map(|created| format!("created  {}", safe(created))));
    lines.push(format!("size     {}, {}", size(image.image_bytes()), count(image.layers.len(), "layer")));
    lines.extend(annotations("", &image.annotations));
    lines.push(String::new());
    let part = |role: &str, blob: &Descriptor| {
        let mut lines = vec![
            format!("{role:6}  {:>8}  {}", size(blob.size), safe(blob.media_type.as_str())),
            format!("{INDENT}{}", blob.digest),
        ];
        lines.extend(predicate("", blob));
        lines
    };
    lines.extend(part("config", &image.config));
    lines.extend(image.layers.iter().flat_map(|layer| part("layer", layer)));
    lines
}

/// The entries of an index. The entries of a listed index follow that index.
fn entries(indent: &str, index: &InspectedIndex) -> Vec<String> {
    let rows: Vec<_> = index.entries.iter().map(row).collect();
    let width = |column: usize| rows.iter().map(|row| columns(&row[column])).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2)];
    let mut lines = Vec::new();
    for (entry, [name, kind, parts, bytes]) in index.entries.iter().zip(&rows) {
        let [a, b, c] = widths;
        let (name, kind, parts) = (pad(name, a), pad(kind, b), pad_start(parts, c));
        let line = format!("{indent}{name}{GAP}{kind}{GAP}{parts}{GAP}{bytes}");
        lines.push(line.trim_end().to_owned());
        lines.extend(below(&format!("{indent}{INDENT}"), entry));
    }
    lines
}

/// The platform or name of an entry; its kind; the number of its parts; its size in the registry.
fn row(InspectedEntry { entry, attests, inside }: &InspectedEntry) -> [String; 4] {
    let what = what(entry, attests.as_ref().map(ToString::to_string));
    let kind = kind(&entry.media_type);
    match inside {
        Listed::Image(image) if entry.is_attestation() => {
            [what, kind, count(image.layers.len(), "statement"), size(image.image_bytes())]
        }
        Listed::Image(image) => [what, kind, count(image.layers.len(), "layer"), size(image.image_bytes())],
        Listed::Index(index) => [what, kind, entries_of(index.entries.len()), String::new()],
        Listed::Again => [what, kind, "as above".to_owned(), String::new()],
        Listed::Unread(_) => [what, kind, "not read".to_owned(), String::new()],
    }
}

fn entries_of(number: usize) -> String {
    format!("{number} {}", if number == 1 { "entry" } else { "entries" })
}

fn what(entry: &Descriptor, attests: Option<String>) -> String {
    if entry.is_attestation() {
        return format!("attestation{}", attests.map(|platform| format!(" of {platform}")).unwrap_or_default());
    }
    let Some(fields) = &entry.platform else {
        return if entry.media_type.is_index() { "index".to_owned() } else { "no platform".to_owned() };
    };
    fields.platform().map_or_else(|_| "no platform".to_owned(), |platform| platform.to_string())
}

/// The family of the four media types that every tool knows; any other media type itself.
fn kind(media_type: &MediaType) -> String {
    match media_type {
        MediaType::DockerManifest => "Docker image".to_owned(),
        MediaType::DockerList => "Docker list".to_owned(),
        MediaType::OciManifest => "OCI image".to_owned(),
        MediaType::OciIndex => "OCI index".to_owned(),
        MediaType::Other(other) => safe(other),
    }
}

fn below(indent: &str, InspectedEntry { entry, inside, .. }: &InspectedEntry) -> Vec<String> {
    let mut lines = vec![format!("{indent}{}", entry.digest)];
    // The annotations of an attestation repeat the columns above.
    if !entry.is_attestation() {
        lines.extend(annotations(indent, &entry.annotations));
    }
    match inside {
        Listed::Image(image) if entry.is_attestation() => {
            lines.extend(image.layers.iter().filter_map(|layer| predicate(indent, layer)));
        }
        Listed::Image(image) => lines.extend(annotations(indent, &image.annotations)),
        Listed::Index(index) => {
            lines.extend(annotations(indent, &index.annotations));
            lines.extend(entries(indent, index));
        }
        Listed::Again => {}
        Listed::Unread(why) => lines.push(format!("{indent}{}", safe(why))),
    }
    lines
}

/// `provenance  https://slsa.dev/provenance/v1`
fn predicate(indent: &str, layer: &Descriptor) -> Option<String> {
    let predicate = layer.predicate_type()?;
    let known = [
        ("https://slsa.dev/provenance/", "provenance"),
        ("https://spdx.dev/", "SBOM"),
        ("https://cyclonedx.org/", "SBOM"),
    ];
    let word = known.into_iter().find(|(start, _)| predicate.starts_with(start)).map_or("statement", |(_, word)| word);
    Some(format!("{indent}{word:10}  {}", safe(predicate)))
}

fn annotations(indent: &str, annotations: &BTreeMap<String, String>) -> Vec<String> {
    annotations.iter().map(|(key, value)| format!("{indent}{} = {}", safe(key), safe(value))).collect()
}

/// Makes text from a registry safe to print: it may contain anything.
pub(super) fn safe(text: &str) -> String {
    Text::line(text).to_string()
}
