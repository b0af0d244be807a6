//! The ssh agents of a run. polyarch looks for each agent before a build starts, and the build sessions serve it.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use tokio::net::UnixStream;

use crate::engine::BuildAgents;
use crate::plan::{AgentSource, Environment, SshSpec};
use crate::run::event::failure::failure;
use crate::run::event::{Failure, Phase};
use crate::run::schedule::scheduled::{Schedule, ScheduledBuild};

/// The variable that names the socket of the user's agent.
const SSH_AUTH_SOCK: &str = "SSH_AUTH_SOCK";

/// The sockets of the agents of all jobs, by the source in the plan.
#[derive(Debug, Default)]
pub(in crate::run) struct Agents(BTreeMap<AgentSource, PathBuf>);

/// The reason why an ssh agent cannot be used.
#[derive(Debug, thiserror::Error)]
enum Missing {
    #[error("{SSH_AUTH_SOCK} is not set")]
    Variable,
    #[error("no agent answers at {0}: {1}")]
    Socket(String, io::Error),
    #[error("{0} is not the socket of an agent")]
    NoSocket(String),
}

impl Missing {
    fn hint(&self) -> String {
        match self {
            Self::Variable => "start an agent and add your key: eval $(ssh-agent); ssh-add".into(),
            Self::Socket(..) => "start the agent; `ssh-add -l` checks the agent of SSH_AUTH_SOCK".into(),
            Self::NoSocket(path) => {
                format!("add the key to an agent with `ssh-add {path}`: polyarch does not read key files")
            }
        }
    }
}

impl Agents {
    /// Finds every agent of the schedule, each once.
    ///
    /// # Errors
    /// Every agent that polyarch cannot reach, with its id and socket.
    pub(in crate::run) async fn find(schedule: &Schedule, environment: &Environment) -> Result<Self, Vec<Failure>> {
        let (mut found, mut failures) = (BTreeMap::new(), BTreeMap::new());
        for ScheduledBuild { id: job, job: planned, .. } in schedule.builds() {
            for SshSpec { id, agent } in &planned.work.spec.ssh {
                if found.contains_key(agent) || failures.contains_key(agent) {
                    continue;
                }
                match find(agent, environment).await {
                    Ok(socket) => drop(found.insert(agent.clone(), socket)),
                    Err(missing) => {
                        let message = format!("{}: the ssh agent {id}: {missing}", job.image);
                        failures.insert(agent.clone(), failure(Phase::Plan, &message, Some(missing.hint())));
                    }
                }
            }
        }
        if failures.is_empty() { Ok(Self(found)) } else { Err(failures.into_values().collect()) }
    }

    /// The agents that a build with these ssh entries may use.
    pub(in crate::run) fn of(&self, planned: &[SshSpec]) -> BuildAgents {
        let socket = |ssh: &SshSpec| Some((ssh.id.clone(), self.0.get(&ssh.agent)?.clone()));
        planned.iter().filter_map(socket).collect()
    }
}

async fn find(agent: &AgentSource, environment: &Environment) -> Result<PathBuf, Missing> {
    let socket = match agent {
        AgentSource::Socket(path) => path.clone(),
        AgentSource::Environment => {
            let set = environment.get(SSH_AUTH_SOCK).filter(|path| !path.is_empty());
            PathBuf::from(set.ok_or(Missing::Variable)?)
        }
    };
    let named = || socket.display().to_string();
    match reach(&socket).await {
        Ok(true) => Ok(socket),
        Ok(false) => Err(Missing::NoSocket(named())),
        Err(error) => Err(Missing::Socket(named(), error)),
    }
}

/// Whether `path` is a socket on which a program listens. An agent that ended leaves its socket behind.
async fn reach(path: &Path) -> io::Result<bool> {
    if !tokio::fs::metadata(path).await?.file_type().is_socket() {
        return Ok(false);
    }
    UnixStream::connect(path).await.map(|_| true)
}
