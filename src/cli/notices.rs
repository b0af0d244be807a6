//! What registries say beside their answers.

use polyarch::registry::Notice;

/// Logs it: a person sees retries as they happen, and a registry's warnings.
pub(crate) fn tell(notice: Notice) {
    match notice {
        Notice::Retry(retry) => {
            tracing::warn!(
                "registry {}: {}; trying again in {:.1} s",
                retry.host,
                retry.reason,
                retry.wait.as_secs_f64()
            );
        }
        Notice::Warning { host, text } => tracing::warn!("registry {host} says: {text}"),
        Notice::WrongDigestHeader { host, claimed, actual } => {
            tracing::warn!("registry {host} says that the digest of {actual} is {claimed}; the bytes count");
        }
        _ => {}
    }
}
