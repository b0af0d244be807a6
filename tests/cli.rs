//! What the program prints and how it exits, whole: each transcript is a file in `tests/cli/`. `SNAPSHOTS=overwrite`
//! writes them; read the difference before you commit it.

mod doctor;
mod engines;
mod habits;
mod init;
mod registries;
mod scripts;
mod shells;
mod transcript;

use std::fs;
use std::path::Path;

use self::transcript::Transcript;
use crate::support::program::{Home, Run};

const PLAN: &str = "\
version: 1
registry: local
images:
  hello:
    context: context
    tags: [\"1.0\", latest]
    platforms: [linux/amd64, linux/arm64]
";

/// Lays the plan and its context into a home.
fn plan(home: &Home, text: &str) {
    fs::create_dir_all(home.path().join("context")).unwrap();
    fs::write(home.path().join("context/Dockerfile"), "FROM scratch\n").unwrap();
    fs::write(home.path().join("build.yaml"), text).unwrap();
}

/// The commands that a help lists, in its order.
fn listed(help: &str) -> Vec<&str> {
    let is_command = |name: &&str| !name.is_empty() && name.chars().all(|letter| letter.is_ascii_lowercase());
    let rows = help.split("Options:").next().unwrap().lines();
    rows.filter_map(|row| Some(row.strip_prefix("  ")?.split_once("  ")?.0)).filter(is_command).collect()
}

/// Every command that a help lists, from `polyarch` itself to `polyarch doctor ecr`. A unit test beside the help holds
/// that the help lists all commands.
async fn commands(home: &Home) -> Vec<String> {
    let mut all = vec!["polyarch".to_owned()];
    let mut next = 0;
    while let Some(command) = all.get(next).cloned() {
        let help = Run::new(home, words(&command, "--help")).finish().await.expect_code(0).stdout;
        all.splice(next + 1..=next, listed(&help).into_iter().map(|name| format!("{command} {name}")));
        next += 1;
    }
    assert!(all.len() > 15 && all.contains(&"polyarch doctor ecr".to_owned()), "{all:?}");
    all
}

/// The arguments of `command` and `flag`.
fn words<'t>(command: &'t str, flag: &'t str) -> impl Iterator<Item = &'t str> {
    command.split(' ').skip(1).chain([flag])
}

#[tokio::test]
async fn help_of_every_command_matches_its_transcript() {
    let home = Home::new();
    let commands = commands(&home).await;
    for flag in ["-h", "--help"] {
        let mut transcript = Transcript::new(&home);
        for command in &commands {
            transcript.run(words(command, flag)).await;
        }
        transcript.is(if flag == "-h" { "help-short" } else { "help-long" });
    }
}

#[tokio::test]
async fn help_fits_79_columns_on_any_terminal() {
    let home = Home::new();
    for command in commands(&home).await {
        for flag in ["-h", "--help"] {
            let ran = Run::new(&home, words(&command, flag)).env("COLUMNS", "200").finish().await;
            let widest = ran.expect_code(0).stdout.lines().map(|line| line.chars().count()).max();
            assert!(widest <= Some(79), "{command:?} {flag}: {widest:?}");
        }
    }
}

#[tokio::test]
async fn version_is_that_of_the_package() {
    let home = Home::new();
    let version = format!("polyarch {}\n", env!("CARGO_PKG_VERSION"));
    for command in commands(&home).await {
        let ran = Run::new(&home, words(&command, "--version")).finish().await.expect_code(0);
        let name = command.replace(' ', "-");
        assert_eq!(ran.stdout, version.replacen("polyarch", &name, 1));
    }
}

#[tokio::test]
async fn usage_errors_exit_2() {
    let home = Home::new();
    plan(&home, PLAN);
    let mut transcript = Transcript::new(&home);
    for args in [
        vec!["bild"],
        vec!["build", "--nope"],
        vec!["build", "--progress", "loud"],
        vec!["build", "--timeout", "soon"],
        vec!["build", "--platform", "amd64"],
        vec!["build", "--engine", "unix:///var/run/docker.sock"],
        vec!["build", "--registry", "https://ghcr.io/org"],
        vec!["build", "--set", "hello"],
        vec!["build", "--load", "--no-push"],
        vec!["join", "--attestations", "strip"],
        vec!["inspect"],
        vec!["inspect", "helo"],
        vec!["inspect", "GHCR.io/Org/web:1.0"],
        vec!["inspect", "--raw", "--json", "ghcr.io/org/web:1.0"],
        vec!["join", "--platform", "native"],
        vec!["verify", "ghcr.io/org/web@sha256:12"],
    ] {
        transcript.run(args).await.expect_code(2);
    }
    transcript.is("usage");
    let ran = Run::new(&home, Vec::<String>::new()).finish().await.expect_code(2);
    assert!(ran.stdout.is_empty() && ran.stderr.contains("Usage: polyarch [OPTIONS] <COMMAND>"), "{ran:?}");
}

#[tokio::test]
async fn plan_errors_show_their_place_and_a_hint() {
    let home = Home::new();
    let mut transcript = Transcript::new(&home);
    for text in [
        "version: 1\nimages:\n  hello:\n    dokcerfile: x\n    tags: [a]\n    platforms: [linux/amd64]\n",
        "version: 1\nimages:\n  hello:\n    tags: [1.10]\n    platforms: [linux/amd64, linux/sparc]\n    args: { V: \"${NOPE}\" }\n",
        "version: 1\nimages: [hello\n",
        "version: 1\nimages:\n  a: { tags: [x], tags: [y], platforms: [linux/amd64] }\n",
        "version: 1\ngroups: {}\nimages:\n  hello: { tags: [a], platforms: [linux/amd64], no_cache_from: base }\n",
        "",
    ] {
        plan(&home, text);
        transcript.say(text);
        transcript.run(["plan"]).await.expect_code(2);
    }
    transcript.is("plan-errors");
}

#[tokio::test]
async fn plan_is_printed_fully_resolved() {
    let home = Home::new();
    plan(&home, PLAN);
    let mut transcript = Transcript::new(&home);
    transcript.run(["plan"]).await.expect_code(0);
    let changed = ["plan", "--set", "hello.linux/arm64.args.TUNE=n1", "--tag", "2.0"];
    transcript.run(changed).await.expect_code(0);
    transcript.run(["plan", "--format", "json"]).await.expect_code(0);
    transcript.run([&changed[..], &["--format", "yaml"]].concat()).await.expect_code(0);
    transcript.is("plan");
    // Both documents are plans. polyarch prints the same for them again.
    for format in ["json", "yaml"] {
        let whole = async || Run::new(&home, ["plan", "--format", format]).finish().await.expect_code(0).stdout;
        plan(&home, PLAN);
        let first = whole().await;
        plan(&home, &first);
        assert_eq!(whole().await, first);
    }
}

#[tokio::test]
async fn schema_command_prints_each_schema() {
    let home = Home::new();
    for (args, file) in [
        (&["plan", "--schema"][..], "plan/schema.json"),
        (&["schema"], "plan/schema.json"),
        (&["schema", "plan"], "plan/schema.json"),
        (&["schema", "report"], "run/report/schema.json"),
        (&["schema", "events"], "cli/output/schema.json"),
        (&["schema", "results"], "cli/output/results.json"),
        (&["schema", "verify"], "cli/command/verify/schema.json"),
    ] {
        let ran = Run::new(&home, args).finish().await.expect_code(0);
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(file);
        assert_eq!(ran.stdout, fs::read_to_string(file).unwrap(), "{args:?}");
    }
}

#[tokio::test]
async fn missing_plans_images_and_platforms_are_named() {
    let home = Home::new();
    let mut transcript = Transcript::new(&home);
    for command in ["build", "join", "plan", "verify"] {
        transcript.run([command]).await.expect_code(2);
    }
    transcript.run(["plan", "-f", "nope.yaml"]).await.expect_code(2);
    plan(&home, PLAN);
    transcript.run(["plan", "helo"]).await.expect_code(2);
    transcript.run(["plan", "--platform", "linux/riscv64"]).await.expect_code(2);
    transcript.run(["build", "--engine", "default=unix:///nope.sock"]).await.expect_code(3);
    transcript.is("not-there");
}

#[tokio::test]
async fn embedded_registry_must_be_named_explicitly_in_ci() {
    let home = Home::new();
    plan(&home, &PLAN.replace("registry: local\n", ""));
    let mut transcript = Transcript::new(&home);
    transcript.run_in(["join"], &[("CI", "true")]).await.expect_code(3);
    transcript.is("ci-without-registry");
    // Said on purpose, it is one: nothing is in it.
    let ran = Run::new(&home, ["join", "--registry", "local"]).env("CI", "true").finish().await;
    let stderr = ran.expect_code(6).stderr;
    assert!(stderr.contains("this machine only, so name a shared registry"), "{stderr}");
}

#[tokio::test]
async fn embedded_registry_directory_must_be_outside_contexts() {
    let home = Home::new();
    plan(&home, PLAN);
    let mut transcript = Transcript::new(&home);
    transcript.run_in(["join"], &[("POLYARCH_HOME", "context/data")]).await.expect_code(2);
    assert!(!home.path().join("context/data").exists());
    transcript.run_in(["join"], &[("POLYARCH_HOME", ""), ("HOME", "")]).await.expect_code(2);
    transcript.run_in(["serve"], &[("POLYARCH_HOME", "/dev/null/x")]).await.expect_code(3);
    transcript.is("home");
}

#[tokio::test]
async fn embedded_registry_is_never_in_a_context_through_links() {
    let home = Home::new();
    plan(&home, PLAN);
    let at = |path: &str| home.path().join(path);
    fs::create_dir_all(at("context/data")).unwrap();
    fs::create_dir_all(at("elsewhere")).unwrap();
    let link = |to: &str, from: &str| std::os::unix::fs::symlink(at(to), at(from)).unwrap();
    link("context", "linked");
    link("elsewhere", "context/out");
    fs::create_dir_all(at("half")).unwrap();
    link("context/data", "half/registry");
    for (place, inside) in [
        ("linked/data", true),
        ("linked/not/there/yet", true),
        ("elsewhere/../linked", true),
        ("context/data/../x", true),
        ("half", true),
        ("../../../../../../../..HOME/linked", true),
        ("context/out", false),
        ("context/../beside", false),
        ("linked/../beside", false),
        ("context/out/../beside", false),
    ] {
        let place = place.replace("..HOME", &format!("..{}", home.path().display()));
        // There is nothing to join. The run finds that out once it has opened the registry.
        let ran = Run::new(&home, ["join"]).env("POLYARCH_HOME", &*place).finish().await;
        let code = if inside { 2 } else { 6 };
        assert_eq!(ran.code(), code, "{place}: {}", ran.stderr);
        assert_eq!(ran.stderr.contains("would lie inside the context"), inside, "{place}: {}", ran.stderr);
    }
    // The home directory may be such a link, too.
    let at_home = Run::new(&home, ["join"]).env("POLYARCH_HOME", "").env("HOME", at("linked"));
    at_home.finish().await.expect_code(2);
}

#[tokio::test]
async fn embedded_registry_is_readable_only_by_its_owner() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = Home::new();
    plan(&home, PLAN);
    let registry = home.polyarch().join("registry");
    let mode = || fs::metadata(&registry).unwrap().permissions().mode() & 0o777;
    Run::new(&home, ["join"]).finish().await.expect_code(6);
    assert_eq!(mode(), 0o700);
    // Earlier versions made the directory with this mode.
    fs::set_permissions(&registry, fs::Permissions::from_mode(0o755)).unwrap();
    Run::new(&home, ["join"]).finish().await.expect_code(6);
    assert_eq!(mode(), 0o700);
}
