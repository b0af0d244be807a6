//! Lists the published images in parts for CI systems. A whole reference with a masked account number would reach no
//! other job.

use polyarch::oci::{DigestRef, Location};
use polyarch::run::{ImageReport, Report};
use polyarch::text::Text;
use serde::Serialize;

use super::results::not_joined;

/// An image whose index was read back.
#[derive(Debug, Serialize)]
pub(super) struct Published<'a> {
    pub(crate) image: &'a str,
    /// `ghcr.io/acme/hello`; if there are several repositories, the first.
    pub(crate) repository: Text,
    /// All repositories.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(crate) repositories: Vec<Text>,
    pub(crate) digest: String,
    /// The tags alone: `1.0`, `latest`.
    pub(crate) tags: Vec<&'a str>,
}

/// The images of a run that were published, in the plan's order.
pub(crate) fn published(report: &Report) -> Vec<Published<'_>> {
    report.images.iter().filter_map(of_image).collect()
}

fn of_image(image: &ImageReport) -> Option<Published<'_>> {
    let index = image.verified.first()?;
    let named = |index: &DigestRef<Location>| Text::line(index.repository.to_string());
    let repositories: Vec<_> = image.verified.iter().map(named).collect();
    let tags = image.tags.iter().filter(|tag| tag.tag.repository == index.repository);
    Some(Published {
        image: &image.image,
        repository: named(index),
        repositories: if repositories.len() > 1 { repositories } else { Vec::new() },
        digest: index.digest.to_string(),
        tags: tags.map(|tag| tag.tag.tag.as_str()).collect(),
    })
}

/// Each value with its name. A name begins with the image; if the run has one image, the short name exists too. An
/// image that was not joined has the digests of its platforms: `hello_linux/arm64_digest`.
pub(crate) fn values(report: &Report, separator: &str) -> Vec<(String, String)> {
    let mut values = Vec::new();
    for published in published(report) {
        let own = [
            ("digest", published.digest),
            ("repository", published.repository.to_string()),
            ("tags", published.tags.join(separator)),
        ];
        for (key, value) in own {
            if report.images.len() == 1 {
                values.push((key.to_owned(), value.clone()));
            }
            values.push((format!("{}_{key}", published.image), value));
        }
    }
    for image in &report.images {
        for (platform, reference) in not_joined(image) {
            values.push((format!("{}_{platform}_digest", image.image), reference.digest.to_string()));
        }
    }
    values
}
