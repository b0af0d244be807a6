//! The facts of the current commit and of the run that builds it: `git.sha`, `git.branch`, `when.release`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::ci::{CiRun, ci_runs, is_commit};
use super::date::day;
use super::git::Git;
use super::slug::slug;
use super::version::{has_higher, is_release, version, without_build};

/// The number of digits of `git.short`. In a large repository `git rev-parse --short` prints more digits. A shallow
/// clone would then give the same commit another short name.
const SHORT: usize = 7;

/// A value, or the reason why it is unknown.
type Fact = Result<String, String>;

/// Answers the facts of git in `wanted`, `git.…`, and the conditions of the plan, `when.…`. Each has a value, or the
/// reason why it is unknown. A condition is `true` or `false`.
///
/// git runs in `directory`, only if `wanted` has such a fact. git gets only the variables of `environment` that it
/// needs. Without a repository or without git, the variables of CI systems in `environment` give the answer. polyarch
/// kills git if the future is dropped, or after ten seconds.
///
/// `git.tag` is the tag of the commit. If the commit has several tags, polyarch prefers the tag of the CI run.
/// Otherwise it takes the tag that `git describe` prefers: the newest annotated one. For a pull request, the commit is
/// its head, and not the merge that the CI system made.
pub async fn git_facts(
    directory: &Path,
    environment: &BTreeMap<String, String>,
    wanted: &BTreeSet<String>,
) -> BTreeMap<String, Fact> {
    let mut facts = BTreeMap::new();
    if !wanted.iter().any(|name| name.starts_with("git.") || name.starts_with("when.")) {
        return facts;
    }
    let commit = Commit::find(Git { directory, environment }).await;
    for name in wanted {
        if let Some(fact) = commit.fact(name).await {
            facts.insert(name.clone(), fact);
        }
    }
    facts
}

/// The URL of the remote `origin`, if `directory` is in a repository with such a remote. The URL may have a password.
pub async fn git_origin(directory: &Path, environment: &BTreeMap<String, String>) -> Option<String> {
    Git { directory, environment }.line(&["remote", "get-url", "origin"]).await.ok()
}

/// The commits of the CI run and of `HEAD`, if the run is for another commit than the one in `directory`.
pub async fn ci_disagreement(directory: &Path, environment: &BTreeMap<String, String>) -> Option<(String, String)> {
    let runs = ci_runs(environment);
    let run = runs.first()?;
    let head = head(Git { directory, environment }).await.ok()?;
    (!runs.iter().any(|run| run.is_for(&head))).then(|| (short(&run.sha), short(&head)))
}

/// The reference that a run is for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Reference {
    Tag(String),
    Branch(String),
    /// A pull or merge request, by its number.
    Request(String),
    /// A commit alone: `HEAD` is detached.
    Detached,
}

/// The current commit.
struct Commit<'a> {
    git: Git<'a>,
    /// The commit that is checked out.
    head: Fact,
    /// The CI run for this commit.
    run: Option<CiRun>,
    sha: Fact,
    tag: Fact,
    reference: Result<Reference, String>,
}

impl<'a> Commit<'a> {
    async fn find(git: Git<'a>) -> Self {
        let (head, runs) = (head(git).await, ci_runs(git.environment));
        let started = match &head {
            Ok(head) => started_for(git, &runs, head).await,
            Err(_) => runs.first().and_then(|run| run.tag.clone()),
        };
        let run = match &head {
            // A run for a pull request stays one, even if a step of the run added a commit: the tags of a branch are not
            // for it.
            Ok(head) => runs.iter().find(|run| run.is_for(head)).or(runs.iter().find(|run| run.request.is_some())),
            Err(_) => runs.first(),
        };
        let sha = match (&head, run) {
            (Ok(head), Some(run)) if run.sha == *head => Ok(run.commit().to_owned()),
            (Ok(head), _) => Ok(head.clone()),
            (Err(_), Some(run)) => Ok(run.commit().to_owned()),
            (Err(reason), None) => Err(reason.clone()),
        };
        let sha = sha.and_then(checked);
        let tag = match (&started, &head, &sha) {
            (Some(tag), ..) => Ok(tag.clone()),
            (None, Ok(_), _) => described(git).await,
            (None, Err(_), Ok(_)) => Err("the CI run is not for a tag".to_owned()),
            (None, Err(_), Err(reason)) => Err(reason.clone()),
        };
        let reference = match (started, run, &head) {
            (Some(tag), ..) => Ok(Reference::Tag(tag)),
            (None, Some(CiRun { request: Some(number), .. }), _) => Ok(Reference::Request(number.clone())),
            (None, Some(CiRun { branch: Some(branch), tag: None, .. }), _) => Ok(Reference::Branch(branch.clone())),
            (None, _, Ok(_)) => Ok(of_clone(git, &tag).await),
            (None, _, Err(reason)) => sha.as_ref().map(|_| Reference::Detached).map_err(|_| reason.clone()),
        };
        Self { git, head, run: run.cloned(), sha, tag, reference }
    }

