//! Prints the platforms of an index: `cargo run --example inspect -- debian:12`
#![allow(clippy::print_stdout, reason = "its result")]

use std::env;
use std::error::Error;

use polyarch::{Inspect, Reason};

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
    let inspected = match Inspect::new(reference.parse()?).run().await {
        Ok(inspected) => inspected,
        Err(mut failures) => match failures.remove(0) {
            failure if failure.cause.reason() == Some(Reason::NotFound) => {
                return Err(format!("{reference} does not exist").into());
            }
            failure => return Err(failure.into()),
        },
    };
    Ok(inspected.images().iter().map(|image| format!("{} {}", image.platform, image.digest)).collect())
}
