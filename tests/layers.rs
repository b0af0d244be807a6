//! The house's rules, held over every file under `src`. ARCHITECTURE.md has the table of the rooms.
//!
//! Code under `#[cfg(test)]` is free of them: a test may put two rooms together.

mod circles;
pub(crate) mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use circles::{between_folders, circles, folder, imports as imports_of_files};
use source::{PathAt, Source};

/// The rooms, lowest layer first. A room imports from lower layers and from itself, never from its own layer or above.
const LAYERS: &[&[&str]] = &[
    &["oci", "random", "text"],
    &["aws", "tls"],
    &["plan", "context", "facts", "auth", "rootfs", "layout"],
    &["connect", "buildkit"],
    &["engine", "registry", "ecr", "embedded"],
    &["run"],
    &["api", "cli", "fuzzing"],
];

/// Which places may name a crate: what it does can then be replaced by changing one room.
const CRATES: &[(&[&str], &[&str])] = &[
    (&["bollard"], &["src/engine/", "src/buildkit/"]),
    (&["tonic", "tonic_prost", "prost"], &["src/buildkit/"]),
    (&["hyper", "hyper_util"], &["src/engine/", "src/buildkit/", "src/embedded/"]),
    (&["tower"], &["src/buildkit/", "src/embedded/"]),
    (&["reqwest", "httpdate"], &["src/registry/"]),
    (&["rustls"], &["src/tls/", "src/registry/", "src/connect/tls.rs"]),
    (&["rustls_platform_verifier"], &["src/tls/"]),
    (&["tokio_rustls"], &["src/connect/"]),
    (&["axum"], &["src/embedded/"]),
    (&["flate2", "ruzstd"], &["src/rootfs/"]),
    (
        &[
            "aws_config",
            "aws_credential_types",
            "aws_sdk_ecr",
            "aws_sdk_ecrpublic",
            "aws_sdk_sts",
            "aws_smithy_http_client",
            "aws_smithy_runtime_api",
            "aws_smithy_types",
        ],
        &["src/ecr/"],
    ),
    (&["ipnet"], &["src/registry/"]),
    (&["semver"], &["src/facts/"]),
    (&["strsim"], &["src/plan/"]),
    (&["getrandom"], &["src/random/"]),
    (&["serde_yaml"], &["src/plan/read/raw.rs", "src/plan/model/yaml.rs"]),
    (
        &["clap", "clap_complete", "clap_mangen", "annotate_snippets", "tracing_subscriber", "unicode_width"],
        &["src/cli/", "src/main.rs"],
    ),
];

/// Something that touches the world outside, the names in a path that do it, and where it may be.
struct Doing {
    what: &'static str,
    names: &'static [[&'static str; 2]],
    places: &'static [&'static str],
}

const DOINGS: &[Doing] = &[
    Doing {
        what: "speaks Docker Engine's REST API",
        names: &[
            ["bollard", "Docker"],
            ["bollard", "auth"],
            ["bollard", "errors"],
            ["bollard", "models"],
            ["bollard", "query_parameters"],
        ],
        places: &["src/engine/"],
    },
    Doing {
        what: "speaks BuildKit's protocol",
        names: &[["bollard", "fsutil"], ["bollard", "health"], ["bollard", "moby"]],
        places: &["src/buildkit/"],
    },
    Doing {
        what: "starts a process",
        names: &[["process", "Command"]],
        places: &["src/auth/helper.rs", "src/connect/program.rs", "src/facts/git.rs"],
    },
    Doing {
        what: "reads what the process was started with",
        names: &[
            ["env", "var"],
            ["env", "var_os"],
            ["env", "vars"],
            ["env", "vars_os"],
            ["env", "args"],
            ["env", "args_os"],
            ["env", "home_dir"],
            ["env", "current_dir"],
            ["env", "temp_dir"],
            ["env", "current_exe"],
            ["env", "*"],
        ],
        places: &["src/cli/", "src/main.rs"],
    },
    Doing {
        what: "prints",
        names: &[
            ["print", "!"],
            ["println", "!"],
            ["eprint", "!"],
            ["eprintln", "!"],
            ["dbg", "!"],
            ["io", "stdout"],
            ["io", "stderr"],
        ],
        places: &["src/cli/", "src/main.rs"],
    },
];

