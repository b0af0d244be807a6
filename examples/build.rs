//! Builds, pushes and joins the images of a plan: `cargo run --example build -- build.yaml`
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "its result, and its progress")]

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::{env, fs};

use polyarch::event::Event;
use polyarch::plan::{EngineHost, Facts, Overrides, SourceText, resolve};
use polyarch::report::Report;
use polyarch::{Access, Build, auth::DockerConfig};

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let path = env::args().nth(1).unwrap_or_else(|| "build.yaml".to_owned());
    let engine = env::var("DOCKER_HOST").unwrap_or_else(|_| "unix:///var/run/docker.sock".to_owned());
    let report = build(Path::new(&path), engine.parse()?).await?;
    report.verified().for_each(|index| println!("{index}"));
    report.failures().for_each(|failure| eprintln!("error: {failure}"));
    Ok(report.exit_code().into())
}

/// Builds the plan at `path`, with docker's logins.
pub(crate) async fn build(path: &Path, engine: EngineHost) -> Result<Report, Box<dyn Error>> {
    let (environment, programs) = (env::vars().collect(), env::var_os("PATH").unwrap_or_default());
    let source = SourceText { text: fs::read_to_string(path)?, path: path.into() };
    let plan = resolve(&source, &environment, &Facts::new(), &Overrides::default())?;
    let config = Path::new(&env::var("HOME")?).join(".docker/config.json");
    let access = match DockerConfig::read(&config, &programs)? {
        Some(logins) => Access::new().credentials(logins),
        None => Access::new(),
    };
    let warn = |_, event: &Event| {
        if let Event::Warning(warning) = event {
            eprintln!("warning: {}", warning.message);
        }
    };
    Ok(Build::new(plan).access(access).engine(engine).environment(environment).run_with(warn).await)
}
