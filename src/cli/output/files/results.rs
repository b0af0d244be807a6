//! Writes the results of a run to stdout, and nothing else, so that `$(polyarch build)` works in scripts.

use std::io::{self, ErrorKind, Write};

use polyarch::oci::{DigestRef, Location, Platform, TagRef};
use polyarch::run::{ImageReport, LoadedReport, PlatformReport, Report, Status};
use polyarch::text::{Json, Text};
use serde::Serialize;

use crate::cli::args::values::Format;

#[derive(Serialize)]
struct Results<'a> {
    version: u32,
    images: Vec<ImageResult<'a>>,
}

#[derive(Serialize)]
struct ImageResult<'a> {
    image: &'a str,
    references: &'a [DigestRef<Location>],
    tags: Vec<&'a TagRef<Location>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    loaded: &'a [LoadedReport],
    /// The images of the platforms in the registry, if polyarch did not join them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    platforms: Vec<PlatformResult<'a>>,
}

#[derive(Serialize)]
struct PlatformResult<'a> {
    platform: &'a Platform,
    reference: &'a DigestRef,
}

/// The platforms of an image that the run was not to join, each with its image in the registry.
pub(crate) fn not_joined(image: &ImageReport) -> impl Iterator<Item = (&Platform, &DigestRef)> {
    let is_whole = image.not_joined.is_some() && image.is_done();
    let is_there = move |one: &&PlatformReport| is_whole && one.status == Status::Confirmed;
    let platforms = image.platforms.iter().filter(is_there);
    platforms.filter_map(|one| Some((&one.platform, one.reference.as_ref()?)))
}

/// Writes the indexes that polyarch read back. A reader that is gone is not an error.
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
                writeln!(out, "{}", line(index))?;
            }
            // One name is enough to run an image; the report has the rest.
            for loaded in report.images.iter().filter(|image| image.is_done()).filter_map(|image| image.loaded.first())
            {
                writeln!(out, "{}", line(&loaded.name))?;
            }
        }
        Format::Json => {
            let has_result = |image: &&ImageReport| {
                !image.verified.is_empty()
                    || !image.loaded.is_empty() && image.is_done()
                    || not_joined(image).next().is_some()
            };
            let images = report.images.iter().filter(has_result).map(|image| ImageResult {
                image: &image.image,
                references: &image.verified,
                // If nothing was published, no tag moved.
                tags: image.tags.iter().filter(|_| !image.verified.is_empty()).map(|tag| &tag.tag).collect(),
                loaded: &image.loaded,
                platforms: not_joined(image)
                    .map(|(platform, reference)| PlatformResult { platform, reference })
                    .collect(),
            });
            let results = Results { version: report.version, images: images.collect() };
            writeln!(out, "{}", &*Json::line(&results)?)?;
        }
    }
    out.flush()
}

fn line(result: &impl ToString) -> Text {
    Text::line(result.to_string())
}

#[cfg(test)]
mod tests {
    use polyarch::oci::Digest;
    use polyarch::run::{Event, ImageEvent, JobEvent};

    use super::*;
    use crate::cli::output::display::script::{failed, not_joined as not_joined_script, on, report, started, success};

    const INDEX: &str = "127.0.0.1:5000/hello@sha256:1bc04b5291c26a46d918139138b992d2de976d6851d0893b0476b85bfbdfc6e6";

    fn results(report: &Report, format: Format) -> String {
        let mut out = Vec::new();
        write_results(&mut out, report, format).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn text_result_has_one_line_per_index() {
        assert_eq!(results(&report(&success(), None), Format::Text), format!("{INDEX}\n"));
    }

    #[test]
    fn json_result_is_one_document() {
        assert_eq!(
            results(&report(&success(), None), Format::Json),
            format!(
                "{{\"version\":1,\"images\":[{{\"image\":\"hello\",\"references\":[\"{INDEX}\"],\
                 \"tags\":[\"127.0.0.1:5000/hello:1.0\",\"127.0.0.1:5000/hello:latest\"]}}]}}\n"
            )
        );
    }

    #[test]
    fn unverified_images_are_not_results() {
        assert_eq!(results(&report(&failed(), None), Format::Text), "");
        assert_eq!(results(&report(&failed(), None), Format::Json), "{\"version\":1,\"images\":[]}\n");
    }

    #[test]
    fn unjoined_image_result_has_the_digests_of_its_platforms() {
        let json = results(&report(&not_joined_script(), None), Format::Json);
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        let image = &json["images"][0];
        assert_eq!((&image["references"], &image["tags"]), (&serde_json::json!([]), &serde_json::json!([])));
        let platforms: Vec<_> = image["platforms"].as_array().unwrap().iter().collect();
        assert_eq!(platforms[0]["platform"], "linux/amd64");
        assert!(platforms[0]["reference"].as_str().unwrap().starts_with("127.0.0.1:5000/hello@sha256:"));
        assert_eq!(results(&report(&not_joined_script(), None), Format::Text), "");
    }

    #[test]
    fn loaded_image_result_appears_when_all_platforms_are_loaded() {
        let loaded = |name: &str| ImageEvent::Loaded {
            engine: "default".into(),
            name: name.into(),
            id: Digest::of(b"loaded"),
            platforms: vec!["linux/amd64".parse().unwrap()],
        };
        let built = |arch: &str| {
            let (id, seconds, cached_steps, steps, context_bytes) = (Digest::of(b"built"), 1.0, 0, 0, 0);
            on("hello", arch, JobEvent::Built { id, seconds, cached_steps, steps, context_bytes })
        };
        let of = |what| Event::Image { image: "hello".to_owned(), what };
        let mut script = vec![started(), built("linux/amd64"), built("linux/arm64"), of(loaded("hello:1.0"))];
        let told = |script: &[Event]| report(&script.iter().cloned().map(|event| (0, event)).collect(), None);
        assert_eq!(results(&told(&script), Format::Text), "");
        script.extend([of(loaded("hello:latest")), of(ImageEvent::NotJoined { reason: "--load".into() })]);
        assert_eq!(results(&told(&script), Format::Text), "hello:1.0\n");
        let json: serde_json::Value = serde_json::from_str(&results(&told(&script), Format::Json)).unwrap();
        assert_eq!(json["images"][0]["loaded"][1]["name"], "hello:latest");
        assert_eq!(json["images"][0]["tags"], serde_json::json!([]));
    }

    #[test]
    fn closed_result_pipe_is_accepted_and_a_full_disk_is_an_error() {
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