/// Files that may spawn a task or a thread, each with the reason why it cannot outlive its owner.
const SPAWNERS: &[(&str, &str)] = &[
    ("src/buildkit/session/filesync.rs", "aborted with the response stream that it feeds"),
    ("src/buildkit/session/serve.rs", "aborted by the session that it serves"),
    ("src/buildkit/session/ssh.rs", "aborted with the response stream that it feeds"),
    ("src/cli/output/fanout.rs", "the display blocks with its terminal: its thread is waited for, but not for ever"),
    ("src/cli/terminal/signals.rs", "aborted by the guard that main holds while a command runs"),
    ("src/cli/terminal/stderr.rs", "blocks with its terminal: what it writes is waited for, but not for ever"),
    ("src/engine/lines.rs", "drives one REST connection, and ends when neither a response nor the client needs it"),
];
const SPAWNS: &[[&str; 2]] =
    &[["tokio", "spawn"], ["task", "spawn"], ["task", "spawn_local"], ["thread", "spawn"], ["thread", "Builder"]];

/// Lines with code on them, and lines of any kind, tests in the file not counted.
const MOST_CODE_LINES: usize = 450;
const MOST_LINES: usize = 600;

/// Files in a folder.
const MOST_FILES: usize = 15;

/// What a file breaks, each as `file:line: rule`.
fn violations(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    for check in [imports, crates, doings, spawns, lengths, module_files] {
        check(source, &mut |line, rule| found.push(format!("{}:{line}: {rule}", source.path)));
    }
    found
}

type Report<'a> = &'a mut dyn FnMut(usize, String);

fn imports(source: &Source, report: Report<'_>) {
    if source.path == "src/lib.rs" {
        return;
    }
    let own = room(&source.path);
    let Some(own_layer) = layer(own) else {
        return report(1, format!("`{own}` is no room of the house: LAYERS in tests/layers.rs lists them"));
    };
    for path in source.named() {
        let Some(target) = crate_path(&module(&source.path), &path.segments) else { continue };
        match layer(target) {
            _ if target == own => {}
            Some(target_layer) if target_layer < own_layer => {}
            Some(_) => report(path.line, format!("`{own}` imports `{target}`, which is not below it")),
            None => report(path.line, format!("`{}` goes past the rooms: name the room", path.segments.join("::"))),
        }
    }
}

fn crates(source: &Source, report: Report<'_>) {
    for path in source.named() {
        let name = path.segments[0].as_str();
        for (_, places) in CRATES.iter().filter(|(names, _)| names.contains(&name)) {
            if !within(&source.path, places) {
                report(path.line, format!("names the crate `{name}`, which belongs to {}", places.join(", ")));
            }
        }
    }
}

fn doings(source: &Source, report: Report<'_>) {
    for doing in DOINGS.iter().filter(|doing| !within(&source.path, doing.places)) {
        for line in lines_that_name(source, doing.names) {
            report(line, format!("{}, which belongs to {}", doing.what, doing.places.join(", ")));
        }
    }
}

fn spawns(source: &Source, report: Report<'_>) {
    let lines = lines_that_name(source, SPAWNS);
    match (lines.first(), SPAWNERS.iter().any(|(file, _)| *file == source.path)) {
        (Some(line), false) => {
            report(*line, "spawns: return a future that the caller owns, or say in SPAWNERS why not".to_owned());
        }
        (None, true) => report(1, "is in SPAWNERS but spawns nothing".to_owned()),
        _ => {}
    }
}

fn lengths(source: &Source, report: Report<'_>) {
    let code = source.code_lines;
    if code > MOST_CODE_LINES {
        report(source.lines, format!("has {code} lines of code, more than {MOST_CODE_LINES}"));
    }
    if source.lines > MOST_LINES {
        report(source.lines, format!("has {} lines without its tests, more than {MOST_LINES}", source.lines));
    }
}

