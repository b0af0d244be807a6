//! Compares the commits of images. An index must not mix commits, and an arch tag may still name yesterday's image.

use super::error::ConfirmError;
use super::found::Found;
use crate::oci::{Child, REVISION, Tag};
use crate::plan::{Image, Job};
use crate::run::event::failure::failure;
use crate::run::event::{Failure, Phase, Warning};

/// Refuses an image whose revision differs from the revision in the plan. An image without a revision is accepted.
pub(in crate::run) fn as_planned(found: &Found, job: &Job) -> Result<(), ConfirmError> {
    let planned = planned(job);
    match (planned, found.child.revision()) {
        (Some(planned), Some(found)) if planned != found => {
            Err(ConfirmError::Revision { found: found.to_owned(), planned: planned.to_owned() })
        }
        _ => Ok(()),
    }
}

fn planned(job: &Job) -> Option<&str> {
    let spec = &job.build()?.spec;
    let revision = spec.labels.get(REVISION).or_else(|| spec.export.annotations.get(REVISION));
    revision.map(String::as_str).filter(|revision| !revision.is_empty())
}

/// Lists the revisions of images if they differ: `linux/amd64 has a, linux/arm64 has b`.
pub(in crate::run) fn mixed<'a>(images: impl IntoIterator<Item = &'a Child>) -> Option<String> {
    let of = |child: &'a Child| Some((child.platform(), child.revision()?));
    let known: Vec<_> = images.into_iter().filter_map(of).collect();
    let (_, first) = known.first()?;
    if known.iter().all(|(_, revision)| revision == first) {
        return None;
    }
    let texts: Vec<_> = known.iter().map(|(platform, revision)| format!("{platform} has {revision}")).collect();
    Some(format!("the images have several revisions: {}", texts.join(", ")))
}

/// Refuses to join images of one plan that name several commits. One of them is from an earlier pipeline.
pub(in crate::run) fn of_one<'a>(found: impl IntoIterator<Item = &'a Found>) -> Result<(), Failure> {
    let Some(message) = mixed(found.into_iter().map(|found| &found.child)) else { return Ok(()) };
    let hint = format!(
        "build and push the older images again; if the label comes from a base image, override it: \
         `labels: {{ {REVISION}: \"${{git.sha}}\" }}`"
    );
    Err(failure(Phase::Verify, &message, Some(hint)))
}

/// Warns of several revisions. The user named each reference, so polyarch does not refuse them.
pub(in crate::run) fn warning(image: &str, found: &[Found]) -> Option<Warning> {
    let message = mixed(found.iter().map(|found| &found.child))?.into();
    Some(Warning { image: Some(image.to_owned()), platform: None, message, hint: None })
}

/// Warns if the images to join may be from an earlier pipeline and no label names their commit. `found` has these
/// images. Before polyarch looked for them, only the plan can name the commit.
pub(in crate::run) fn stale(image: &Image, found: Option<&[Found]>) -> Option<Warning> {
    // Imported images belong to no commit of the plan.
    let shared: Vec<_> = image.jobs.iter().filter(|job| job.build().is_some() && planned(job).is_none()).collect();
    let shared: Vec<_> = shared.into_iter().filter(|job| is_shared(job, image.tags.first())).collect();
    let built =
        |found: &[Found]| found.iter().zip(&image.jobs).all(|(found, job)| job.build().is_none() || says(found));
    if shared.is_empty() || found.is_some_and(built) {
        return None;
    }
    let derived = image.tags.first().filter(|first| shared.iter().all(|job| derives(job, first)));
    let (message, hint) = if let Some(first) = derived {
        (
            format!(
                "the arch tags come from `{first}`, which moves: polyarch could join images of an earlier pipeline"
            ),
            format!("start `tags:` with a tag of this commit: `tags: [\"${{git.sha}}\", \"{first}\"]`"),
        )
    } else {
        let tags: Vec<_> = shared.iter().map(|job| format!("`{}`", job.arch_tag)).collect();
        (
            format!("the arch tags move ({}): polyarch could join images of an earlier pipeline", tags.join(", ")),
            "add the commit to the arch tags: `arch_tag: \"${git.sha}-${arch}\"`".to_owned(),
        )
    };
    let hint = format!("{hint}; or label the images: `{REVISION}: \"${{git.sha}}\"`");
    Some(Warning {
        image: Some(image.name.to_string()),
        platform: None,
        message: message.into(),
        hint: Some(hint.into()),
    })
}

/// Whether an image names its commit. Images of several commits are refused, so the other images have the same commit.
fn says(found: &Found) -> bool {
    found.child.revision().is_some()
}

fn derives(job: &Job, first: &Tag) -> bool {
    job.arch_tag.as_str().starts_with(first.as_str())
}

/// Whether several runs push their image under the arch tag of `job`.
fn is_shared(job: &Job, first: Option<&Tag>) -> bool {
    if let Some(first) = first.filter(|first| derives(job, first)) {
        return moves(first.as_str());
    }
    // The arch tag has its own form, such as `${arch}` or `main-${arch}`.
    let words = [Some(job.platform.architecture()), job.platform.variant()];
    let own = words.into_iter().flatten().fold(job.arch_tag.to_string(), |tag, word| tag.replacen(word, "", 1));
    let own = own.trim_matches(['-', '_', '.']);
    own.is_empty() || moves(own)
}

/// Whether a tag looks like a tag that moves again and again: `latest`, `main`, `1`, `v1.0`.
fn moves(text: &str) -> bool {
    let is_commit = text.len() >= 7 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let version = text.strip_prefix('v').unwrap_or(text);
    let numbers = version.split('.').collect::<Vec<_>>();
    let short = |number: &&str| !number.is_empty() && number.len() < 5 && number.bytes().all(|b| b.is_ascii_digit());
    !is_commit && (!text.bytes().any(|byte| byte.is_ascii_digit()) || numbers.len() < 3 && numbers.iter().all(short))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moving_tags_are_recognised_by_their_form() {
        for text in ["latest", "main", "nightly", "feature-x", "1", "1.0", "v1", "v2.11"] {
            assert!(moves(text), "{text}");
        }
        for text in ["1.0.3", "v1.2.3", "1.0-rc.1", "deadbeef", "0a1b2c3", "main-0a1b2c3", "20251101", "8765432100"] {
            assert!(!moves(text), "{text}");
        }
    }
}
