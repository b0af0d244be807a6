//! Joins images that exist into one index.

use std::time::Duration;

use tokio::sync::mpsc;

use super::access::{Access, Reaching, refused};
use super::build::of_plan;
use super::setters::{runs, setters};
use crate::oci::{EntryOverride, LocatedReference, Location, Selector, Tag};
use crate::plan::{AttestationPolicy, Plan};
use crate::registry::Notice;
use crate::run::{
    self, Edit, Failure, FinalTags, Gates, JoinRun, JoinSource, Joining, PublishMode, References, Shutdown,
};

/// Joins images into an index, publishes the index and reads it back. It builds nothing and needs no engine.
#[must_use]
pub struct Join {
    what: What,
    access: Access,
    gates: Gates,
    moving: PublishMode,
    wait: Option<Duration>,
    shutdown: Option<Shutdown>,
}

enum What {
    Plan(Box<Plan>),
    References { sources: Vec<LocatedReference>, targets: Vec<LocatedReference>, attestations: AttestationPolicy },
}

impl Join {
    /// Joins the images of `plan` from their arch tags, which other runs pushed ([`Goal::Push`](run::Goal::Push)).
    pub fn plan(plan: Plan) -> Self {
        Self::of(What::Plan(Box::new(plan)))
    }

    /// Joins `sources` in this order, and moves the tag `target` to the index. A source that is an index stands for all
    /// of its images. polyarch copies the images to the target if it lacks them.
    pub fn references(target: LocatedReference, sources: impl IntoIterator<Item = LocatedReference>) -> Self {
        let (sources, targets) = (sources.into_iter().collect(), vec![target]);
        Self::of(What::References { sources, targets, attestations: AttestationPolicy::Keep })
    }

    fn of(what: What) -> Self {
        let (access, gates, moving) = (Access::new(), Gates::default(), PublishMode::EachImage);
        Self { what, access, gates, moving, wait: None, shutdown: None }
    }

    /// Moves `target` to the same index too. It has no effect on the join of a plan, which names its own tags.
    pub fn target(mut self, target: LocatedReference) -> Self {
        if let What::References { targets, .. } = &mut self.what {
            targets.push(target);
        }
        self
    }

    /// Whether an index of references keeps the attestations of its images. The default is to keep them. A plan has its
    /// own setting.
    pub fn attestations(mut self, policy: AttestationPolicy) -> Self {
        if let What::References { attestations, .. } = &mut self.what {
            *attestations = policy;
        }
        self
    }

    /// Waits at most `limit` for missing images. By default a missing image is a failure at once.
    pub fn wait(self, limit: Duration) -> Self {
        Self { wait: Some(limit), ..self }
    }

    setters!(access, gates, moving, shutdown);
    runs!(run::join);

    async fn prepare(self, notices: mpsc::UnboundedSender<Notice>) -> Result<JoinRun, Vec<Failure>> {
        let mut reaching = self.access.reporting(notices);
        let (what, gates) = match self.what {
            What::Plan(plan) => {
                reaching.declare(&plan).await.map_err(|failure| vec![failure])?;
                let registries = of_plan(&plan, &reaching).await?;
                let gates = self.gates.of_plan(&plan);
                (Joining::Plan(plan, registries), gates)
            }
            What::References { sources, targets, attestations } => {
                let references = references(&mut reaching, sources, targets, attestations).await;
                (Joining::References(references.map_err(|failure| vec![failure])?), self.gates)
            }
        };
        Ok(JoinRun { what, gates, moving: self.moving, wait: self.wait })
    }
}

async fn references(
    reaching: &mut Reaching,
    sources: Vec<LocatedReference>,
    targets: Vec<LocatedReference>,
    attestations: AttestationPolicy,
) -> Result<References, Failure> {
    if sources.is_empty() {
        return Err(refused("there are no references to join".to_owned(), "name the images to join"));
    }
    let mut references = References { sources: Vec::new(), targets: Vec::new(), attestations, edit: Edit::default() };
    let mut sorted: Vec<(Location, Vec<Tag>)> = Vec::new();
    for LocatedReference { location, selector } in targets {
        let Some(Selector::Tag(tag)) = selector else {
            return Err(refused(format!("{location} has no tag"), "name a tag for the index"));
        };
        match sorted.iter_mut().find(|(known, _)| *known == location) {
            Some((_, tags)) => tags.push(tag),
            None => sorted.push((location, vec![tag])),
        }
    }
    for (location, tags) in sorted {
        references.targets.push(FinalTags { storage: reaching.storage(location)?, tags });
    }
    for source in sources {
        let source = reaching.source(source).await?;
        references.sources.push(JoinSource { source, entry: EntryOverride::default() });
    }
    Ok(references)
}
