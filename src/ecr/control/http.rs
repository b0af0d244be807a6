//! The HTTP client of the AWS SDK.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_smithy_http_client::Connector;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use http::Uri;
use http_body_util::Limited;

/// The most bytes of an answer: a page of a thousand images, each with many tags.
const MOST: usize = 16 << 20;

/// The limits for connecting and for reading an answer. A caller may set its own limits, such as one second each for
/// the instance's metadata service.
type Limits = (Option<Duration>, Option<Duration>);

/// An HTTP client with rustls on ring, the system's authorities, and the proxies from the environment.
pub(super) fn client() -> SharedHttpClient {
    // Callers with the same limits share one connector. They share its connections, and the client reads the
    // authorities once.
    let made: Mutex<HashMap<Limits, SharedHttpConnector>> = Mutex::default();
    http_client_fn(move |settings, components| {
        let limits = (settings.connect_timeout(), settings.read_timeout());
        let mut made = made.lock().unwrap_or_else(PoisonError::into_inner);
        let connector = |proxies| {
            let mut builder = Connector::builder().connector_settings(settings.clone()).proxy_config(proxies);
            builder.set_sleep_impl(components.sleep_impl());
            SharedHttpConnector::new(builder.tls_provider(Provider::Rustls(CryptoMode::Ring)).build())
        };
        let made = made.entry(limits).or_insert_with(|| {
            let (direct, proxied) = (connector(ProxyConfig::disabled()), connector(ProxyConfig::from_env()));
            SharedHttpConnector::new(Ways { direct, proxied })
        });
        made.clone()
    })
}

/// The two ways of a request: direct, or through a proxy.
#[derive(Debug)]
struct Ways {
    direct: SharedHttpConnector,
    proxied: SharedHttpConnector,
}

impl HttpConnector for Ways {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let way = if is_here(request.uri()) { &self.direct } else { &self.proxied };
        let called = way.call(request);
        HttpConnectorFuture::new(async move {
            let mut answer = called.await?;
            let body = std::mem::replace(answer.body_mut(), SdkBody::taken());
            *answer.body_mut() = SdkBody::from_body_1_x(Limited::new(body, MOST));
            Ok(answer)
        })
    }
}

/// Whether a URL is on this machine, or belongs to a local source of credentials (the instance's or the container's). A
/// proxy is another machine and could read these credentials.
fn is_here(url: &str) -> bool {
    let uri: Option<Uri> = url.parse().ok();
    let Some(host) = uri.as_ref().and_then(Uri::host) else { return false };
    match host.trim_matches(['[', ']']).parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => address.is_loopback() || address.is_link_local(),
        // Instances and pods have services at unique local addresses, too: fd00:ec2::254.
        Ok(IpAddr::V6(address)) => address.is_loopback() || address.segments()[..2] == [0xfd00, 0xec2],
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credential_endpoints_of_this_machine_use_no_proxy() {
        for url in [
            "http://127.0.0.1:4566/",
            "http://localhost/",
            "http://[::1]:80/",
            "http://169.254.169.254/latest/api/token",
            "http://169.254.170.2/v2/credentials",
            "http://169.254.170.23/v1/credentials",
            "http://[fd00:ec2::254]/latest",
        ] {
            assert!(is_here(url), "{url}");
        }
        for url in ["https://api.ecr.us-east-1.amazonaws.com/", "https://10.0.0.1/", "http://localhost.example/", ""] {
            assert!(!is_here(url), "{url}");
        }
    }
}
