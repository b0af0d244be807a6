//! What a finished index must pass before a final tag moves to it.

use std::collections::{BTreeSet, HashSet};

use super::event::{Event, Failure, ImageEvent, Phase};
use super::executables::Look;
use super::place::Place;
use super::publish::{Target, not_published};
use super::shutdown::Shutdown;
use super::standing::{self, Standing};
use super::tagging::immutable;
use super::{annotations, executables, shrink};
use crate::oci::{Digest, EncodedIndex};
use crate::plan::{Caution, Plan};

/// What is asked of an index beyond that it is complete and true.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Gates {
    /// An index that has fewer platforms than the one that it replaces.
    pub shrinking: Shrinking,
    /// Programs for another processor than that of their image's platform.
    pub programs: Programs,
    /// Annotations of the index that it replaces.
    pub annotations: LostAnnotations,
}

/// An index that every gate let pass.
#[derive(Default)]
pub(super) struct Passed {
    /// The events to report about the index.
    pub(super) told: Vec<Event>,
    /// Blobs that a gate read whole.
    pub(super) hashed: BTreeSet<Digest>,
}

impl Gates {
    /// The same for the images of `plan`, which may silence warnings.
    #[must_use]
    pub fn of_plan(self, plan: &Plan) -> Self {
        let silenced = plan.silence.contains(&Caution::LostAnnotations);
        Self { annotations: if silenced { LostAnnotations::Silence } else { LostAnnotations::Tell }, ..self }
    }

    /// Refuses an index that must not be published. The gates ask for nothing where no tag will move.
    pub(super) async fn pass(
        self,
        target: &Target<Place>,
        index: &EncodedIndex,
        standing: &[Standing],
        shutdown: &Shutdown,
    ) -> Result<Passed, Failure> {
        let Some(moving) = standing.iter().find(|standing| !standing.unchanged) else { return Ok(Passed::default()) };
        fixed(target, index, standing)?;
        let before = standing::before(target, standing, self.shrinking).await?;
        shrink::refuse(target, &before, index)?;
        let mut warnings = shrink::warnings(target, &before, index);
        if self.annotations == LostAnnotations::Tell {
            warnings.extend(annotations::lost(target, &before, index));
        }
        let told = warnings.into_iter().map(Event::Warning).collect();
        let mut passed = Passed { told, hashed: BTreeSet::new() };
        if self.programs == Programs::Check {
            // What is under a final tag was checked before, or let through.
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

/// Where one tag may not move, none does: an image would be published under some of its tags only.
fn fixed(target: &Target<Place>, index: &EncodedIndex, standing: &[Standing]) -> Result<(), Failure> {
    let mut refused = standing.iter().filter(|standing| !standing.unchanged && target.place.fixes(&standing.tag));
    match refused.find_map(|standing| Some((&standing.tag, standing.digest()?))) {
        Some((tag, there)) => {
            let named = target.place.tag(tag.clone());
            Err(immutable(Phase::Publish, &named, there, index.manifest().digest()))
        }
        None => Ok(()),
    }
}

/// What becomes of a final tag whose index has platforms that the new one lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Shrinking {
    /// It stays, and so do the image's other tags.
    #[default]
    Refuse,
    /// It moves (`--allow-shrink`).
    Allow,
}

/// Whether a run says which annotations an index loses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LostAnnotations {
    /// It names them.
    #[default]
    Tell,
    /// The plan silences it.
    Silence,
}

/// What becomes of an image whose programs are for another processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Programs {
    /// It is refused.
    #[default]
    Check,
    /// No layer is opened (`--no-elf`).
    Believe,
}
