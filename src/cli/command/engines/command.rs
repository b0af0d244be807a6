//! Lists the engines and builders of this machine, and asks all of them at once.

use std::process::ExitCode;

use polyarch::plan::{Endpoint, EngineName, Plan};
use polyarch::run::{Failure, Phase, Probed, probe};

use super::gather::{AskBuilders, candidates};
use super::listed::{Candidate, Listed, State, Unasked};
use super::{document, text};
use crate::cli::args::refusal::Refusal;
use crate::cli::args::shared::PlanArgs;
use crate::cli::args::tools::EnginesArgs;
use crate::cli::args::values::Format;
use crate::cli::input::plan_file::{self, PlanFile};
use crate::cli::input::settings::Settings;
use crate::cli::terminal::stdout;

pub(crate) async fn run(args: &EnginesArgs, settings: &Settings) -> Result<ExitCode, Refusal> {
    let plan = plan(args, settings).await?;
    let builders = if args.builders { AskBuilders::All } else { AskBuilders::IfTheyRun };
    let listed = ask(candidates(plan.as_ref(), builders, settings)).await;
    match if args.json { Format::Json } else { args.format } {
        Format::Json => stdout::json(&document::as_json(&listed))?,
        Format::Text => stdout::lines(text::lines(&listed, stdout::width()))?,
    }
    if listed.iter().any(Listed::is_reachable) {
        return Ok(ExitCode::SUCCESS);
    }
    let hint = "start Docker, or name an engine with DOCKER_HOST, `docker context use` or `engines:` in the plan";
    Err(Failure::new(Phase::Preflight, "polyarch reaches no engine".into(), Some(hint.into())).into())
}

/// The plan that the user names, or the plan of this directory, if there is one.
async fn plan(args: &EnginesArgs, settings: &Settings) -> Result<Option<Plan>, Refusal> {
    if args.file.is_none() && plan_file::here().is_none() {
        return Ok(None);
    }
    let args = PlanArgs { file: args.file.clone(), ..PlanArgs::default() };
    Ok(Some(PlanFile::read(&args)?.resolve(settings).await?))
}

/// Asks all candidates at once.
async fn ask(candidates: Vec<Candidate>) -> Vec<Listed> {
    let address = |one: &Candidate| Some((one.name.clone(), one.address.clone().ok()?));
    let engines: Vec<(EngineName, Endpoint)> = candidates.iter().filter_map(address).collect();
    let mut probed = probe(&engines).await.into_iter();
    let listed = candidates.into_iter().map(|candidate| {
        let (state, seconds) = match &candidate.address {
            Err(Unasked::Refused(failure)) => (State::Unreachable(failure.clone()), None),
            Err(Unasked::MayStart) => (State::Unknown, None),
            Ok(_) => probed.next().map_or((State::Unknown, None), answered),
        };
        Listed { candidate, state, seconds }
    });
    listed.collect()
}

fn answered(Probed { found, took }: Probed) -> (State, Option<f64>) {
    (found.map_or_else(State::Unreachable, State::Reachable), Some(took.as_secs_f64()))
}
