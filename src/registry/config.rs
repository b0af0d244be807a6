//! The settings of clients for all registries.

use std::fmt;
use std::sync::Arc;

use super::request::notice::Notice;
use super::request::retry::Backoff;
use super::transport::proxy::Proxies;
use super::transport::timeouts::Timeouts;

/// The settings of clients for all registries.
#[derive(Clone)]
pub struct ClientConfig {
    /// The `User-Agent` of every request.
    pub user_agent: String,
    /// The limits for retries.
    pub backoff: Backoff,
    /// The limits for single steps.
    pub timeouts: Timeouts,
    /// The proxies for requests to registries and to the hosts that they redirect to.
    pub proxies: Proxies,
    /// Receives retries and warnings at once, from within the call. It must not block.
    pub on_notice: Arc<dyn Fn(Notice) + Send + Sync>,
}

impl fmt::Debug for ClientConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientConfig")
            .field("user_agent", &self.user_agent)
            .field("backoff", &self.backoff)
            .field("timeouts", &self.timeouts)
            .field("proxies", &self.proxies)
            .finish_non_exhaustive()
    }
}
