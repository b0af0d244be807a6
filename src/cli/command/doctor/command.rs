//! Checks everything, or only Amazon ECR.

use std::process::ExitCode;

use super::{checkup, ecr};
use crate::cli::args::refusal::Refusal;
use crate::cli::args::tools::{Doctor, DoctorArgs};
use crate::cli::input::settings::Settings;

pub(crate) async fn run(args: &DoctorArgs, settings: &Settings) -> Result<ExitCode, Refusal> {
    match &args.only {
        Some(Doctor::Ecr(args)) => ecr::ecr(args, settings).await,
        None => Box::pin(checkup::run(args, settings)).await,
    }
}
