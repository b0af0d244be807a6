//! `polyarch verify`

use std::collections::BTreeSet;
use std::process::ExitCode;

use polyarch::plan::Image;
use polyarch::run::{
    self, Checked, CheckedBlob, Expected, Failure, Place, Registry, Server, Source, VerifiedIndex, while_served,
};

use super::args::{PlanArgs, VerifyArgs};
use super::load::{self, Loaded, Refusal};
use super::output::{Format, count, size};
use super::reach::{self, Registries};
use super::settings::Settings;
use super::{diagnostic, notices, stderr, stdout};

/// Something to verify.
struct Subject {
    /// As the user names it.
    name: String,
    source: Source,
    expected: Expected,
}

/// What came of it.
struct Verified {
    name: String,
    result: Result<VerifiedIndex, Failure>,
}

pub(crate) async fn run(args: &VerifyArgs, settings: &Settings) -> Result<ExitCode, Refusal> {
    let (references, images): (Vec<_>, Vec<_>) = args.what.iter().cloned().partition(|word| reach::is_reference(word));
    let mut verified = Vec::new();
    if !references.is_empty() {
        let mut registries = Registries::new(&args.registries, settings, notices::log)?;
        let mut subjects = Vec::new();
        for name in &references {
            let source = registries.source(name).await?;
            subjects.push(Subject { name: name.clone(), source, expected: Expected::default() });
        }
        verified.extend(while_served(registries.server(), verify_all(&subjects)).await);
    }
    if !images.is_empty() || references.is_empty() {
        let (server, subjects) = of_plan(args, images, settings).await?;
        verified.extend(while_served(server, verify_all(&subjects)).await);
    }
    let format = if args.json { Format::Json } else { args.format };
    print(&verified, format, settings)?;
    let failures: Vec<_> = verified.into_iter().filter_map(|one| one.result.err()).collect();
    if failures.is_empty() { Ok(ExitCode::SUCCESS) } else { Err(failures.into()) }
}

/// One after the other: each asks for as much at once as a registry should be asked.
async fn verify_all(subjects: &[Subject]) -> Vec<Verified> {
    let mut results = Vec::new();
    for Subject { name, source: Source { place, selector }, expected } in subjects {
        let verified = run::verify(place.registry.client(), &place.repository, selector, expected).await;
        let result = verified.map_err(|error| reach::refused(name, &error));
        results.push(Verified { name: name.clone(), result });
    }
    results
}

/// Every final tag of the plan's images, in every registry that has them.
async fn of_plan(
    args: &VerifyArgs,
    images: Vec<String>,
    settings: &Settings,
) -> Result<(Option<Server>, Vec<Subject>), Refusal> {
    let plan = PlanArgs { images, file: args.file.clone(), registry: args.registry.clone(), ..PlanArgs::default() };
    let plan = Loaded::read(&plan)?.resolve(settings).await?;
    let (registries, server) = load::registries(&plan, settings, notices::log).await?;
    let mut subjects = Vec::new();
    for registry in registries.all() {
        for image in &plan.images {
            subjects.extend(of_image(image, registry)?);
        }
    }
    Ok((server, subjects))
}

fn of_image(image: &Image, registry: &Registry) -> Result<Vec<Subject>, Failure> {
    let repository = registry.repository(&image.repository);
    let repository =
        repository.map_err(|error| load::usage(format!("{}: {error}", image.name), "shorten `repository:`"))?;
    let place = Place { registry: registry.clone(), repository };
    let subject = |tag: &polyarch::oci::Tag| {
        let source = Source { place: place.clone(), selector: polyarch::oci::Selector::Tag(tag.clone()) };
        Subject { name: source.to_string(), source, expected: expected(image) }
    };
    Ok(image.tags.iter().map(subject).collect())
}

fn expected(image: &Image) -> Expected {
    let platform = |job: &polyarch::plan::Job| {
        (job.entry.platform.clone().unwrap_or_else(|| job.platform.clone()), job.entry.clone())
    };
    Expected { platforms: Some(image.jobs.iter().map(platform).collect()) }
}

fn print(verified: &[Verified], format: Format, settings: &Settings) -> Result<(), Failure> {
    let of = |one: &Verified| one.result.as_ref().ok().map(|index| (one.name.clone(), index.clone()));
    let indexes: Vec<(String, VerifiedIndex)> = verified.iter().filter_map(of).collect();
    match format {
        Format::Text => {
            // Tags of one image name one index: it is said once.
            let mut seen = BTreeSet::new();
            for (name, index) in indexes {
                let line = index.index.to_string();
                if seen.insert(line.clone()) {
                    tell(&name, &index, settings);
                    stdout::bytes(line.as_bytes())?;
                }
            }
            Ok(())
        }
        Format::Json => {
            let document = |(name, index): &(String, VerifiedIndex)| {
                let mut document = serde_json::json!({ "reference": name });
                if let (Some(document), Ok(serde_json::Value::Object(index))) =
                    (document.as_object_mut(), serde_json::to_value(index))
                {
                    document.extend(index);
                }
                document
            };
            let failed = verified.iter().filter_map(|one| {
                let failure = one.result.as_ref().err()?;
                Some(serde_json::json!({ "reference": one.name, "message": failure.message }))
            });
            let (failed, verified): (Vec<_>, Vec<_>) = (failed.collect(), indexes.iter().map(document).collect());
            stdout::json(&serde_json::json!({ "version": 1, "verified": verified, "failed": failed }))
        }
    }
}

/// How much was looked at, and what could not be.
fn tell(name: &str, index: &VerifiedIndex, settings: &Settings) {
    let VerifiedIndex { entries, attestations, blobs, .. } = index;
    let mut parts = vec![count(entries.len(), "platform")];
    parts.extend((*attestations > 0).then(|| count(*attestations, "attestation")));
    let bytes = blobs.iter().fold(0_u64, |sum, blob| sum.saturating_add(blob.size));
    parts.push(format!("{} ({})", count(blobs.len(), "blob"), size(bytes)));
    stderr::line(&format!("{name}: {}", parts.join(", ")));
    let of = |checked: Checked| blobs.iter().filter(move |blob| blob.checked == checked).collect::<Vec<_>>();
    for (checked, what) in [
        (Checked::Foreign, "not asked for, as registries do not hand them on"),
        (Checked::Present, "there, of a size that the registry does not say"),
        (Checked::Unanswered, "not checked: the registry answers for them only with all of them"),
    ] {
        if let [first, rest @ ..] = &of(checked)[..] {
            stderr::line(&diagnostic::warning(&lacking(name, first, rest.len(), what), None, settings.terminal.color));
        }
    }
}

fn lacking(name: &str, first: &CheckedBlob, more: usize, what: &str) -> String {
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{name}: {}{more}: {what}", first.digest)
}