    async fn fact(&self, name: &str) -> Option<Fact> {
        Some(match name {
            "git.sha" => self.sha.clone(),
            "git.short" => self.sha.as_deref().map(short).map_err(Clone::clone),
            "git.tag" => self.tag.clone(),
            "git.branch" => self.branch().await,
            "git.pr" => self.request(),
            "git.ref_slug" => self.slug(),
            "git.commit_date" => self.date().await,
            "git.version" => self.version().map(|version| without_build(&version)),
            "git.major" => self.version().map(|version| version.major.to_string()),
            "git.minor" => self.version().map(|version| version.minor.to_string()),
            "git.patch" => self.version().map(|version| version.patch.to_string()),
            "git.prerelease" => self.version().and_then(|version| match version.pre.as_str() {
                "" => Err(format!("the version {} is a release", without_build(&version))),
                prerelease => Ok(prerelease.to_owned()),
            }),
            "when.tag" => self.is(|reference| matches!(reference, Reference::Tag(_))),
            "when.branch" => self.is(|reference| matches!(reference, Reference::Branch(_))),
            "when.pr" => self.is(|reference| matches!(reference, Reference::Request(_))),
            "when.release" => self.is(|reference| version_of(reference).is_some_and(|version| is_release(&version))),
            "when.prerelease" => {
                self.is(|reference| version_of(reference).is_some_and(|version| !is_release(&version)))
            }
            "when.default-branch" => self.is_default_branch().await.map(|is| is.to_string()),
            "when.highest" => self.is_highest().await.map(|is| is.to_string()),
            _ => return None,
        })
    }

    fn is(&self, holds: impl Fn(&Reference) -> bool) -> Fact {
        self.reference.as_ref().map(|reference| holds(reference).to_string()).map_err(Clone::clone)
    }

    async fn branch(&self) -> Fact {
        match (self.reference.as_ref().map_err(Clone::clone)?, &self.run) {
            (Reference::Branch(branch), _) => Ok(branch.clone()),
            (Reference::Request(number), _) => Err(format!("the CI run is for the pull request {number}")),
            (Reference::Tag(tag), Some(run)) if run.tag.as_ref() == Some(tag) => {
                Err("the CI run is for a tag".to_owned())
            }
            (Reference::Tag(_) | Reference::Detached, _) => {
                let branch = self.git.line(&["symbolic-ref", "--quiet", "--short", "HEAD"]).await;
                branch.map_err(|_| "HEAD is detached".to_owned())
            }
        }
    }

    fn request(&self) -> Fact {
        match self.reference.as_ref().map_err(Clone::clone)? {
            Reference::Request(number) => Ok(number.clone()),
            _ => Err("this run is not for a pull request".to_owned()),
        }
    }

    fn slug(&self) -> Fact {
        match self.reference.as_ref().map_err(Clone::clone)? {
            Reference::Tag(name) | Reference::Branch(name) => Ok(slug(name)),
            Reference::Request(number) => Ok(format!("pr-{number}")),
            Reference::Detached => Err("HEAD is detached, and no tag points at HEAD".to_owned()),
        }
    }

    fn version(&self) -> Result<semver::Version, String> {
        let tag = self.tag.as_ref().map_err(Clone::clone)?;
        version(tag).ok_or_else(|| format!("the tag `{tag}` is not a semantic version"))
    }

