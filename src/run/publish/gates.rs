//! The gates: checks of a finished index before a final tag moves to it.

use std::collections::{BTreeSet, HashSet};

use super::current_tags::{self, CurrentTag};
use super::losses;
use super::target::{Target, not_published};
use crate::oci::{Child, Digest, EncodedIndex};
use crate::plan::{Caution, Plan};
use crate::run::event::failure::failure;
use crate::run::event::shutdown::Shutdown;
use crate::run::event::{Failure, ImageEvent, Phase, Warning};
use crate::run::fetch::complete::LOST;
use crate::run::fetch::executables::{self, FOREIGN, Look};
use crate::run::publish::options::{ElfCheck, Gates, LostAnnotations};
use crate::run::storage::Storage;
use crate::run::storage::put_tag::TagToMove;

/// The result for an index that passed every gate.
#[derive(Default)]
pub(in crate::run) struct Passed {
    pub(in crate::run) warnings: Vec<Warning>,
    /// [`ImageEvent::NotChecked`] for the platforms whose programs could not be checked.
    pub(in crate::run) not_checked: Vec<ImageEvent>,
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
        tags: &[CurrentTag],
        shutdown: &Shutdown,
    ) -> Result<Passed, Failure> {
        let Some(moving) = tags.iter().find(|current| !current.unchanged) else { return Ok(Passed::default()) };
        refuse_immutable(target, index, tags)?;
        let before = current_tags::previous(target, tags, self.shrinking).await?;
        losses::refuse(target, &before, index)?;
        let mut warnings = losses::of_attestations(target, &before, index);
        if self.annotations == LostAnnotations::Tell {
            warnings.extend(losses::of_annotations(target, &before, index));
        }
        let mut passed = Passed { warnings, ..Passed::default() };
        if self.programs == ElfCheck::Check {
            // Images under a final tag passed this gate before, or the user allowed them.
            let known: HashSet<_> = before.iter().flat_map(|before| &before.entries).map(|e| &e.digest).collect();
            let mut new: Vec<_> = index.children().iter().collect();
            new.retain(|child| !known.contains(child.manifest().digest()));
            let mut stop = shutdown.clone();
            let Look { not_checked, hashed, .. } = tokio::select! {
                checked = refuse_programs(target, new) => checked?,
                reason = stop.stopping() => return Err(not_published(target, &moving.tag, &reason)),
            };
            let event = |(reason, platforms): (String, _)| ImageEvent::NotChecked { platforms, reason: reason.into() };
            passed.not_checked.extend(not_checked.into_iter().map(event));
            passed.hashed = hashed;
        }
        Ok(passed)
    }
}

/// Refuses the publication if one of its tags is immutable. Otherwise only some of the tags would move.
fn refuse_immutable(target: &Target<Storage>, index: &EncodedIndex, tags: &[CurrentTag]) -> Result<(), Failure> {
    let mut immutable = tags.iter().filter(|current| !current.unchanged && target.storage.fixes(&current.tag));
    match immutable.find_map(|current| Some((&current.tag, current.digest()?))) {
        Some((tag, there)) => {
            let tag = target.storage.tag(tag.clone());
            Err(TagToMove::Final(&tag).refused(there, index.manifest().digest()))
        }
        None => Ok(()),
    }
}

/// Refuses images whose programs are for another processor than the processor of their platform.
async fn refuse_programs(target: &Target<Storage>, children: Vec<&Child>) -> Result<Look, Failure> {
    let look = executables::look(&target.storage, &children).await;
    if look.foreign.is_empty() && look.damaged.is_empty() {
        return Ok(look);
    }
    let tags: Vec<_> = target.tags.iter().map(|tag| target.storage.tag(tag.clone()).to_string()).collect();
    let faults: Vec<_> = look.foreign.iter().chain(&look.damaged).map(|(_, fault)| fault.as_str()).collect();
    let message = format!("{}; {} not moved", faults.join("; "), tags.join(", "));
    let hint = if look.foreign.is_empty() { LOST } else { FOREIGN };
    Err(failure(Phase::Verify, &message, Some(hint.into())))
}
