//! The run of a CI system, from its variables: the commit, and the tag, branch or pull request that the run is for.

use std::collections::BTreeMap;

use super::event::{EventFacts, event_facts};

/// A variable that holds a value behind `prefix`. `only_if` is another variable and the value that it must have.
struct Variable {
    name: &'static str,
    prefix: &'static str,
    only_if: Option<(&'static str, &'static str)>,
}

/// A CI system.
struct System {
    /// The variable that holds the commit.
    sha: &'static str,
    /// A variable that only this system sets. Other programs also set the variable of the commit.
    only_with: Option<&'static str>,
    tags: &'static [Variable],
    branches: &'static [Variable],
    /// The number of the pull or merge request, or its URL.
    requests: &'static [Variable],
    /// The head commit of the pull or merge request.
    heads: &'static [Variable],
    default_branch: &'static [Variable],
}

/// The facts that one system reports. Nothing has checked these texts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct CiRun {
    /// The commit that the system checks out. For a pull request, this may be a merge that only the system knows.
    pub(super) sha: String,
    /// The tag of the run.
    pub(super) tag: Option<String>,
    /// The branch of the run. For a pull request, this may be any of its two branches.
    pub(super) branch: Option<String>,
    /// The number of the pull or merge request.
    pub(super) request: Option<String>,
    /// The head commit of the pull or merge request.
    pub(super) head: Option<String>,
    /// Whether `sha` is not the head of the request, but a merge of the head that the system made.
    pub(super) is_merge: bool,
    /// The default branch of the repository.
    pub(super) default_branch: Option<String>,
}

impl CiRun {
    /// The commit that the run is about. polyarch names the head of a pull request, as the merge exists nowhere else.
    pub(super) fn commit(&self) -> &str {
        self.head.as_ref().filter(|_| self.is_merge).unwrap_or(&self.sha)
    }

    /// Adds the facts of the event that started a run of GitHub Actions.
    ///
    /// A run for `pull_request_target` has the variables of a run for the default branch. Only the event names the pull
    /// request, whose images must not get the tags of that branch.
    fn complete(&mut self, event: EventFacts) {
        self.default_branch = event.default_branch;
        self.head = event.head.filter(|head| is_commit(head));
        // Only a run for `pull_request` has a merge: its reference is `refs/pull/2/merge`.
        self.is_merge = self.request.is_some() && self.head.is_some();
        self.request = self.request.take().or(event.request);
    }

    /// Whether the run is for the commit `head`. Some systems report a name such as `HEAD` in place of a commit.
    pub(super) fn is_for(&self, head: &str) -> bool {
        !is_commit(&self.sha) || self.sha == head || self.head.as_deref() == Some(head)
    }
}

/// Whether `text` has 40 hex digits, or 64 as in a repository with SHA-256.
pub(super) fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

const fn plain(name: &'static str) -> Variable {
    Variable { name, prefix: "", only_if: None }
}

const fn after(name: &'static str, prefix: &'static str) -> Variable {
    Variable { name, prefix, only_if: None }
}

const fn if_it_is(name: &'static str, only_if: (&'static str, &'static str)) -> Variable {
    Variable { name, prefix: "", only_if: Some(only_if) }
}

const TAG: &str = "refs/tags/";
const BRANCH: &str = "refs/heads/";

const NOTHING: System =
    System { sha: "", only_with: None, tags: &[], branches: &[], requests: &[], heads: &[], default_branch: &[] };