    async fn date(&self) -> Fact {
        let (sha, head) = (self.sha.as_ref().map_err(Clone::clone)?, self.head.as_ref());
        let head = head.map_err(|reason| format!("only git has the date of a commit: {reason}"))?;
        let arguments = ["show", "--no-patch", "--no-show-signature", "--format=%ct", sha];
        let seconds = self.git.line(&arguments).await.map_err(|reason| {
            if sha == head { reason } else { format!("the clone lacks {}, the head of the pull request", short(sha)) }
        })?;
        day(&seconds).ok_or_else(|| "git printed no date".to_owned())
    }

    async fn is_default_branch(&self) -> Result<bool, String> {
        let Reference::Branch(branch) = self.reference.as_ref().map_err(Clone::clone)? else { return Ok(false) };
        if let Some(default) = self.run.as_ref().and_then(|run| run.default_branch.as_ref()) {
            return Ok(default == branch);
        }
        let remote = self.git.line(&["symbolic-ref", "--quiet", "--short", "refs/remotes/origin/HEAD"]).await;
        let default = remote.map_err(|_| "the clone does not say which branch is the default one".to_owned())?;
        Ok(default.strip_prefix("origin/") == Some(branch))
    }

    /// Whether the run is for the highest release. A clone without the history may also lack tags, so it does not know.
    async fn is_highest(&self) -> Result<bool, String> {
        let reference = self.reference.as_ref().map_err(Clone::clone)?;
        let Some(version) = version_of(reference).filter(is_release) else { return Ok(false) };
        let unknown = |reason: &str| format!("the highest release is unknown: {reason}");
        self.head.as_ref().map_err(|reason| unknown(reason))?;
        let listed = self.git.lines(&["for-each-ref", "--format=%(refname:strip=2)", "refs/tags"]).await;
        let tags = listed.map_err(|reason| unknown(&reason))?;
        if has_higher(&tags, &version) {
            return Ok(false);
        }
        let is_shallow = self.git.line(&["rev-parse", "--is-shallow-repository"]).await?;
        let has_own = tags.iter().any(|tag| *reference == Reference::Tag(tag.clone()));
        if is_shallow != "false" || !has_own {
            return Err(unknown("this clone may lack tags"));
        }
        Ok(true)
    }
}

fn version_of(reference: &Reference) -> Option<semver::Version> {
    if let Reference::Tag(tag) = reference { version(tag) } else { None }
}

async fn head(git: Git<'_>) -> Fact {
    git.line(&["rev-parse", "--verify", "HEAD^{commit}"]).await
}

/// The tag that a CI run was started for, if the tag points at `head`.
async fn started_for(git: Git<'_>, runs: &[CiRun], head: &str) -> Option<String> {
    for run in runs {
        let Some(tag) = &run.tag else { continue };
        let (reference, commit) = (format!("refs/tags/{tag}"), format!("refs/tags/{tag}^{{commit}}"));
        let points_here = match git.line(&["show-ref", "--verify", &reference]).await {
            Ok(_) => git.line(&["rev-parse", "--verify", &commit]).await.is_ok_and(|at| at == head),
            // The clone lacks the tag. polyarch then trusts the CI system about its own commit.
            Err(_) => run.sha == head,
        };
        if points_here {
            return Some(tag.clone());
        }
    }
    None
}

/// The tag of `HEAD` that `git describe` prefers.
async fn described(git: Git<'_>) -> Fact {
    let described = git.line(&["describe", "--tags", "--exact-match", "HEAD"]).await;
    described.map_err(|_| "no tag points at HEAD".to_owned())
}

/// The reference of a clone outside of CI: its tag, or else its branch.
async fn of_clone(git: Git<'_>, tag: &Fact) -> Reference {
    if let Ok(tag) = tag {
        return Reference::Tag(tag.clone());
    }
    let branch = git.line(&["symbolic-ref", "--quiet", "--short", "HEAD"]).await;
    branch.map_or(Reference::Detached, Reference::Branch)
}

