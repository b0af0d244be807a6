//! `polyarch digest`

use std::process::ExitCode;

use polyarch::run::{self, while_served};

use crate::cli::args::command_line::DigestArgs;
use crate::cli::args::platforms;
use crate::cli::args::refusal::Refusal;
use crate::cli::input::notices;
use crate::cli::input::reach::{self, Registries};
use crate::cli::input::settings::Settings;
use crate::cli::terminal::stdout;

pub(crate) async fn run(args: &DigestArgs, settings: &Settings) -> Result<ExitCode, Refusal> {
    let platform = args.platform.as_deref().map(platforms::one).transpose()?;
    let mut registries = Registries::new(&args.registries, settings, notices::log)?;
    let source = registries.named(&args.reference).await?;
    let asking = run::digest(&source.storage, &source.selector, platform.as_ref());
    let digest = while_served(registries.server()?, asking).await;
    match digest.map_err(|error| reach::refused(&source.to_string(), &error)) {
        Ok(digest) => stdout::lines([digest.as_str()])?,
        Err(failure) => {
            return Err(reach::or_of_plan(failure, "digest", &[&args.reference], settings).await.into());
        }
    }
    Ok(ExitCode::SUCCESS)
}
