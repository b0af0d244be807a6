//! `polyarch serve`

use std::process::ExitCode;

use polyarch::embedded::{Embedded, Opened};
use polyarch::run::{Failure, Phase};

use crate::cli::args::refusal::Refusal;
use crate::cli::input::plan_file::{self};
use crate::cli::input::settings::Settings;
use crate::cli::terminal::signals::Signals;
use crate::cli::terminal::{diagnostic, stderr, stdout};

pub(crate) async fn run(settings: &Settings) -> Result<ExitCode, Refusal> {
    let (_signals, mut shutdown) = Signals::listen(None, settings.docker_socket()).map_err(plan_file::no_signals)?;
    let directory = settings.home()?.join("registry");
    let failed = |error: &polyarch::embedded::EmbeddedError| {
        Failure::new(Phase::Preflight, diagnostic::chain(error).into(), error.hint().map(Into::into))
    };
    let embedded = match Embedded::open(&directory).map_err(|error| failed(&error))? {
        Opened::Held(embedded) => embedded,
        Opened::Elsewhere { address, .. } => {
            return Err(Failure::new(
                Phase::Preflight,
                format!("the embedded registry is up already, at {address}, in another process").into(),
                Some("use the address of that process: `docker pull` works while that process runs".into()),
            )
            .into());
        }
    };
    if let Some(port) = embedded.port_changed_from() {
        stderr::line(format!("another program uses port {port}: references with that port no longer work"));
    }
    stdout::lines([embedded.address().to_string()])?;
    stderr::line(format!("the embedded registry serves {} until Ctrl-C", directory.display()));
    let stop = async move { drop(shutdown.stopping().await) };
    embedded.serve(stop).await.map_err(|error| failed(&error))?;
    Ok(ExitCode::SUCCESS)
}
