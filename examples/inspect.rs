//! Prints the platforms of an index: `cargo run --example inspect -- debian:12`
#![allow(clippy::print_stdout, reason = "its result")]

use std::env;
use std::error::Error;

use polyarch::Inspect;
use polyarch::oci::PlatformFields;
use polyarch::run::ManifestContent;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let reference = env::args().nth(1).ok_or("name an image: ghcr.io/org/web:1.0")?;
    for line in platforms(&reference).await? {
        println!("{line}");
    }
    Ok(())
}

/// The platform and the digest of each image that `reference` names.
pub(crate) async fn platforms(reference: &str) -> Result<Vec<String>, Box<dyn Error>> {
    let inspected = Inspect::new(reference.parse()?).run().await;
    let inspected = inspected.map_err(|failures| failures[0].message.to_string())?;
    Ok(match inspected.inside {
        ManifestContent::Image(_, config) => vec![format!("{:?} {}", config.platform, inspected.manifest.digest())],
        ManifestContent::Index(index) => {
            let images = index.entries.iter().map(|one| &one.entry).filter(|entry| !entry.is_attestation());
            let platform = |fields: &PlatformFields| fields.platform().map_or("?".to_owned(), |one| one.to_string());
            images
                .map(|one| format!("{} {}", one.platform.as_ref().map_or("?".to_owned(), platform), one.digest))
                .collect()
        }
    })
}
