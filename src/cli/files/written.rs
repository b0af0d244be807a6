//! Writes the files, and knows before a run begins whether that will go well.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use polyarch::run::{Failure, Phase, Report};

use super::super::args::OutputArgs;
use super::super::settings::Settings;
use super::super::stdout::cannot_write;
use super::{dotenv, github, summary};

/// Where a run's end is written.
pub(crate) struct Files {
    files: Vec<File>,
}

struct File {
    /// Who names it.
    named: &'static str,
    path: PathBuf,
    how: How,
    text: fn(&Report) -> io::Result<String>,
}

#[derive(Clone, Copy)]
enum How {
    /// Whole or not at all: written beside it, and renamed.
    Whole,
    /// Other steps of the job write there, too.
    Appended,
}

impl Files {
    /// Those of the command line, and those that the environment names.
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

    /// Finds out what cannot be written before anything is built. A disk may still be full in the end.
    pub(crate) fn check(&self) -> Vec<Failure> {
        let check = |file: &File| {
            let Failure { message, hint, .. } = cannot_write(&file.name(), &file.check().err()?);
            Some(Failure { phase: Phase::Plan, message, hint })
        };
        self.files.iter().filter_map(check).collect()
    }

    /// Writes all of them, and gives what could not be.
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

    /// A pipe or a device is written as it is: nothing can be renamed onto it, and opening it may wait for a reader.
    fn is_special(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir())
    }

    fn check(&self) -> io::Result<()> {
        match self.how {
            _ if self.is_special() => Ok(()),
            _ if self.path.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
            How::Appended => OpenOptions::new().append(true).create(true).open(&self.path).map(drop),
            How::Whole => {
                let beside = beside(&self.path);
                OpenOptions::new().write(true).create(true).truncate(true).open(&beside)?;
                fs::remove_file(&beside)
            }
        }
    }

    fn write(&self, text: &str) -> io::Result<()> {
        match self.how {
            How::Appended => OpenOptions::new().append(true).create(true).open(&self.path)?.write_all(text.as_bytes()),
            How::Whole if self.is_special() => fs::write(&self.path, text),
            How::Whole => {
                let beside = beside(&self.path);
                let written = fs::write(&beside, text).and_then(|()| fs::rename(&beside, &self.path));
                written.inspect_err(|_| {
                    // It is our own half file.
                    let _ = fs::remove_file(&beside);
                })
            }
        }
    }
}

fn json(report: &Report) -> io::Result<String> {
    Ok(serde_json::to_string_pretty(report)? + "\n")
}

fn beside(path: &Path) -> PathBuf {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.tmp", std::process::id()));
    beside.into()
}
