//! Finds the Dockerfiles of a directory and two levels below, and gives each an image name.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

use polyarch::context::{Patterns, parse_ignore_file};
use polyarch::plan::ImageName;

use crate::cli::args::habits;

/// The levels below the directory of the plan in which polyarch looks.
const LEVELS: usize = 2;
/// The size of the part that polyarch reads to recognise a Dockerfile, in bytes.
const BEGINNING: u64 = 64 << 10;
/// Directories with third-party code.
const OF_OTHERS: [&str; 2] = ["node_modules", "vendor"];
/// The ends of files that only look like a Dockerfile by their name.
const NOT_BUILT: [&str; 8] = ["dockerignore", "bak", "orig", "rej", "swp", "tmpl", "j2", "md"];

/// A Dockerfile, with the name for its image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Dockerfile {
    pub(super) image: String,
    /// The directory of the file, relative to the plan: `.`, `api`.
    pub(super) directory: String,
    pub(super) file: String,
}

/// The Dockerfiles, those nearest to the plan first.
pub(super) fn find(directory: &Path) -> io::Result<Vec<Dockerfile>> {
    // A file that cannot be read excludes nothing.
    let lines = fs::read(directory.join(".dockerignore")).ok().and_then(|bytes| parse_ignore_file(&bytes).ok());
    let ignored = lines.and_then(|lines| Patterns::new(lines).ok());
    let mut level = vec![".".to_owned()];
    let mut found = Vec::new();
    for depth in 0..=LEVELS {
        let mut below = Vec::new();
        for path in level {
            match look(directory, &path) {
                Ok((files, directories)) => {
                    found.extend(files.into_iter().map(|file| (path.clone(), file)));
                    below.extend(directories);
                }
                Err(error) if depth == 0 => return Err(error),
                // polyarch skips a directory below that only another user may read.
                Err(_) => {}
            }
        }
        // Many ignore files exclude the Dockerfile itself, so they decide only on directories.
        below.retain(|path| !ignored.as_ref().is_some_and(|ignored| ignored.matches_or_parent_matches(path)));
        level = below;
    }
    Ok(named(directory, found))
}

/// The Dockerfiles and the directories in the directory `path`, sorted.
fn look(root: &Path, path: &str) -> io::Result<(BTreeSet<String>, BTreeSet<String>)> {
    let (mut files, mut directories) = (BTreeSet::new(), BTreeSet::new());
    for entry in fs::read_dir(root.join(path))?.filter_map(Result::ok) {
        // The text of a plan cannot have other names.
        let Some(name) = entry.file_name().into_string().ok().filter(|name| !name.contains(char::is_control)) else {
            continue;
        };
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            if !name.starts_with('.') && !OF_OTHERS.contains(&&*name) {
                directories.insert(if path == "." { name } else { format!("{path}/{name}") });
            }
        } else if is_named_so(&name) && is_dockerfile(&entry.path()) {
            files.insert(name);
        }
    }
    Ok((files, directories))
}

/// `Dockerfile`, `web.Dockerfile`, `Dockerfile.web`.
fn is_named_so(name: &str) -> bool {
    let lower = name.to_lowercase();
    let ends = lower.rsplit('.').next().unwrap_or_default();
    let is_one = lower == "dockerfile" || lower.starts_with("dockerfile.") || lower.ends_with(".dockerfile");
    is_one && !name.starts_with('.') && !NOT_BUILT.contains(&ends) && !name.ends_with('~')
}

fn is_dockerfile(path: &Path) -> bool {
    // A pipe would block.
    let is_file = fs::metadata(path).is_ok_and(|metadata| metadata.is_file());
    let mut bytes = Vec::new();
    let mut read = || File::open(path).and_then(|file| file.take(BEGINNING).read_to_end(&mut bytes));
    is_file && read().is_ok() && habits::is_dockerfile(&String::from_utf8_lossy(&bytes))
}

/// Each file with a name for its image: that of the file, or else that of its directory.
fn named(root: &Path, found: Vec<(String, String)>) -> Vec<Dockerfile> {
    let mut taken = BTreeSet::new();
    let whole = fs::canonicalize(root).ok();
    let here = whole.as_deref().and_then(Path::file_name).and_then(|name| name.to_str());
    let name = |(directory, file): (String, String)| {
        let last = if directory == "." { here } else { directory.rsplit('/').next() };
        let wanted = own_name(&file).or(last.and_then(image_name)).unwrap_or_else(|| "hello".to_owned());
        let names = std::iter::once(wanted.clone()).chain((2..).map(|number| format!("{wanted}-{number}")));
        // A directory has fewer files than there are numbers.
        let image = names.into_iter().find(|name| taken.insert(name.clone())).unwrap_or(wanted);
        Dockerfile { image, directory, file }
    };
    found.into_iter().map(name).collect()
}

/// The name in `web.Dockerfile` or `Dockerfile.web`.
fn own_name(file: &str) -> Option<String> {
    let lower = file.to_lowercase();
    let own = lower.strip_prefix("dockerfile.").or_else(|| lower.strip_suffix(".dockerfile"))?;
    image_name(own)
}

/// `text` as the name of an image that YAML reads as a string.
fn image_name(text: &str) -> Option<String> {
    let valid = |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '-' };
    let name: String = text.chars().map(valid).collect();
    let name = name.split('-').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-");
    let is_string = name.starts_with(|c: char| c.is_ascii_alphabetic()) && !["true", "false", "null"].contains(&&*name);
    (is_string && name.parse::<ImageName>().is_ok()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn image_has_the_name_of_its_file_or_directory() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().join("My Shop");
        let at = |directory: &str, file: &str| (directory.to_owned(), file.to_owned());
        fs::create_dir(&root).unwrap();
        let files = [
            at(".", "Dockerfile"),
            at(".", "Dockerfile.web"),
            at(".", "Worker.Dockerfile"),
            at("api", "Dockerfile"),
            at("other/api", "Dockerfile"),
            at("1", "Dockerfile"),
        ];
        let images: Vec<_> = named(&root, files.into()).into_iter().map(|found| found.image).collect();
        assert_eq!(images, ["my-shop", "web", "worker", "api", "api-2", "hello"]);
    }

    #[test]
    fn dockerfiles_are_found_two_levels_below() {
        let root = tempfile::tempdir().unwrap();
        for path in [
            "Dockerfile",
            "Dockerfile.dockerignore",
            "Dockerfile.web",
            "a/b/Dockerfile",
            "a/b/c/Dockerfile",
            ".git/Dockerfile",
            "node_modules/x/Dockerfile",
            "ignored/Dockerfile",
            "kept/x.Dockerfile",
        ] {
            fs::create_dir_all(root.path().join(path).parent().unwrap()).unwrap();
            fs::write(root.path().join(path), "FROM scratch\n").unwrap();
        }
        fs::write(root.path().join("Dockerfile.notes"), "Read this.\n").unwrap();
        fs::write(root.path().join(".dockerignore"), "Dockerfile\nignored\n").unwrap();
        let found = find(root.path()).unwrap();
        let found: Vec<_> = found.iter().map(|found| format!("{}/{}", found.directory, found.file)).collect();
        assert_eq!(found, ["./Dockerfile", "./Dockerfile.web", "kept/x.Dockerfile", "a/b/Dockerfile"]);
    }
}
