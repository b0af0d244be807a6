//! Compares a new index with the index that it replaces. Refuses an index that lacks platforms, and warns of lost
//! attestations and annotations.

use std::collections::BTreeMap;

use super::current_tags::PreviousIndex;
use super::target::Base;
use super::target::Target;
use crate::oci::{Content, Descriptor, EncodedIndex, ImageIndex, Platform};
use crate::run::event::failure::failure;
use crate::run::event::{Failure, Phase, Warning};
use crate::run::storage::Storage;

/// Refuses an index that lacks platforms which one of its tags has now. `before` has the indexes that polyarch read,
/// and this check reads no others.
pub(super) fn refuse(
    target: &Target<Storage>,
    before: &[PreviousIndex<'_>],
    index: &EncodedIndex,
) -> Result<(), Failure> {
    let new = entries(index);
    let lost = before.iter().filter_map(|before| {
        let lacks = lacks(&before.entries, &new, target.base.removed());
        let named = target.storage.tag(before.tag.clone());
        (!lacks.is_empty()).then(|| format!("{named} has {}, which the new index lacks", lacks.join(", ")))
    });
    let lost: Vec<_> = lost.collect();
    if lost.is_empty() {
        return Ok(());
    }
    let hint = match target.base {
        Base::Nothing => "add them to the new index, or pass `--allow-shrink` to drop them",
        Base::Target { .. } => "run this again if another run added them, or pass `--allow-shrink` to drop them",
    };
    Err(failure(Phase::Verify, &format!("{}; not moved", lost.join("; ")), Some(hint.into())))
}

/// Warns of attestations in `before` that the new index lacks.
pub(super) fn of_attestations(
    target: &Target<Storage>,
    before: &[PreviousIndex<'_>],
    index: &EncodedIndex,
) -> Vec<Warning> {
    let attested = |platform: &Platform| {
        let mut children = index.children().iter();
        children.any(|child| platform.is_renewed_by(child.platform()) && !child.attestations().is_empty())
    };
    let of = |before: &PreviousIndex<'_>| {
        let lost = attested_platforms(&before.entries).into_iter();
        let lost = lost.filter(|platform| !attested(platform) && !is_removed(target.base.removed(), platform));
        let lost: Vec<_> = lost.map(|platform| platform.to_string()).collect();
        let named = target.storage.tag(before.tag.clone());
        let message = format!("{named} has attestations of {}, which the new index lacks", lost.join(", "));
        (!lost.is_empty()).then(|| Warning {
            image: Some(target.image.clone()),
            platform: None,
            message: message.into(),
            hint: None,
        })
    };
    before.iter().filter_map(of).collect()
}

/// Warns for each index under a final tag whose annotations the new index lacks. A person added them, and a build does
/// not know them. Annotations of the index and of its
/// entries count.
pub(super) fn of_annotations(
    target: &Target<Storage>,
    before: &[PreviousIndex<'_>],
    index: &EncodedIndex,
) -> Vec<Warning> {
    let new = match index.manifest().content() {
        Ok(Content::Index(index)) => index,
        // polyarch encoded it as an index, so this case does not occur.
        Ok(Content::Image(_)) | Err(_) => return Vec::new(),
    };
    let of = |before: &PreviousIndex<'_>| {
        let lost = lost_keys(before, &new);
        let named = target.storage.tag(before.tag.clone());
        let message = format!("{named} has annotations that the new index lacks: {}", lost.join(", "));
        let hint = format!(
            "add them after the build: `polyarch join -t {named} --append --annotation KEY=VALUE`; \
             `silence: [lost_annotations]` in the plan ends this warning"
        );
        (!lost.is_empty()).then(|| Warning {
            image: Some(target.image.clone()),
            platform: None,
            message: message.into(),
            hint: Some(hint.into()),
        })
    };
    before.iter().filter_map(of).collect()
}

fn entries(index: &EncodedIndex) -> Vec<Descriptor> {
    match index.manifest().content() {
        Ok(Content::Index(index)) => index.manifests,
        // This cannot happen, because polyarch encoded an index.
        Ok(Content::Image(_)) | Err(_) => Vec::new(),
    }
}

/// The platforms of `before` that no entry of `new` has. Platforms in `removed` do not count.
fn lacks(before: &[Descriptor], new: &[Descriptor], removed: &[Platform]) -> Vec<String> {
    let of = |entry: &Descriptor| entry.platform().filter(|_| !entry.is_attestation());
    let new: Vec<_> = new.iter().filter_map(of).collect();
    let mut lost = Vec::new();
    for platform in before.iter().filter_map(of).filter(|platform| !is_removed(removed, platform)) {
        let name = platform.to_string();
        if !new.iter().any(|one| platform.is_renewed_by(one)) && !lost.contains(&name) {
            lost.push(name);
        }
    }
    lost
}

fn is_removed(removed: &[Platform], platform: &Platform) -> bool {
    removed.iter().any(|one| one.covers(platform))
}

/// The platforms of the images that have attestations in this index.
fn attested_platforms(entries: &[Descriptor]) -> Vec<Platform> {
    let attested: Vec<_> = entries.iter().filter_map(Descriptor::attests).collect();
    let images = entries.iter().filter(|entry| attested.contains(&entry.digest));
    images.filter_map(Descriptor::platform).collect()
}

/// The lost keys, in the spelling that `--annotation` uses: `KEY` for the index, `entry[PLATFORM]:KEY` for an entry.
/// Entries whose platform is lost do not count here. The annotations of attestations do not count either.
fn lost_keys(before: &PreviousIndex<'_>, new: &ImageIndex) -> Vec<String> {
    let gone = |had: &BTreeMap<String, String>, has: &[&BTreeMap<String, String>]| {
        let is_gone = |key: &&String| !has.iter().any(|has| has.contains_key(*key));
        had.keys().filter(is_gone).cloned().collect::<Vec<_>>()
    };
    let mut lost = gone(&before.annotations, &[&new.annotations]);
    let platform = |entry: &Descriptor| entry.platform().filter(|_| !entry.is_attestation());
    for entry in &before.entries {
        let Some(own) = platform(entry) else { continue };
        let same = new.manifests.iter().filter(|one| platform(one).is_some_and(|one| own.is_renewed_by(&one)));
        let same: Vec<_> = same.map(|one| &one.annotations).collect();
        if !same.is_empty() {
            lost.extend(gone(&entry.annotations, &same).into_iter().map(|key| format!("entry[{own}]:{key}")));
        }
    }
    lost
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(platform: &str, more: &serde_json::Value) -> Descriptor {
        let parts: Vec<_> = platform.split('/').collect();
        let mut fields = json!({ "os": parts[0], "architecture": parts[1] });
        if let Some(variant) = parts.get(2) {
            fields["variant"] = (*variant).into();
        }
        fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let digest = crate::oci::Digest::of(fields.to_string().as_bytes());
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        let entry = json!({ "mediaType": media_type, "digest": digest, "size": 2, "platform": fields });
        serde_json::from_value(entry).unwrap()
    }

    fn plain(platforms: &[&str]) -> Vec<Descriptor> {
        platforms.iter().map(|platform| entry(platform, &json!({}))).collect()
    }

    #[test]
    fn platform_is_lost_if_the_new_index_has_no_image_of_it() {
        for (before, new, lost) in [
            (&["linux/amd64", "linux/arm64"][..], &["linux/arm64", "linux/amd64"][..], &[][..]),
            (&["linux/amd64"], &["linux/amd64", "linux/arm64"], &[]),
            (&["linux/amd64", "linux/arm/v7"], &["linux/amd64"], &["linux/arm/v7"]),
            (&["linux/arm/v6", "linux/arm/v7"], &["linux/arm/v7"], &["linux/arm/v6"]),
            // containerd takes these platforms for the same.
            (&["linux/arm64/v8", "linux/arm"], &["linux/arm64", "linux/arm/v7"], &[]),
            // Attestations have no platform.
            (&["linux/amd64", "unknown/unknown"], &["linux/amd64"], &[]),
            (&["linux/s390x", "linux/s390x"], &["linux/amd64"], &["linux/s390x"]),
        ] {
            assert_eq!(lacks(&plain(before), &plain(new), &[]), lost, "{before:?} by {new:?}");
        }
    }

    #[test]
    fn removed_platforms_are_not_reported_as_lost() {
        let before = plain(&["linux/amd64", "linux/arm/v6", "linux/arm/v7"]);
        let removed = ["linux/arm/v7".parse().unwrap()];
        assert_eq!(lacks(&before, &plain(&["linux/amd64"]), &removed), ["linux/arm/v6"]);
        assert_eq!(lacks(&before, &plain(&["linux/amd64", "linux/arm/v6"]), &removed), [""; 0]);
    }

    #[test]
    fn windows_patch_keeps_the_platform_and_a_build_changes_it() {
        let windows = |version: &str| entry("windows/amd64", &json!({ "os.version": version }));
        let before = [windows("10.0.17763.5820"), windows("10.0.20348.2461")];
        assert_eq!(lacks(&before, &[windows("10.0.20348.2582"), windows("10.0.17763")], &[]), [""; 0]);
        assert_eq!(lacks(&before, &[windows("10.0.20348.2461")], &[]), ["windows(10.0.17763.5820)/amd64"]);
        assert_eq!(lacks(&before[..1], &plain(&["windows/amd64"]), &[]), ["windows(10.0.17763.5820)/amd64"]);
    }
}
