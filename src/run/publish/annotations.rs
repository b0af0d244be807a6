//! Warnings about annotations that are lost when a new index replaces an old one. A person added them, and a build
//! does not know them.

use std::collections::BTreeMap;

use super::current_tags::PreviousIndex;
use super::target::Target;
use crate::oci::{Content, Descriptor, EncodedIndex, ImageIndex};
use crate::run::event::Warning;
use crate::run::storage::Storage;

/// Warns for each index under a final tag whose annotations the new index lacks. Annotations of the index and of its
/// entries count.
pub(in crate::run) fn lost(
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
        let lost = keys(before, &new);
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

/// The lost keys, in the spelling that `--annotation` uses: `KEY` for the index, `entry[PLATFORM]:KEY` for an entry.
/// Entries whose platform is lost do not count here. The annotations of attestations do not count either.
fn keys(before: &PreviousIndex<'_>, new: &ImageIndex) -> Vec<String> {
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
