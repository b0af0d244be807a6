//! What a run writes to stdout: its results and nothing else, so that `$(polyarch build)` is of use.

use std::io::{self, ErrorKind, Write};

use polyarch::oci::{DigestRef, TagRef};
use polyarch::run::Report;
use serde::Serialize;

/// The form of the results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum Format {
    /// `registry/repo@sha256:…`, a line an index.
    #[default]
    Text,
    /// One JSON document.
    Json,
}

#[derive(Serialize)]
struct Results<'a> {
    version: u32,
    images: Vec<ImageResult<'a>>,
}

#[derive(Serialize)]
struct ImageResult<'a> {
    image: &'a str,
    references: &'a [DigestRef],
    tags: Vec<&'a TagRef>,
}

/// Writes the indexes that were read back. A reader that has gone is no error.
///
/// # Errors
/// `out` cannot be written to (a full disk).
pub(crate) fn write_results(out: impl Write, report: &Report, format: Format) -> io::Result<()> {
    match write(out, report, format) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

fn write(mut out: impl Write, report: &Report, format: Format) -> io::Result<()> {
    match format {
        Format::Text => {
            for index in report.verified() {
                writeln!(out, "{index}")?;
            }
        }
        Format::Json => {
            let verified = report.images.iter().filter(|image| !image.verified.is_empty());
            let images = verified.map(|image| ImageResult {
                image: &image.image,
                references: &image.verified,
                tags: image.tags.iter().map(|tag| &tag.tag).collect(),
            });
            let results = Results { version: report.version, images: images.collect() };
            serde_json::to_writer(&mut out, &results)?;
            writeln!(out)?;
        }
    }
    out.flush()
}
