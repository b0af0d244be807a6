//! `polyarch inspect`

use std::process::ExitCode;

use polyarch::oci::{Content, Descriptor, Platform, RawManifest};
use polyarch::registry::Visibility;
use polyarch::run::{Failure, Phase, while_served};
use serde_json::json;

use super::args::InspectArgs;
use super::load::Refusal;
use super::output::size;
use super::reach::{self, Insecure};
use super::settings::Settings;
use super::{notices, stdout};

pub(crate) async fn run(args: &InspectArgs, settings: &Settings) -> Result<ExitCode, Refusal> {
    let reference = reach::parse(&args.reference)?;
    let (registry, server) =
        reach::registry(&reference, Insecure::from_flag(args.insecure), settings, notices::log).await?;
    let path = reference.repository.path();
    let fetching = registry.client().get_manifest(path, &reference.selector, Visibility::Settled);
    let manifest = while_served(server, fetching).await;
    let manifest = manifest.map_err(|error| reach::unread(&reference.to_string(), &error))?;
    if args.raw {
        stdout::exact(manifest.bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    let entries = entries(&manifest)?;
    if args.json {
        stdout::json(&as_json(&reference.to_string(), &manifest, &entries))?;
    } else {
        stdout::bytes(table(&reference.to_string(), &manifest, &entries).as_bytes())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The entries of an index; of an image its config and layers.
fn entries(manifest: &RawManifest) -> Result<Vec<Descriptor>, Failure> {
    let content = manifest.content().map_err(|error| Failure {
        phase: Phase::Verify,
        message: error.to_string(),
        hint: Some("--raw shows its bytes".into()),
    })?;
    Ok(match content {
        Content::Index(index) => index.manifests,
        Content::Image(image) => std::iter::once(image.config).chain(image.layers).collect(),
    })
}

fn as_json(reference: &str, manifest: &RawManifest, entries: &[Descriptor]) -> serde_json::Value {
    let entry = |entry: &Descriptor| {
        json!({
            "mediaType": entry.media_type, "digest": entry.digest, "size": entry.size,
            "platform": entry.platform, "annotations": entry.annotations, "attests": attested(entry, entries),
        })
    };
    json!({
        "version": 1, "reference": reference, "mediaType": manifest.media_type(), "digest": manifest.digest(),
        "size": manifest.size(), "entries": entries.iter().map(entry).collect::<Vec<_>>(),
    })
}

fn table(reference: &str, manifest: &RawManifest, entries: &[Descriptor]) -> String {
    let mut lines = vec![
        format!("name       {reference}"),
        format!("digest     {}", manifest.digest()),
        format!("mediaType  {}", manifest.media_type()),
        String::new(),
    ];
    // An index has the sizes of manifests, an image those of its blobs.
    let (of, sized) = if manifest.media_type().is_index() { ("platform", "manifest") } else { ("part", "size") };
    let row = |entry: &Descriptor| (what(entry, entries), size(entry.size), entry.digest.to_string());
    let heading = (of.to_owned(), sized.to_owned(), "digest".to_owned());
    let rows: Vec<_> = std::iter::once(heading).chain(entries.iter().map(row)).collect();
    let widest =
        |column: fn(&(String, String, String)) -> &String| rows.iter().map(|row| column(row).len()).max().unwrap_or(0);
    let (name, bytes) = (widest(|row| &row.0), widest(|row| &row.1));
    lines.extend(rows.iter().map(|(what, size, digest)| format!("{what:name$}  {size:>bytes$}  {digest}")));
    lines.join("\n")
}

/// What an entry is: of an index its platform, of an image what its media type says.
fn what(entry: &Descriptor, entries: &[Descriptor]) -> String {
    let Some(fields) = &entry.platform else {
        return polyarch::run::sanitize::line(entry.media_type.as_str().as_bytes());
    };
    if entry.is_attestation() {
        let of = attested(entry, entries).map(|platform| format!(" of {platform}"));
        return format!("attestation{}", of.unwrap_or_default());
    }
    fields.platform().map_or_else(|_| "no platform".into(), |platform| platform.to_string())
}

/// The platform of the image that an entry attests.
fn attested(entry: &Descriptor, entries: &[Descriptor]) -> Option<Platform> {
    let image = entry.attests()?;
    let of = entries.iter().find(|entry| entry.digest == image && !entry.is_attestation())?;
    of.platform.as_ref()?.platform().ok()
}
