//! The facts of the current commit: `git.sha`, `git.short`, `git.tag`.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;

use super::ci::ci_runs;

/// The longest time for git. git reads two small files, but a network file system may hang.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The most bytes of git's output that are read. The output is one line.
const MOST_PRINTED: u64 = 4096;
/// The number of digits of `git.short`. In a large repository `git rev-parse --short` prints more digits. A shallow
/// clone would then give the same commit another short name.
const SHORT: usize = 7;

/// The answer of `git rev-parse --verify HEAD^{commit}` in a repository without a commit.
const NO_COMMIT: &str = "Needed a single revision";

/// Answers the git facts in `wanted`. Each has a value, or the reason why it is unknown.
///
/// git runs in `directory`, only if `wanted` has a git fact. git gets only the variables of `environment` that it
/// needs. Without a repository or without git, the variables of CI systems in `environment` give the answer. polyarch
/// kills git if the future is dropped, or after ten seconds.
///
/// `git.tag` is the tag of the commit. If the commit has several tags, polyarch prefers the tag of the CI run.
/// Otherwise it takes the tag that `git describe` prefers: the newest annotated one.
pub async fn git_facts(
    directory: &Path,
    environment: &BTreeMap<String, String>,
    wanted: &BTreeSet<String>,
) -> BTreeMap<String, Result<String, String>> {
    let mut facts = BTreeMap::new();
    if !wanted.iter().any(|name| name.starts_with("git.")) {
        return facts;
    }
    let asked = git(directory, environment, &["rev-parse", "--verify", "HEAD^{commit}"]).await;
    let head = asked.clone().ok();
    let ci = ci_runs(environment).next();
    let sha = asked.or_else(|reason| ci.map(|run| run.sha.to_owned()).ok_or(reason)).and_then(checked);
    for name in wanted {
        let fact = match name.as_str() {
            "git.sha" => sha.clone(),
            "git.short" => sha.clone().map(|mut sha| {
                sha.truncate(SHORT);
                sha
            }),
            "git.tag" if let Some(head) = &head => tag_of(directory, environment, head).await,
            "git.tag" => ci.and_then(|run| run.tag).map(str::to_owned).ok_or_else(|| match &sha {
                Ok(_) => "the CI run is not for a tag".to_owned(),
                Err(reason) => reason.clone(),
            }),
            _ => continue,
        };
        facts.insert(name.clone(), fact);
    }
    facts
}

/// The URL of the remote `origin`, if `directory` is in a repository with such a remote. The URL may have a password.
pub async fn git_origin(directory: &Path, environment: &BTreeMap<String, String>) -> Option<String> {
    git(directory, environment, &["remote", "get-url", "origin"]).await.ok()
}

/// The tag of the current commit, `head`.
async fn tag_of(directory: &Path, environment: &BTreeMap<String, String>, head: &str) -> Result<String, String> {
    for run in ci_runs(environment) {
        let Some(tag) = run.tag else { continue };
        let (reference, commit) = (format!("refs/tags/{tag}"), format!("refs/tags/{tag}^{{commit}}"));
        let points_here = match git(directory, environment, &["show-ref", "--verify", &reference]).await {
            Ok(_) => git(directory, environment, &["rev-parse", "--verify", &commit]).await.is_ok_and(|at| at == head),
            // The clone lacks the tag. polyarch then trusts the CI system about its own commit.
            Err(_) => run.sha == head,
        };
        if points_here {
            return Ok(tag.to_owned());
        }
    }
    let described = git(directory, environment, &["describe", "--tags", "--exact-match", "HEAD"]).await;
    described.map_err(|_| "no tag points at HEAD".to_owned())
}

/// The variables that git needs to find itself, its configuration and the repository. git gets no keys or tokens.
fn for_git(environment: &BTreeMap<String, String>) -> impl Iterator<Item = (&String, &String)> {
    const OWN: [&str; 7] = ["PATH", "HOME", "XDG_CONFIG_HOME", "TMPDIR", "LD_LIBRARY_PATH", "SUDO_UID", "SUDO_GID"];
    environment.iter().filter(|(name, _)| name.starts_with("GIT_") || OWN.contains(&name.as_str()))
}

/// The one line that git prints, or the first line of its error.
async fn git(directory: &Path, environment: &BTreeMap<String, String>, arguments: &[&str]) -> Result<String, String> {
    let mut command = Command::new("git");
    command.arg("-C").arg(directory).args(arguments).env_clear().envs(for_git(environment)).env("LC_ALL", "C");
    command.stdin(Stdio::null()).kill_on_drop(true);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = match tokio::time::timeout(TIMEOUT, output(command)).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => return Err("git is not installed".to_owned()),
        Ok(Err(error)) => return Err(format!("git cannot run: {error}")),
        Err(_) => return Err(format!("git did not answer within {} seconds", TIMEOUT.as_secs())),
    };
    let Output { status, stdout, stderr } = output;
    match first_line(&stderr) {
        _ if status.success() => Ok(first_line(&stdout)),
        reason if reason == NO_COMMIT => Err("the git repository has no commit yet".to_owned()),
        reason => Err(reason),
    }
}

/// The beginning of a program's output. The program fails if it writes more.
async fn output(mut command: Command) -> io::Result<Output> {
    let mut child = command.spawn()?;
    let (stdout, stderr) = tokio::try_join!(beginning(child.stdout.take()), beginning(child.stderr.take()))?;
    Ok(Output { status: child.wait().await?, stdout, stderr })
}

async fn beginning(pipe: Option<impl AsyncRead + Unpin>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        pipe.take(MOST_PRINTED).read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
}

/// The first line, without control characters.
fn first_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(4096)]);
    let line = text.lines().next().unwrap_or_default().trim();
    line.trim_start_matches("fatal: ").chars().filter(|c| !c.is_control()).take(300).collect()
}

/// Checks that a commit has 40 hex digits, or 64 in a repository with SHA-256.
fn checked(sha: String) -> Result<String, String> {
    let valid = matches!(sha.len(), 40 | 64) && sha.bytes().all(|byte| byte.is_ascii_hexdigit());
    if valid { Ok(sha) } else { Err("the commit that CI reports is not a commit hash".to_owned()) }
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
