//! The commit and the tag of a CI run, from the variables of the CI system.

use std::collections::BTreeMap;

/// A variable that holds a tag behind `prefix`. `only_if` is another variable and the value that it must have.
struct Tag {
    variable: &'static str,
    prefix: &'static str,
    only_if: Option<(&'static str, &'static str)>,
}

/// A CI system.
struct System {
    /// The variable that holds the commit.
    sha: &'static str,
    /// A variable that only this system sets. Other programs also set the variable of the commit.
    only_with: Option<&'static str>,
    tags: &'static [Tag],
}

/// The commit and the tag that one system reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CiRun<'a> {
    /// The commit. Nothing has checked this text.
    pub(super) sha: &'a str,
    /// The tag of the run.
    pub(super) tag: Option<&'a str>,
}

const fn plain(variable: &'static str) -> Tag {
    Tag { variable, prefix: "", only_if: None }
}

const fn after(variable: &'static str, prefix: &'static str) -> Tag {
    Tag { variable, prefix, only_if: None }
}

const fn if_it_is(variable: &'static str, only_if: (&'static str, &'static str)) -> Tag {
    Tag { variable, prefix: "", only_if: Some(only_if) }
}

const fn system(sha: &'static str, tags: &'static [Tag]) -> System {
    System { sha, only_with: None, tags }
}

const REF: &str = "refs/tags/";

/// The systems, in the order in which polyarch checks them. Gitea and Forgejo also set GitHub's variables, and
/// Woodpecker sets GitLab's.
const SYSTEMS: [System; 14] = [
    system("GITHUB_SHA", &[if_it_is("GITHUB_REF_NAME", ("GITHUB_REF_TYPE", "tag")), after("GITHUB_REF", REF)]),
    system("CI_COMMIT_SHA", &[plain("CI_COMMIT_TAG")]),
    system(
        "CODEBUILD_RESOLVED_SOURCE_VERSION",
        &[
            after("CODEBUILD_WEBHOOK_TRIGGER", "tag/"),
            after("CODEBUILD_WEBHOOK_HEAD_REF", REF),
            after("CODEBUILD_SOURCE_VERSION", REF),
        ],
    ),
    system("BITBUCKET_COMMIT", &[plain("BITBUCKET_TAG")]),
    system("CIRCLE_SHA1", &[plain("CIRCLE_TAG")]),
    system("DRONE_COMMIT_SHA", &[plain("DRONE_TAG")]),
    system("BUILDKITE_COMMIT", &[plain("BUILDKITE_TAG")]),
    system("TRAVIS_COMMIT", &[plain("TRAVIS_TAG")]),
    system("BUILD_SOURCEVERSION", &[after("BUILD_SOURCEBRANCH", REF)]),
    System { sha: "GIT_COMMIT", only_with: Some("JENKINS_URL"), tags: &[plain("TAG_NAME")] },
    system("APPVEYOR_REPO_COMMIT", &[if_it_is("APPVEYOR_REPO_TAG_NAME", ("APPVEYOR_REPO_TAG", "true"))]),
    system("SEMAPHORE_GIT_SHA", &[plain("SEMAPHORE_GIT_TAG_NAME")]),
    system("CIRRUS_CHANGE_IN_REPO", &[plain("CIRRUS_TAG")]),
    system("BITRISE_GIT_COMMIT", &[plain("BITRISE_GIT_TAG")]),
];

/// The runs of all systems whose variables are in `environment`. Usually there is one.
pub(super) fn ci_runs(environment: &BTreeMap<String, String>) -> impl Iterator<Item = CiRun<'_>> {
    let variable = |name: &str| environment.get(name).map(String::as_str).filter(|value| !value.is_empty());
    let tag = move |Tag { variable: name, prefix, only_if }: &Tag| {
        let is =
            only_if.is_none_or(|(name, value)| variable(name).is_some_and(|said| said.eq_ignore_ascii_case(value)));
        variable(name).filter(|_| is)?.strip_prefix(prefix).filter(|tag| !tag.is_empty())
    };
    SYSTEMS.iter().filter_map(move |System { sha, only_with, tags }| {
        let sha = variable(sha).filter(|_| only_with.is_none_or(|name| variable(name).is_some()))?;
        Some(CiRun { sha, tag: tags.iter().find_map(tag) })
    })
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
            let runs: Vec<_> = ci_runs(&environment).collect();
            assert_eq!(runs.iter().map(|run| run.tag).collect::<Vec<_>>(), [tag], "{variables}");
        }
    }

    #[test]
    fn ambiguous_ci_variables_are_ignored_alone() {
        let environment = [("GIT_COMMIT", "a"), ("TAG_NAME", "v1"), ("GITHUB_REF", "refs/tags/v1")];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        assert_eq!(ci_runs(&environment).count(), 0);
    }
}