/// The systems, in the order in which polyarch checks them. Gitea and Forgejo also set GitHub's variables, and
/// Woodpecker sets GitLab's.
const SYSTEMS: [System; 14] = [
    System {
        sha: "GITHUB_SHA",
        tags: &[if_it_is("GITHUB_REF_NAME", ("GITHUB_REF_TYPE", "tag")), after("GITHUB_REF", TAG)],
        branches: &[after("GITHUB_REF", BRANCH)],
        requests: &[after("GITHUB_REF", "refs/pull/")],
        ..NOTHING
    },
    System {
        sha: "CI_COMMIT_SHA",
        tags: &[plain("CI_COMMIT_TAG")],
        branches: &[plain("CI_COMMIT_BRANCH")],
        requests: &[plain("CI_MERGE_REQUEST_IID"), plain("CI_COMMIT_PULL_REQUEST")],
        heads: &[plain("CI_MERGE_REQUEST_SOURCE_BRANCH_SHA")],
        default_branch: &[plain("CI_DEFAULT_BRANCH"), plain("CI_REPO_DEFAULT_BRANCH")],
        ..NOTHING
    },
    System {
        sha: "CODEBUILD_RESOLVED_SOURCE_VERSION",
        tags: &[
            after("CODEBUILD_WEBHOOK_TRIGGER", "tag/"),
            after("CODEBUILD_WEBHOOK_HEAD_REF", TAG),
            after("CODEBUILD_SOURCE_VERSION", TAG),
        ],
        branches: &[
            after("CODEBUILD_WEBHOOK_TRIGGER", "branch/"),
            after("CODEBUILD_WEBHOOK_HEAD_REF", BRANCH),
            after("CODEBUILD_SOURCE_VERSION", BRANCH),
        ],
        requests: &[after("CODEBUILD_WEBHOOK_TRIGGER", "pr/"), after("CODEBUILD_SOURCE_VERSION", "pr/")],
        ..NOTHING
    },
    System {
        sha: "BITBUCKET_COMMIT",
        tags: &[plain("BITBUCKET_TAG")],
        branches: &[plain("BITBUCKET_BRANCH")],
        requests: &[plain("BITBUCKET_PR_ID")],
        ..NOTHING
    },
    System {
        sha: "CIRCLE_SHA1",
        tags: &[plain("CIRCLE_TAG")],
        branches: &[plain("CIRCLE_BRANCH")],
        requests: &[plain("CIRCLE_PR_NUMBER"), plain("CIRCLE_PULL_REQUEST")],
        ..NOTHING
    },
    System {
        sha: "DRONE_COMMIT_SHA",
        tags: &[plain("DRONE_TAG")],
        branches: &[plain("DRONE_BRANCH")],
        requests: &[plain("DRONE_PULL_REQUEST")],
        default_branch: &[plain("DRONE_REPO_BRANCH")],
        ..NOTHING
    },
    System {
        sha: "BUILDKITE_COMMIT",
        tags: &[plain("BUILDKITE_TAG")],
        branches: &[plain("BUILDKITE_BRANCH")],
        requests: &[plain("BUILDKITE_PULL_REQUEST")],
        default_branch: &[plain("BUILDKITE_PIPELINE_DEFAULT_BRANCH")],
        ..NOTHING
    },
    System {
        sha: "TRAVIS_COMMIT",
        tags: &[plain("TRAVIS_TAG")],
        branches: &[plain("TRAVIS_BRANCH")],
        requests: &[plain("TRAVIS_PULL_REQUEST")],
        heads: &[plain("TRAVIS_PULL_REQUEST_SHA")],
        ..NOTHING
    },
    System {
        sha: "BUILD_SOURCEVERSION",
        tags: &[after("BUILD_SOURCEBRANCH", TAG)],
        branches: &[after("BUILD_SOURCEBRANCH", BRANCH)],
        requests: &[plain("SYSTEM_PULLREQUEST_PULLREQUESTNUMBER"), plain("SYSTEM_PULLREQUEST_PULLREQUESTID")],
        heads: &[plain("SYSTEM_PULLREQUEST_SOURCECOMMITID")],
        ..NOTHING
    },
    System {
        sha: "GIT_COMMIT",
        only_with: Some("JENKINS_URL"),
        tags: &[plain("TAG_NAME")],
        branches: &[plain("BRANCH_NAME"), after("GIT_BRANCH", "origin/")],
        requests: &[plain("CHANGE_ID")],
        default_branch: &[if_it_is("BRANCH_NAME", ("BRANCH_IS_PRIMARY", "true"))],
        ..NOTHING
    },
    System {
        sha: "APPVEYOR_REPO_COMMIT",
        tags: &[if_it_is("APPVEYOR_REPO_TAG_NAME", ("APPVEYOR_REPO_TAG", "true"))],
        branches: &[plain("APPVEYOR_REPO_BRANCH")],
        requests: &[plain("APPVEYOR_PULL_REQUEST_NUMBER")],
        heads: &[plain("APPVEYOR_PULL_REQUEST_HEAD_COMMIT")],
        ..NOTHING
    },
    System {
        sha: "SEMAPHORE_GIT_SHA",
        tags: &[plain("SEMAPHORE_GIT_TAG_NAME")],
        branches: &[plain("SEMAPHORE_GIT_BRANCH")],
        requests: &[plain("SEMAPHORE_GIT_PR_NUMBER")],
        heads: &[plain("SEMAPHORE_GIT_PR_SHA")],
        ..NOTHING
    },
    System {
        sha: "CIRRUS_CHANGE_IN_REPO",
        tags: &[plain("CIRRUS_TAG")],
        branches: &[plain("CIRRUS_BRANCH")],
        requests: &[plain("CIRRUS_PR")],
        default_branch: &[plain("CIRRUS_DEFAULT_BRANCH")],
        ..NOTHING
    },
    System {
        sha: "BITRISE_GIT_COMMIT",
        tags: &[plain("BITRISE_GIT_TAG")],
        branches: &[plain("BITRISE_GIT_BRANCH")],
        requests: &[plain("BITRISE_PULL_REQUEST")],
        ..NOTHING
    },
];

