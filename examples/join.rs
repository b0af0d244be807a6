//! Joins images into an index: `cargo run --example join -- HOST/REPO:1.0 HOST/REPO:1.0-amd64 HOST/REPO:1.0-arm64`
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "its result, and its failures")]

use std::env;
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use polyarch::Join;
use polyarch::report::Report;

/// How long other runs may take to push the images.
const WAIT: Duration = Duration::from_mins(10);

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let words: Vec<_> = env::args().skip(1).collect();
    let (target, sources) = words.split_first().ok_or("name the target and the images")?;
    let report = join(target, sources).await?;
    report.verified().for_each(|index| println!("{index}"));
    report.failures().for_each(|failure| eprintln!("error: {failure}"));
    Ok(report.exit_code().into())
}

/// Joins `sources` in this order, and moves `target` to the index.
pub(crate) async fn join(target: &str, sources: &[String]) -> Result<Report, Box<dyn Error>> {
    let sources = sources.iter().map(|source| source.parse()).collect::<Result<Vec<_>, _>>()?;
    Ok(Join::references(target.parse()?, sources).wait(WAIT).run().await)
}