fn short(sha: &str) -> String {
    sha.chars().take(SHORT).collect()
}

/// Checks that a commit is a hash.
fn checked(sha: String) -> Fact {
    if is_commit(&sha) { Ok(sha) } else { Err("the commit that CI reports is not a commit hash".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA: &str = "0123456789abcdef0123456789abcdef01234567";

    fn environment(extra: &[(&str, &str)]) -> BTreeMap<String, String> {
        let path = std::env::var("PATH").unwrap();
        // The test ignores the settings of this machine and repositories above the temporary directory.
        let base = [
            ("PATH", &*path),
            ("HOME", "/nonexistent"),
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_CEILING_DIRECTORIES", "/"),
        ];
        base.iter().chain(extra).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn wanted() -> BTreeSet<String> {
        ["git.sha", "git.short", "git.tag", "aws.account"].map(str::to_owned).into()
    }

    fn run(directory: &Path, arguments: &[&str]) -> String {
        let who = [
            "-c",
            "user.name=t",
            "-c",
            "user.email=t@example.com",
            "-c",
            "commit.gpgsign=false",
            "-c",
            "tag.gpgsign=false",
        ];
        let mut command = std::process::Command::new("git");
        command.current_dir(directory).args(who).args(arguments).env_clear().envs(environment(&[]));
        let output = command.output().expect("git is installed: apt-get install git");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    #[tokio::test]
    async fn git_facts_come_from_the_repository_before_ci() {
        let directory = tempfile::tempdir().unwrap();
        run(directory.path(), &["init", "--quiet"]);
        run(directory.path(), &["commit", "--quiet", "--allow-empty", "-m", "one"]);
        let sha = run(directory.path(), &["rev-parse", "HEAD"]);
        let ci = environment(&[("GITHUB_SHA", SHA), ("GITHUB_REF_TYPE", "tag"), ("GITHUB_REF_NAME", "v9")]);
        let facts = git_facts(directory.path(), &ci, &wanted()).await;
        assert_eq!(facts["git.sha"], Ok(sha.clone()));
        assert_eq!(facts["git.short"], Ok(sha[..7].to_owned()));
        assert_eq!(facts["git.tag"], Err("no tag points at HEAD".to_owned()));
        assert_eq!(facts.len(), 3);
        run(directory.path(), &["tag", "v1.0"]);
        assert_eq!(git_facts(directory.path(), &ci, &wanted()).await["git.tag"], Ok("v1.0".to_owned()));
    }

    #[tokio::test]
    async fn git_tag_is_that_of_the_ci_run_if_a_commit_has_several() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        run(path, &["init", "--quiet"]);
        run(path, &["commit", "--quiet", "--allow-empty", "-m", "one"]);
        run(path, &["tag", "v1.0.0"]);
        run(path, &["commit", "--quiet", "--allow-empty", "-m", "two"]);
        let sha = run(path, &["rev-parse", "HEAD"]);
        // `git describe` prefers annotated tags.
        for arguments in [&["tag", "v2.0.0"][..], &["tag", "team/v2"], &["tag", "-a", "stable", "-m", "x"]] {
            run(path, arguments);
        }
        let tag = async |variables: &[(&str, &str)]| {
            git_facts(path, &environment(variables), &wanted()).await.remove("git.tag").unwrap()
        };
        let is = |tag: &str| Ok::<_, String>(tag.to_owned());
        assert_eq!(tag(&[]).await, is("stable"));
        for started_for in ["v2.0.0", "team/v2", "stable"] {
            let github = [("GITHUB_SHA", &*sha), ("GITHUB_REF_TYPE", "tag"), ("GITHUB_REF_NAME", started_for)];
            assert_eq!(tag(&github).await, is(started_for));
            assert_eq!(tag(&[("CIRCLE_SHA1", SHA), ("CIRCLE_TAG", started_for)]).await, is(started_for));
            let azure = format!("refs/tags/{started_for}");
            assert_eq!(tag(&[("BUILD_SOURCEVERSION", SHA), ("BUILD_SOURCEBRANCH", &azure)]).await, is(started_for));
        }
        // A tag that the clone lacks counts for the commit of the CI run. A tag of another commit does not count.
        assert_eq!(tag(&[("CI_COMMIT_SHA", &sha), ("CI_COMMIT_TAG", "v3.0.0")]).await, is("v3.0.0"));
        for (commit, other) in [(SHA, "v3.0.0"), (&*sha, "v1.0.0"), (SHA, "v2.0.0~1"), (SHA, "x^{/one}"), (SHA, "../x")]
        {
            assert_eq!(tag(&[("CI_COMMIT_SHA", commit), ("CI_COMMIT_TAG", other)]).await, is("stable"), "{other}");
        }
    }

    #[tokio::test]
    async fn endless_git_output_is_read_to_its_first_line() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("git");
        std::fs::write(&program, "#!/bin/sh\nexec yes fatal: endless >&2\n").unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let path = directory.path().to_str().unwrap();
        let path = format!("{path}:{}", std::env::var("PATH").unwrap());
        let facts = git_facts(directory.path(), &environment(&[("PATH", &path)]), &wanted()).await;
        assert_eq!(facts["git.sha"], Err("endless".to_owned()));
    }

    #[tokio::test]
    async fn git_facts_come_from_ci_without_a_repository() {
        let directory = tempfile::tempdir().unwrap();
        for (variables, tag) in [
            (&[("GITHUB_SHA", SHA), ("GITHUB_REF_TYPE", "tag"), ("GITHUB_REF_NAME", "v1")][..], Some("v1")),
            (&[("GITHUB_SHA", SHA), ("GITHUB_REF_TYPE", "branch"), ("GITHUB_REF_NAME", "main")], None),
            (&[("CI_COMMIT_SHA", SHA), ("CI_COMMIT_TAG", "v2")], Some("v2")),
            (&[("CODEBUILD_RESOLVED_SOURCE_VERSION", SHA)], None),
            (&[("CODEBUILD_RESOLVED_SOURCE_VERSION", SHA), ("CODEBUILD_WEBHOOK_TRIGGER", "tag/v3")], Some("v3")),
            (&[("BITBUCKET_COMMIT", SHA), ("BITBUCKET_TAG", "v4")], Some("v4")),
            (&[("GITHUB_SHA", SHA), ("GITHUB_REF_TYPE", "branch"), ("CI_COMMIT_TAG", "v5")], None),
        ] {
            let facts = git_facts(directory.path(), &environment(variables), &wanted()).await;
            assert_eq!(facts["git.sha"].as_deref(), Ok(SHA));
            assert_eq!(facts["git.short"].as_deref(), Ok("0123456"));
            let expected = tag.ok_or("the CI run is not for a tag").map_err(str::to_owned).map(str::to_owned);
            assert_eq!(facts["git.tag"], expected);
        }
    }

    #[tokio::test]
    async fn missing_git_facts_give_a_reason() {
        let directory = tempfile::tempdir().unwrap();
        let facts = git_facts(directory.path(), &environment(&[]), &wanted()).await;
        assert!(facts["git.sha"].as_ref().unwrap_err().starts_with("not a git repository"), "{facts:?}");
        let no_git = BTreeMap::from([("PATH".to_owned(), "/nonexistent".to_owned())]);
        let facts = git_facts(directory.path(), &no_git, &wanted()).await;
        assert_eq!(facts["git.tag"], Err("git is not installed".to_owned()));
        let odd = environment(&[("GITHUB_SHA", "main; rm -rf")]);
        assert!(git_facts(directory.path(), &odd, &wanted()).await["git.short"].is_err());
    }

    #[tokio::test]
    async fn git_facts_of_an_empty_repository_report_no_commit() {
        let directory = tempfile::tempdir().unwrap();
        run(directory.path(), &["init", "--quiet"]);
        let facts = git_facts(directory.path(), &environment(&[]), &wanted()).await;
        assert_eq!(facts["git.sha"], Err("the git repository has no commit yet".to_owned()));
    }

    #[tokio::test]
    async fn git_is_not_run_if_no_fact_is_needed() {
        assert!(git_facts(Path::new("/nonexistent"), &BTreeMap::new(), &BTreeSet::new()).await.is_empty());
    }
}