fn module_files(source: &Source, report: Report<'_>) {
    if !source.path.ends_with("/mod.rs") && source.path != "src/lib.rs" {
        return;
    }
    for line in &source.content {
        report(*line, "does more than declare and re-export: move it into a file".to_owned());
    }
}

/// Folders with more files than they may have, or with fewer than their entry in the list says.
fn full_folders(sources: &[&Source]) -> Vec<String> {
    let mut counts = BTreeMap::new();
    for source in sources {
        *counts.entry(folder(&source.path)).or_insert(0) += 1;
    }
    let too_many = counts.into_iter().filter(|(_, count)| *count > MOST_FILES);
    too_many.map(|(folder, count)| format!("{folder} has {count} files, more than {MOST_FILES}")).collect()
}

/// Lines on which a path goes through two names in a row.
fn lines_that_name(source: &Source, names: &[[&str; 2]]) -> Vec<usize> {
    let is_named = |path: &&PathAt| path.segments.windows(2).any(|pair| names.iter().any(|name| *name == pair));
    source.named().filter(is_named).map(|path| path.line).collect::<BTreeSet<_>>().into_iter().collect()
}

/// The name behind the crate's root in a path that leads there: from `crate`, from `polyarch` or up through `super`.
fn crate_path<'a>(module: &[&str], segments: &'a [String]) -> Option<&'a str> {
    let ups = segments.iter().take_while(|segment| *segment == "super").count();
    let root = matches!(segments[0].as_str(), "crate" | "polyarch");
    let start = if root { 1 } else { ups };
    (root || ups > 0 && ups >= module.len()).then(|| segments.get(start).map(String::as_str)).flatten()
}

/// The names of the modules that a file stands for: `src/engine/session/auth.rs` is `engine::session::auth`.
fn module(path: &str) -> Vec<&str> {
    let path = path.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod");
    path.split('/').filter(|name| !matches!(*name, "lib" | "main")).collect()
}

fn room(path: &str) -> &str {
    module(path).first().copied().unwrap_or("cli")
}

fn layer(room: &str) -> Option<usize> {
    LAYERS.iter().position(|rooms| rooms.contains(&room))
}

/// Whether a file is one of the places, or in one that ends in `/`.
fn within(path: &str, places: &[&str]) -> bool {
    places.iter().any(|place| path == *place || place.ends_with('/') && path.starts_with(place))
}

/// Every file under `src`.
pub(crate) static FILES: LazyLock<Vec<Source>> = LazyLock::new(|| {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    collect(&package.join("src"), &mut files);
    files.sort();
    let path = |file: &PathBuf| file.strip_prefix(package).unwrap().to_str().unwrap().to_owned();
    files.iter().map(|file| Source::read(&path(file), &fs::read_to_string(file).unwrap())).collect()
});

/// Those that are compiled outside of tests.
pub(crate) fn sources() -> Vec<&'static Source> {
    let tests: Vec<_> = FILES.iter().flat_map(test_files).collect();
    FILES.iter().filter(|source| !tests.iter().any(|test| source.path.starts_with(test))).collect()
}