/// The runs of all systems whose variables are in `environment`. Usually there is one.
pub(super) fn ci_runs(environment: &BTreeMap<String, String>) -> Vec<CiRun> {
    let variable = |name: &str| environment.get(name).map(String::as_str).filter(|value| !value.is_empty());
    let value = |Variable { name, prefix, only_if }: &Variable| {
        let is =
            only_if.is_none_or(|(name, value)| variable(name).is_some_and(|said| said.eq_ignore_ascii_case(value)));
        variable(name).filter(|_| is)?.strip_prefix(prefix).filter(|value| !value.is_empty())
    };
    let first = |variables: &[Variable]| variables.iter().find_map(value).map(str::to_owned);
    let run = |system: &System| {
        let sha = variable(system.sha).filter(|_| system.only_with.is_none_or(|name| variable(name).is_some()))?;
        let request = system.requests.iter().filter_map(value).find_map(number);
        let head = first(system.heads).filter(|head| request.is_some() && is_commit(head));
        let (tag, branch, default_branch) = (first(system.tags), first(system.branches), first(system.default_branch));
        let is_merge = head.is_some();
        let mut run = CiRun { sha: sha.to_owned(), tag, branch, request, head, is_merge, default_branch };
        if system.sha == "GITHUB_SHA" {
            run.complete(event_facts(environment));
        }
        Some(run)
    };
    SYSTEMS.iter().filter_map(run).collect()
}

/// The number in `2`, in `2/merge`, and at the end of a URL. Other systems write `false` if there is no request.
fn number(text: &str) -> Option<String> {
    let part = if text.contains("://") { text.rsplit('/').next() } else { text.split('/').next() };
    part.filter(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit())).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tag_is_read_from_the_variables_of_each_ci_system() {
        for (variables, tag) in [
            ("GITHUB_SHA=a GITHUB_REF_TYPE=tag GITHUB_REF_NAME=v1", Some("v1")),
            ("GITHUB_SHA=a GITHUB_REF=refs/tags/dir/v1", Some("dir/v1")),
            ("GITHUB_SHA=a GITHUB_REF_TYPE=branch GITHUB_REF_NAME=v1 GITHUB_REF=refs/heads/v1", None),
            ("CI_COMMIT_SHA=a CI_COMMIT_TAG=v1", Some("v1")),
            ("CI_COMMIT_SHA=a CI_COMMIT_TAG= CI_COMMIT_REF_NAME=main", None),
            ("CODEBUILD_RESOLVED_SOURCE_VERSION=a CODEBUILD_WEBHOOK_TRIGGER=tag/v1", Some("v1")),
            ("CODEBUILD_RESOLVED_SOURCE_VERSION=a CODEBUILD_WEBHOOK_TRIGGER=branch/main", None),
            (
                "CODEBUILD_RESOLVED_SOURCE_VERSION=a CODEBUILD_WEBHOOK_TRIGGER=pr/1 \
                 CODEBUILD_WEBHOOK_HEAD_REF=refs/tags/v1",
                Some("v1"),
            ),
            ("CODEBUILD_RESOLVED_SOURCE_VERSION=a CODEBUILD_SOURCE_VERSION=refs/tags/v1", Some("v1")),
            ("BITBUCKET_COMMIT=a BITBUCKET_TAG=v1", Some("v1")),
            ("CIRCLE_SHA1=a CIRCLE_TAG=v1", Some("v1")),
            ("DRONE_COMMIT_SHA=a DRONE_TAG=v1", Some("v1")),
            ("BUILDKITE_COMMIT=HEAD BUILDKITE_TAG=v1", Some("v1")),
            ("TRAVIS_COMMIT=a TRAVIS_TAG=v1", Some("v1")),
            ("BUILD_SOURCEVERSION=a BUILD_SOURCEBRANCH=refs/tags/v1", Some("v1")),
            ("BUILD_SOURCEVERSION=a BUILD_SOURCEBRANCH=refs/heads/v1", None),
            ("GIT_COMMIT=a TAG_NAME=v1 JENKINS_URL=https://h/", Some("v1")),
            ("APPVEYOR_REPO_COMMIT=a APPVEYOR_REPO_TAG=True APPVEYOR_REPO_TAG_NAME=v1", Some("v1")),
            ("APPVEYOR_REPO_COMMIT=a APPVEYOR_REPO_TAG=false APPVEYOR_REPO_TAG_NAME=v1", None),
            ("SEMAPHORE_GIT_SHA=a SEMAPHORE_GIT_TAG_NAME=v1", Some("v1")),
            ("CIRRUS_CHANGE_IN_REPO=a CIRRUS_TAG=v1", Some("v1")),
            ("BITRISE_GIT_COMMIT=a BITRISE_GIT_TAG=v1", Some("v1")),
        ] {
            let environment = variables.split(' ').map(|pair| pair.split_once('=').unwrap());
            let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            let runs = ci_runs(&environment);
            assert_eq!(runs.iter().map(|run| run.tag.as_deref()).collect::<Vec<_>>(), [tag], "{variables}");
        }
    }

    #[test]
    fn ambiguous_ci_variables_are_ignored_alone() {
        let environment = [("GIT_COMMIT", "a"), ("TAG_NAME", "v1"), ("GITHUB_REF", "refs/tags/v1")];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        assert_eq!(ci_runs(&environment), []);
    }
}
