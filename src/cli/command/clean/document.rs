//! Makes the JSON document of `polyarch clean --json`.

use serde_json::{Value, json};

use super::outcome::{CleanOutcome, Cleaned};
use super::text::told;

pub(crate) fn as_json(asked: &[CleanOutcome]) -> Value {
    let cleaned: Vec<_> = asked.iter().filter_map(|one| one.cleaned.as_ref().ok()).map(repository).collect();
    let failed = asked.iter().filter_map(|one| {
        let failure = one.cleaned.as_ref().err()?;
        Some(json!({ "repository": one.repository, "message": failure.message }))
    });
    json!({ "version": 1, "repositories": cleaned, "failed": failed.collect::<Vec<_>>() })
}

fn repository(cleaned: &Cleaned) -> Value {
    let images: Vec<_> = told(cleaned)
        .map(|(image, word, why)| json!({ "imageDigest": image.digest, "imageTags": tags(image), "verdict": word, "why": why }))
        .collect();
    let referrers = cleaned.judged.referrers.iter().map(|one| {
        json!({ "imageDigest": one.digest, "imageTag": one.tag.as_ref().map(ToString::to_string), "refersTo": one.image })
    });
    json!({
        "repository": cleaned.repository,
        "applied": cleaned.outcomes.is_some(),
        "images": images,
        "referrers": referrers.collect::<Vec<_>>(),
    })
}

fn tags(image: &polyarch::run::RepositoryImage) -> Vec<String> {
    image.tags.iter().map(ToString::to_string).collect()
}
