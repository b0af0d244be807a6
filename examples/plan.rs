//! Prints the jobs of a plan. It asks no engine and no registry: `cargo run --example plan -- build.yaml`
#![allow(clippy::print_stdout, reason = "its result")]

use std::error::Error;
use std::path::Path;
use std::{env, fs};

use polyarch::plan::{Facts, Overrides, SourceText, resolve};

fn main() -> Result<(), Box<dyn Error>> {
    let path = env::args().nth(1).unwrap_or_else(|| "build.yaml".to_owned());
    for job in jobs(Path::new(&path))? {
        println!("{job}");
    }
    Ok(())
}

/// Each job of the plan at `path`, with its arch tag.
pub(crate) fn jobs(path: &Path) -> Result<Vec<String>, Box<dyn Error>> {
    let source = SourceText { text: fs::read_to_string(path)?, path: path.into() };
    // The plan may use variables: `${VERSION}`.
    let plan = resolve(&source, &env::vars().collect(), &Facts::new(), &Overrides::default())?;
    let each = plan.images.iter().flat_map(|image| image.jobs.iter().map(move |job| (image, job)));
    Ok(each.map(|(image, job)| format!("{} {} {}", image.name, job.platform, job.arch_tag)).collect())
}
