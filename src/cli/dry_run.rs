//! `polyarch build --dry-run`

use std::process::ExitCode;

use polyarch::run::{BuildRun, Execution, Goal};

use super::load::Refusal;
use super::stdout;

/// Shows what would be built, where, and under which names.
pub(crate) fn show(build: &BuildRun) -> Result<ExitCode, Refusal> {
    let outline = polyarch::run::outline(build)?;
    let mut lines = Vec::new();
    for image in &outline.images {
        lines.push(image.image.clone());
        for job in outline.jobs.iter().filter(|job| job.job.image == image.image) {
            let execution = match job.execution {
                Execution::Native => "native",
                Execution::Emulated => "emulated",
            };
            lines.push(format!("  build  {} on {} ({execution})", job.job.platform, job.engine));
            lines.extend(job.builds_on.iter().map(|base| format!("  after  {base}")));
            if build.goal != Goal::Load {
                lines.push(format!("  push   {}", job.destination));
            }
        }
        lines.extend(image.tags.iter().map(|tag| match build.goal {
            Goal::Load => format!("  load   {}:{}", tag.repository.path().short(), tag.tag),
            Goal::Build | Goal::Push | Goal::Publish => format!("  tag    {tag}"),
        }));
    }
    stdout::bytes(lines.join("\n").as_bytes())?;
    Ok(ExitCode::SUCCESS)
}
