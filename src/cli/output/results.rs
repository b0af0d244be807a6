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

#[cfg(test)]
mod tests {
    use super::super::script::{failed, report, success};
    use super::*;

    const INDEX: &str = "127.0.0.1:5000/hello@sha256:1bc04b5291c26a46d918139138b992d2de976d6851d0893b0476b85bfbdfc6e6";

    fn results(report: &Report, format: Format) -> String {
        let mut out = Vec::new();
        write_results(&mut out, report, format).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn an_index_is_a_line() {
        assert_eq!(results(&report(&success(), None), Format::Text), format!("{INDEX}\n"));
    }

    #[test]
    fn json_is_one_document() {
        assert_eq!(
            results(&report(&success(), None), Format::Json),
            format!(
                "{{\"version\":1,\"images\":[{{\"image\":\"hello\",\"references\":[\"{INDEX}\"],\
                 \"tags\":[\"127.0.0.1:5000/hello:1.0\",\"127.0.0.1:5000/hello:latest\"]}}]}}\n"
            )
        );
    }

    #[test]
    fn what_was_not_verified_is_no_result() {
        assert_eq!(results(&report(&failed(), None), Format::Text), "");
        assert_eq!(results(&report(&failed(), None), Format::Json), "{\"version\":1,\"images\":[]}\n");
    }

    #[test]
    fn a_reader_that_has_gone_is_no_error_and_a_full_disk_is_one() {
        struct Failing(ErrorKind);
        impl Write for Failing {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(self.0.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        for format in [Format::Text, Format::Json] {
            let report = report(&success(), None);
            assert!(write_results(Failing(ErrorKind::BrokenPipe), &report, format).is_ok());
            let full = write_results(Failing(ErrorKind::StorageFull), &report, format);
            assert_eq!(full.unwrap_err().kind(), ErrorKind::StorageFull);
        }
    }
}
