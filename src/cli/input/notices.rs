//! Passes on the notices of registries, such as retries and warnings.

use polyarch::registry::Notice;
use polyarch::run::Notices;
use tokio::sync::mpsc;

/// Takes notices for a run, which reports them among its events.
pub(crate) fn for_run() -> (impl Fn(Notice) + Send + Sync + Clone + 'static, Notices) {
    let (sender, notices) = mpsc::unbounded_channel();
    // A run that has ended takes no notices.
    let take = move |notice| drop(sender.send(notice));
    (take, notices)
}

/// Logs a notice, for commands that have no events.
pub(crate) fn log(notice: Notice) {
    match notice {
        Notice::Retry(retry) => {
            tracing::warn!("{}; trying again in {:.1} s", retry.reason, retry.wait.as_secs_f64());
        }
        Notice::Warning { host, text } => tracing::warn!("registry {host} says: {text}"),
        Notice::WrongDigestHeader { host, claimed, actual } => {
            tracing::warn!(
                "registry {host} sent digest {claimed} for content with digest {actual}; polyarch uses the digest of the content"
            );
        }
    }
}
