//! Finds directories and Dockerfiles near to a path that does not exist, so that a hint can name them.

use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use crate::context::ContextError;
use crate::context::GivenDockerfile;
use crate::plan::{BuildSpec, ContextName, NamedContext};
use crate::plan::{Context, Dockerfile, nearest};

/// The directories of a context in which people keep Dockerfiles. `.` is the context itself.
const FOLDERS: [&str; 3] = [".", "docker", "build"];
/// How many names of a directory polyarch looks at.
const MAX_NAMES: usize = 10_000;
/// How many Dockerfiles a hint names.
const MAX_NAMED: usize = 3;

/// The next step after `error`, which concerns `input` of `build`.
pub(in crate::run) fn hint(build: &BuildSpec, input: &Input<'_>, error: &ContextError) -> String {
    let is_missing = match error {
        ContextError::NoDockerfile { .. } => true,
        ContextError::Root { source, .. } => source.kind() == ErrorKind::NotFound,
        _ => false,
    };
    let near = match input {
        _ if !is_missing => None,
        Input::Dockerfile => of_dockerfile(build),
        Input::Context => build.context.directory().and_then(of_directory),
        Input::Named(name) => match build.contexts.get(*name) {
            Some(NamedContext::Directory(path)) => of_directory(path),
            _ => None,
        },
    };
    near.unwrap_or_else(|| error.hint().to_owned())
}

fn of_directory(missing: &Path) -> Option<String> {
    Some(format!("did you mean `{}`?", nearly(missing, Path::is_dir)?.display()))
}

/// The hint names a path as the plan spells it: relative to the context.
fn of_dockerfile(build: &BuildSpec) -> Option<String> {
    let (Dockerfile::File(missing), Context::Directory(context)) = (&build.dockerfile, &build.context) else {
        return None;
    };
    // A link with a missing target or a target outside its directory exists, so this hint does not fit it.
    if missing.symlink_metadata().is_ok() {
        return None;
    }
    let seen_from_context = |path: &Path| path.strip_prefix(context).unwrap_or(path).display().to_string();
    let found = above(context, missing).or_else(|| Some(seen_from_context(&nearly(missing, is_dockerfile)?)));
    if let Some(found) = found {
        return Some(format!("write `dockerfile: {found}`: the path is relative to the context"));
    }
    let mut others: Vec<String> = FOLDERS
        .iter()
        .flat_map(|folder| {
            let path = if *folder == "." { context.clone() } else { context.join(folder) };
            names(&path).into_iter().map(move |name| path.join(name))
        })
        .filter(|path| is_known_name(path) && is_dockerfile(path))
        .map(|path| seen_from_context(&path))
        .collect();
    let more = if others.len() > MAX_NAMED { ", …" } else { "" };
    others.truncate(MAX_NAMED);
    match &others[..] {
        [] => None,
        [one] => Some(format!("write `dockerfile: {one}`")),
        several => Some(format!("write `dockerfile:` with one of {}{more}", several.join(", "))),
    }
}

/// The Dockerfile that exists if `missing` is relative to a directory above the context, such as the plan's directory.
fn above(context: &Path, missing: &Path) -> Option<String> {
    let written = missing.strip_prefix(context).ok()?;
    let (up, found) = context.ancestors().enumerate().skip(1).find_map(|(up, directory)| {
        let path = directory.join(written);
        is_dockerfile(&path).then_some((up, path))
    })?;
    let inside = found.strip_prefix(context).map(Path::to_owned);
    Some(inside.unwrap_or_else(|_| Path::new(&"../".repeat(up)).join(written)).display().to_string())
}

/// Replaces each missing part of `missing` by the nearest existing name. Returns `None` if a part has no near name. The
/// last part must satisfy `is_meant`.
fn nearly(missing: &Path, is_meant: fn(&Path) -> bool) -> Option<PathBuf> {
    let mut found = PathBuf::new();
    let mut parts = missing.components().peekable();
    while let Some(part) = parts.next() {
        let is_right = if parts.peek().is_some() { Path::is_dir } else { is_meant };
        let next = found.join(part);
        if !matches!(part, Component::Normal(_)) || is_right(&next) {
            found = next;
            continue;
        }
        let known: Vec<String> = names(&found).into_iter().filter(|name| is_right(&found.join(name))).collect();
        found.push(nearest(part.as_os_str().to_str()?, known.iter().map(String::as_str))?);
    }
    (found != missing).then_some(found)
}

/// The names in a directory that a hint can show, sorted.
fn names(directory: &Path) -> Vec<String> {
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    let entries = directory.read_dir().into_iter().flatten().take(MAX_NAMES);
    let mut names: Vec<String> = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.retain(|name| !name.contains(char::is_control));
    names.sort_unstable();
    names
}

fn is_dockerfile(path: &Path) -> bool {
    path.is_file() && path.extension().is_none_or(|extension| extension != "dockerignore")
}

/// Accepts `Containerfile`, `web.Dockerfile` and `Dockerfile.web`, in upper or lower case.
fn is_known_name(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    [GivenDockerfile::NAME.to_lowercase().as_str(), "containerfile"].iter().any(|known| {
        name.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            || name.strip_suffix(known).is_some_and(|rest| rest.ends_with('.'))
    })
}

/// The input of a build that is faulty.
pub(in crate::run) enum Input<'a> {
    Named(&'a ContextName),
    Context,
    Dockerfile,
}
