//! Names images on engines, although other runs name images at the same time.

use std::time::Duration;

use crate::engine::{Engine, EngineError, PlatformImage};
use crate::oci::{Digest, Tag};
use crate::registry::Backoff;
use crate::run::event::failure::chain;

/// How often polyarch repeats a naming that collides with other runs, and the steps that depend on the name. This is
/// enough for eight runs of one plan at once.
pub(in crate::run) const CONTENDED: Backoff = Backoff {
    attempts: 20,
    base: Duration::from_millis(50),
    cap: Duration::from_secs(2),
    longest_retry_after: Duration::ZERO,
    deadline: Duration::MAX,
};

/// Names an image, unless the image has the name already. The question is faster than the naming, for which the engine
/// writes to its disk.
pub(in crate::run) async fn keep_named(
    engine: &Engine,
    id: &Digest,
    repository: &str,
    tag: &Tag,
) -> Result<(), EngineError> {
    match engine.named(&format!("{repository}:{tag}")).await {
        Ok(Some(named)) if named == *id => Ok(()),
        Ok(_) | Err(_) => name_image(engine, id, repository, tag).await,
    }
}

/// Names an image, and tries again if other runs give the same name at that moment.
pub(in crate::run) async fn name_image(
    engine: &Engine,
    id: &Digest,
    repository: &str,
    tag: &Tag,
) -> Result<(), EngineError> {
    let mut attempt = 1;
    loop {
        match engine.name_image(id, repository, tag.as_str()).await {
            Ok(()) => return Ok(()),
            Err(error) => wait_after(&mut attempt, error).await?,
        }
    }
}

/// Names an index of images, and tries again if other runs give the same name at that moment.
pub(in crate::run) async fn name_index(
    engine: &Engine,
    parts: &[PlatformImage],
    repository: &str,
    tag: &Tag,
) -> Result<Digest, EngineError> {
    let mut attempt = 1;
    loop {
        match engine.name_index(parts, repository, tag.as_str()).await {
            Ok(id) => return Ok(id),
            Err(error) => wait_after(&mut attempt, error).await?,
        }
    }
}

/// Waits before the next attempt to name an image. Returns the error if another attempt cannot help.
pub(in crate::run) async fn wait_after(attempt: &mut u32, error: EngineError) -> Result<(), EngineError> {
    let wait = CONTENDED.wait(*attempt).filter(|_| error.is_of_another_naming());
    let Some(wait) = wait else { return Err(error) };
    tracing::debug!("polyarch will name the image again: {}", chain(&error));
    tokio::time::sleep(wait).await;
    *attempt += 1;
    Ok(())
}
