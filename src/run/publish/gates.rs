//! The gates: checks of a finished index before a final tag moves to it.

use std::collections::{BTreeSet, HashSet};

use super::annotations;
use super::current_tags::{self, CurrentTag};
use super::executables;
use super::executables::Look;
use super::shrink;
use super::tagging::immutable;
use super::target::{Target, not_published};
use crate::oci::{Digest, EncodedIndex};
use crate::plan::{Caution, Plan};
use crate::run::event::shutdown::Shutdown;
use crate::run::event::{Event, Failure, ImageEvent, Phase};
use crate::run::publish::options::{ElfCheck, Gates, LostAnnotations};
use crate::run::storage::Storage;

/// The result for an index that passed every gate.
#[derive(Default)]
pub(in crate::run) struct Passed {
    /// The events to report about the index.
    pub(in crate::run) told: Vec<Event>,
    /// Blobs that a gate read whole and hashed.
    pub(in crate::run) hashed: BTreeSet<Digest>,
}

impl Gates {
    /// The same gates for the images of `plan`. The plan may silence warnings.
    #[must_use]
    pub fn of_plan(self, plan: &Plan) -> Self {
        let silenced = plan.silence.contains(&Caution::LostAnnotations);
        Self { annotations: if silenced { LostAnnotations::Silence } else { LostAnnotations::Tell }, ..self }
    }

    /// Refuses an index that must not be published. The gates send no requests if no tag will move.
    pub(in crate::run) async fn pass(
        self,
        target: &Target<Storage>,
        index: &EncodedIndex,
        standing: &[CurrentTag],
        shutdown: &Shutdown,
    ) -> Result<Passed, Failure> {
        let Some(moving) = standing.iter().find(|standing| !standing.unchanged) else { return Ok(Passed::default()) };
        fixed(target, index, standing)?;
        let before = current_tags::before(target, standing, self.shrinking).await?;
        shrink::refuse(target, &before, index)?;
        let mut warnings = shrink::warnings(target, &before, index);
        if self.annotations == LostAnnotations::Tell {
            warnings.extend(annotations::lost(target, &before, index));
        }
        let told = warnings.into_iter().map(Event::Warning).collect();
        let mut passed = Passed { told, hashed: BTreeSet::new() };
        if self.programs == ElfCheck::Check {
            // Images under a final tag passed this gate before, or the user allowed them.
            let known: HashSet<_> = before.iter().flat_map(|before| &before.entries).map(|e| &e.digest).collect();
            let mut new: Vec<_> = index.children().iter().collect();
            new.retain(|child| !known.contains(child.manifest().digest()));
            let mut stop = shutdown.clone();
            let Look { not_checked, hashed, .. } = tokio::select! {
                checked = executables::refuse(target, new) => checked?,
                reason = stop.stopping() => return Err(not_published(target, &moving.tag, &reason)),
            };
            let event = |(reason, platforms): (String, _)| Event::Image {
                image: target.image.clone(),
                what: ImageEvent::NotChecked { platforms, reason: reason.into() },
            };
            passed.told.extend(not_checked.into_iter().map(event));
            passed.hashed = hashed;
        }
        Ok(passed)
    }
}

/// Refuses the publication if one of its tags is immutable. Otherwise only some of the tags would move.
fn fixed(target: &Target<Storage>, index: &EncodedIndex, standing: &[CurrentTag]) -> Result<(), Failure> {
    let mut refused = standing.iter().filter(|standing| !standing.unchanged && target.storage.fixes(&standing.tag));
    match refused.find_map(|standing| Some((&standing.tag, standing.digest()?))) {
        Some((tag, there)) => {
            let named = target.storage.tag(tag.clone());
            Err(immutable(Phase::Publish, &named, there, index.manifest().digest()))
        }
        None => Ok(()),
    }
}
