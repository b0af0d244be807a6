//! One request on the wire: connections, trust, proxies, redirects and limits.

pub(super) mod link;
pub(super) mod proxy;
pub(super) mod resolve;
pub(super) mod retry_after;
pub(super) mod target;
pub(super) mod timeouts;
pub(super) mod tls;
pub(super) mod wire;
