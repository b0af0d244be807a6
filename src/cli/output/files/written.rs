//! Writes the files of a run, and checks before the run whether they can be written.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use polyarch::run::{Failure, Phase, Report};
use polyarch::text::Json;
use tempfile::NamedTempFile;

use super::{dotenv, github, summary};
use crate::cli::args::shared::OutputArgs;
use crate::cli::input::settings::Settings;
use crate::cli::terminal::stdout::cannot_write;

/// The files that a run writes at its end.
pub(crate) struct Files {
    files: Vec<File>,
}

struct File {
    /// The option or variable that names the file.
    named: &'static str,
    path: PathBuf,
    how: How,
    text: fn(&Report) -> io::Result<String>,
}

#[derive(Clone, Copy)]
enum How {
    /// Written whole or not at all: polyarch writes a file beside the file and renames it.
    Whole,
    /// Appended, because other steps of the job write to the file, too.
    Appended,
}

impl Files {
    /// The files that the command line and the environment name.
    pub(crate) fn of(output: &OutputArgs, settings: &Settings) -> Self {
        let asked =
            |named, path: &Option<PathBuf>, text| path.clone().map(|path| File { named, path, how: How::Whole, text });
        let set =
            |named, text| settings.var(named).map(|path| File { named, path: path.into(), how: How::Appended, text });
        let files = [
            asked("the report", &output.report, json),
            asked("the variables", &output.dotenv, |report| Ok(dotenv::variables(report))),
            set("GITHUB_OUTPUT", |report| Ok(github::outputs(report))),
            set("GITHUB_STEP_SUMMARY", |report| Ok(summary::markdown(report))),
        ];
        Self { files: files.into_iter().flatten().collect() }
    }

    /// Returns a failure for each file that cannot be written, before anything is built. A disk may still fill up
    /// later.
    pub(crate) fn check(&self) -> Vec<Failure> {
        let check = |file: &File| {
            let Failure { message, hint, .. } = cannot_write(&file.name(), &file.check().err()?);
            Some(Failure::new(Phase::Plan, message, hint))
        };
        self.files.iter().filter_map(check).collect()
    }

    /// Writes all files, and returns a failure for each file that could not be written.
    pub(crate) fn write(&self, report: &Report) -> Vec<Failure> {
        let write = |file: &File| {
            let written = (file.text)(report).and_then(|text| file.write(&text));
            written.err().map(|error| cannot_write(&file.name(), &error))
        };
        self.files.iter().filter_map(write).collect()
    }
}

impl File {
    fn name(&self) -> String {
        format!("{} {}", self.named, self.path.display())
    }

    /// Whether the file is a pipe or a device. polyarch can rename nothing onto it, and opening it may wait for a
    /// reader.
    fn is_special(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir())
    }

    fn check(&self) -> io::Result<()> {
        match self.how {
            _ if self.is_special() => Ok(()),
            _ if self.path.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
            How::Appended => OpenOptions::new().append(true).create(true).open(&self.path).map(drop),
            How::Whole => self.beside()?.close(),
        }
    }

    fn write(&self, text: &str) -> io::Result<()> {
        match self.how {
            How::Appended => OpenOptions::new().append(true).create(true).open(&self.path)?.write_all(text.as_bytes()),
            How::Whole if self.is_special() => fs::write(&self.path, text),
            How::Whole => {
                let mut beside = self.beside()?;
                beside.write_all(text.as_bytes())?;
                beside.persist(&self.path).map(drop).map_err(|error| error.error)
            }
        }
    }

    /// A new file beside the file at `path`, with an unpredictable name. The file is removed unless it is kept.
    fn beside(&self) -> io::Result<NamedTempFile> {
        let directory = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
        // This is the mode of any new file; the umask takes bits away from it.
        let mode = fs::Permissions::from_mode(0o666);
        tempfile::Builder::new().prefix(".polyarch-").permissions(mode).tempfile_in(directory.unwrap_or(Path::new(".")))
    }
}

fn json(report: &Report) -> io::Result<String> {
    Ok(format!("{}\n", &*Json::pretty(report)?))
}

/// The text of every file, each with the file's name in messages.
#[cfg(test)]
pub(crate) fn texts(report: &Report) -> [(&'static str, String); 4] {
    [
        ("the report", json(report).unwrap()),
        ("the variables", dotenv::variables(report)),
        ("GITHUB_OUTPUT", github::outputs(report)),
        ("GITHUB_STEP_SUMMARY", summary::markdown(report)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &Path) -> File {
        File { named: "the report", path: path.to_owned(), how: How::Whole, text: |_| Ok(String::new()) }
    }

    #[test]
    fn file_is_replaced_atomically_without_following_links() {
        let folder = tempfile::tempdir().unwrap();
        let (target, path) = (folder.path().join("precious"), folder.path().join("report.json"));
        fs::write(&target, "precious").unwrap();
        let names = || fs::read_dir(folder.path()).unwrap().count();
        // The file is a link to another file, and so is the name that its temporary file once had.
        let foreseen = folder.path().join(format!("report.json.{}.tmp", std::process::id()));
        for link in [&foreseen, &path] {
            std::os::unix::fs::symlink(&target, link).unwrap();
        }
        let report = file(&path);
        report.check().unwrap();
        report.write("{}").unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "precious");
        assert_eq!(fs::read_to_string(&path).unwrap(), "{}");
        assert!(fs::symlink_metadata(&path).unwrap().is_file());
        assert_eq!(names(), 3, "no temporary is left");
        // The mode is that of any other new file.
        let plain = folder.path().join("plain");
        fs::write(&plain, "").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&path), mode(&plain));
    }

    #[test]
    fn unwritable_file_is_detected_before_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        assert!(file(&folder.path().join("none/report.json")).check().is_err());
        assert!(file(folder.path()).check().is_err());
        assert!(file(&folder.path().join("none/report.json")).write("{}").is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