/// What the paths of a file's test modules start with.
fn test_files(source: &Source) -> Vec<String> {
    let folder = format!("src/{}", module(&source.path).join("/"));
    source.test_modules.iter().flat_map(|name| [format!("{folder}/{name}.rs"), format!("{folder}/{name}/")]).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

#[test]
fn every_source_file_obeys_the_layer_rules() {
    let sources = sources();
    assert!(sources.len() > 10, "only {} files were found under src", sources.len());
    let found: Vec<_> = sources.into_iter().flat_map(violations).collect();
    assert!(found.is_empty(), "{} rules of the house are broken:\n{}", found.len(), found.join("\n"));
}

#[test]
fn no_folder_has_more_files_than_the_limit() {
    let found = full_folders(&sources());
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn files_and_folders_do_not_import_each_other_in_circles() {
    let sources = sources();
    let imports = imports_of_files(&sources);
    let found = circles(&imports);
    assert!(found.is_empty(), "files import each other: {found:#?}");
    let found = circles(&between_folders(&imports));
    assert!(found.is_empty(), "folders import each other: {found:#?}");
}

/// A folder that is too full, and circles of each kind of path.
#[test]
fn folder_and_circle_rules_find_their_violations() {
    let full = |folder: &str, count| {
        let files: Vec<_> = (0..count).map(|at| Source::read(&format!("{folder}/f{at}.rs"), "")).collect();
        full_folders(&files.iter().collect::<Vec<_>>())
    };
    assert_eq!(full("src/run/build", 15), Vec::<String>::new());
    assert_eq!(full("src/run/build", 16), ["src/run/build has 16 files, more than 15"]);

    let shared = ("src/run/b/mod.rs", "pub mod c; pub mod d; pub use c::*; pub use d::{D, E as F}; use crate::x::Y;");
    let other = ("src/run/g.rs", "#[cfg(unix)] mod x; #[cfg(windows)] #[path = \"b/c.rs\"] mod x;");
    for (text, said) in [
        ("use super::b::c::C;", &["src/run/a.rs", "src/run/b/c.rs"][..]),
        ("use crate::run::{b::C, other};", &["src/run/a.rs", "src/run/b/c.rs"]),
        ("fn f() { crate::run::b::C::new() }", &["src/run/a.rs", "src/run/b/c.rs"]),
        ("use crate::run::b::c; fn f() { c::C::new() }", &["src/run/a.rs", "src/run/b/c.rs"]),
        ("use crate::run::b::*; fn f(c: C) {}", &["src/run/a.rs", "src/run/b/c.rs"]),
        ("use crate::run::b as x; fn f() { x::C::new() }", &["src/run/a.rs", "src/run/b/c.rs"]),
        ("fn f() { select! { x = crate::run::b::C::new() => {} } }", &["src/run/a.rs", "src/run/b/c.rs"]),
        ("use crate::run::g::x::C;", &["src/run/a.rs", "src/run/b/c.rs"]),
        ("use crate::run::b::F;", &[]),
        ("#[cfg(test)] use crate::run::b::C;", &[]),
    ] {
        let sources = [
            ("src/run/a.rs", text),
            shared,
            other,
            ("src/run/b/c.rs", "use crate::run::a::A; pub struct C;"),
            ("src/run/b/d.rs", "pub struct D; pub struct E;"),
        ];
        let sources = sources.map(|(path, text)| Source::read(path, text));
        let imports = imports_of_files(&sources.each_ref());
        let found = circles(&imports);
        let expected: Vec<BTreeSet<_>> =
            if said.is_empty() { Vec::new() } else { vec![said.iter().copied().collect()] };
        assert_eq!(found, expected, "{text}");
        let between = circles(&between_folders(&imports));
        assert_eq!(between.is_empty(), text.starts_with("#[cfg(test)]"), "{text}");
    }
}

#[test]
fn files_that_spawn_processes_give_a_reason() {
    for (file, reason) in SPAWNERS {
        assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(file).is_file(), "{file} in SPAWNERS is no file");
        assert!(reason.split_whitespace().count() >= 4, "{file} in SPAWNERS gives no reason: {reason:?}");
    }
}

/// One file a rule, and what is said of it: a rule that can no longer fail fails here.
#[test]
fn each_layer_rule_finds_its_violation() {
    for (path, text, said) in [
        ("src/oci/index.rs", "\nuse crate::plan::Plan;", "src/oci/index.rs:2: `oci` imports `plan`"),
        (
            "src/plan/model/plan.rs",
            "use crate::{oci::Digest, facts};",
            "src/plan/model/plan.rs:1: `plan` imports `facts`",
        ),
        ("src/registry/client.rs", "use super::super::engine::Dial;", "`registry` imports `engine`"),
        ("src/engine/session/auth.rs", "fn f() { crate::run::go() }", "`engine` imports `run`"),
        ("src/run/mod.rs", "pub use super::cli::Args;", "`run` imports `cli`"),
        ("src/plan/model/plan.rs", "use crate::Digest;", "`crate::Digest` goes past the rooms"),
        ("src/attic/mod.rs", "", "`attic` is no room"),
        (
            "src/registry/client.rs",
            "use bollard::ClientVersion;",
            "names the crate `bollard`, which belongs to src/engine/",
        ),
        ("src/engine/dial.rs", "fn f() { reqwest::get() }", "names the crate `reqwest`"),
        ("src/registry/blobs.rs", "use axum;", "names the crate `axum`"),
        (
            "src/plan/model/plan.rs",
            "use serde_yaml::Spanned;",
            "names the crate `serde_yaml`, which belongs to src/plan/read/raw.rs",
        ),
        ("src/run/report/whole.rs", "fn f(text: clap::builder::StyledStr) {}", "names the crate `clap`"),
        ("src/buildkit/solve.rs", "use bollard::Docker;", "speaks Docker Engine's REST API"),
        ("src/engine/build.rs", "use bollard::moby::buildkit::v1;", "speaks BuildKit's protocol"),
        ("src/engine/dial.rs", "use tokio::process::{Child, Command};", "starts a process"),
        ("src/auth/docker_config.rs", "fn f() { std::env::var_os(\"HOME\"); }", "reads what the process was"),
        (
            "src/facts/ci.rs",
            "use std::{env, fs};\nfn f() { env::vars(); }",
            "src/facts/ci.rs:2: reads what the process was",
        ),
        ("src/facts/ci.rs", "use std::env::{self, current_dir};", "reads what the process was"),
        ("src/run/report/whole.rs", "fn f() { println!(\"x\"); }", "prints"),
        ("src/run/report/whole.rs", "fn f() { std::io::stdout().lock(); }", "prints"),
        ("src/run/build/pipeline.rs", "fn f() { tokio::spawn(g()); }", "spawns"),
        ("src/engine/dial.rs", "use tokio::task; fn f() { task::spawn(g()); }", "spawns"),
        ("src/plan/mod.rs", "mod raw;\npub use raw::RawPlan;\nfn f() {}", "src/plan/mod.rs:3: does more than declare"),
        ("src/oci/long.rs", &"const X: u8 = 1;\n".repeat(451), "has 451 lines of code, more than 450"),
        ("src/oci/long.rs", &"// Why.\n".repeat(601), "has 601 lines without its tests, more than 600"),
    ] {
        let found = violations(&Source::read(path, text));
        assert!(found.len() == 1 && found[0].contains(said), "{path}: expected {said:?}, found {found:?}");
    }
}

#[test]
fn allowed_code_violates_no_layer_rule() {
    for (path, text) in [
        ("src/engine/session/auth.rs", "use crate::{auth::Secret, context, oci::Digest};\nuse super::super::dial;"),
        ("src/main.rs", "mod cli;\nfn main() { polyarch::run::go(std::env::args_os()) }"),
        ("src/cli/args/command_line.rs", "use clap::Parser; use polyarch::plan; fn f() { eprintln!(\"x\") }"),
        (
            "src/auth/helper.rs",
            "use tokio::process::Command; fn f(c: Command) { c.stdout(std::env::split_paths(g())) }",
        ),
        (
            "src/plan/mod.rs",
            "//! The plan.\n#![doc = \"x\"]\npub(crate) mod raw;\npub use raw::{A, B};\n#[cfg(test)]\nmod tests { fn f() {} }",
        ),
        ("src/registry/retry.rs", "fn f() { let hyper = 1; x.tower(env!(\"X\")); }\n#[cfg(test)]\nuse axum::Router;"),
    ] {
        assert_eq!(violations(&Source::read(path, text)), Vec::<String>::new(), "{path}");
    }
}
