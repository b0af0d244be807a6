//! The file with the event that started a run of GitHub Actions. Gitea and Forgejo write it, too.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;

use serde::Deserialize;

/// The largest event file that polyarch reads, in bytes. GitHub's events have at most 25 MiB.
const MAX_EVENT: u64 = 32 * 1024 * 1024;

#[derive(Deserialize)]
struct Event {
    #[serde(default)]
    number: Option<u64>,
    #[serde(default)]
    pull_request: Option<PullRequest>,
    #[serde(default)]
    repository: Option<Repository>,
}

#[derive(Deserialize)]
struct PullRequest {
    #[serde(default)]
    number: Option<u64>,
    #[serde(default)]
    head: Option<Head>,
}

#[derive(Deserialize)]
struct Head {
    #[serde(default)]
    sha: Option<String>,
}

#[derive(Deserialize)]
struct Repository {
    #[serde(default)]
    default_branch: Option<String>,
}

/// The facts that only the event has.
#[derive(Debug, Default)]
pub(super) struct EventFacts {
    pub(super) default_branch: Option<String>,
    /// The number of the pull request, in a run for `pull_request_target`.
    pub(super) request: Option<String>,
    /// The head commit of the pull request. Nothing has checked this text.
    pub(super) head: Option<String>,
}

/// The facts of the event, from the file that `environment` names. polyarch skips a file that it cannot read.
pub(super) fn event_facts(environment: &BTreeMap<String, String>) -> EventFacts {
    let path = environment.get("GITHUB_EVENT_PATH").filter(|path| !path.is_empty());
    let Some(Event { number, pull_request, repository }) = path.and_then(|path| read(path)) else {
        return EventFacts::default();
    };
    let default_branch = repository.and_then(|repository| repository.default_branch);
    let Some(PullRequest { number: own, head }) = pull_request else {
        return EventFacts { default_branch, ..EventFacts::default() };
    };
    let is_target = environment.get("GITHUB_EVENT_NAME").is_some_and(|name| name == "pull_request_target");
    let request = own.or(number).filter(|_| is_target).map(|number| number.to_string());
    EventFacts { default_branch, request, head: head.and_then(|head| head.sha) }
}

fn read(path: &str) -> Option<Event> {
    let mut text = Vec::new();
    File::open(path).ok()?.take(MAX_EVENT).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}
