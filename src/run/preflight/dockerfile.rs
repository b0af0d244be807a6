//! The name of the Dockerfile of a job, for messages.

use crate::context::dockerfile_at;
use crate::plan::{Context, Dockerfile};
use crate::run::schedule::scheduled::ScheduledBuild;
use crate::text::Text;

/// The name of the Dockerfile of `job`: its path if it has one.
pub(in crate::run) fn name(job: &ScheduledBuild) -> Text {
    let build = &job.job.work.spec;
    let name = match (&build.dockerfile, &build.context) {
        (Dockerfile::File(path), _) => dockerfile_at(path).display().to_string(),
        (Dockerfile::InContext(path), Context::Remote(remote)) => format!("{remote} {path}"),
        (Dockerfile::InContext(path), Context::Directory(_)) => path.clone(),
        (Dockerfile::Inline(_) | Dockerfile::StandardInput, _) => format!("Dockerfile of {}", job.id.image),
    };
    name.into()
}
