//! The proxy of a request, from the usual variables (Go, `golang.org/x/net/http/httpproxy`; curl).
//!
//! polyarch first decides whether a request may go to an address at all. It checks the written address (`target`), and
//! the addresses that a name resolves to when it connects (`resolve`). A proxy itself resolves the names of requests
//! that go through it. If a registry names an address of this machine or of a private network, polyarch refuses it with
//! or without a proxy.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use reqwest::Url;

use super::target;
use crate::auth::Secret;

/// The schemes of proxies that polyarch supports.
const SCHEMES: [&str; 6] = ["http", "https", "socks4", "socks4a", "socks5", "socks5h"];

/// The proxies of a machine, and the hosts that need none. By default there are no proxies.
#[derive(Debug, Clone, Default)]
pub struct Proxies {
    http: Option<Proxy>,
    https: Option<Proxy>,
    past: Vec<Past>,
}

/// A proxy.
#[derive(Clone)]
struct Proxy {
    /// Its address, with user and password if it needs them.
    address: Secret,
    /// `host:port`, for messages.
    place: String,
}

/// A rule for hosts that need no proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Past {
    /// `*`
    Everything,
    /// `10.0.0.0/8`: the first bits of an address.
    Block(IpNet),
    /// An address, on one port or on all.
    Address(IpAddr, Option<u16>),
    /// `example.com` and all names under it, on one port or on all.
    Name(String, Option<u16>),
    /// `.example.com`, `*.example.com`: the names under it alone.
    Below(String, Option<u16>),
}

/// A variable without a proxy's address. The error does not repeat the value, which may contain a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{variable} is not the address of a proxy, such as http://proxy.example:3128")]
pub struct ProxyError {
    /// The variable.
    pub variable: String,
}

impl Proxies {
    /// Reads `HTTPS_PROXY` for encrypted requests and `HTTP_PROXY` for others, or else `ALL_PROXY`. `NO_PROXY` lists
    /// hosts that need no proxy. As in Go, a name in capitals takes precedence over the same name in small letters.
    ///
    /// # Errors
    /// The first variable without a proxy's address.
    pub fn read<'a>(variable: impl Fn(&str) -> Option<&'a str>) -> Result<Self, ProxyError> {
        let either = |name: &str| {
            let names = [name.to_owned(), name.to_ascii_lowercase()];
            let set = names.into_iter().find_map(|name| Some((variable(&name)?, name)));
            set.filter(|(value, _)| !value.trim().is_empty())
        };
        let proxy = |name: &str| {
            let set = either(name).or_else(|| either("ALL_PROXY"));
            set.map(|(value, variable)| Proxy::parse(value).ok_or(ProxyError { variable })).transpose()
        };
        let past = either("NO_PROXY").map(|(value, _)| value).unwrap_or_default();
        let past = past.split([',', ' ']).filter_map(|entry| Past::parse(entry.trim())).collect();
        Ok(Self { http: proxy("HTTP_PROXY")?, https: proxy("HTTPS_PROXY")?, past })
    }

    /// The proxy for `url`. polyarch always connects directly to this machine.
    fn of(&self, url: &Url) -> Option<&Proxy> {
        let proxy = if url.scheme() == "https" { self.https.as_ref() } else { self.http.as_ref() }?;
        let direct = target::is_this_machine(url) || self.past.iter().any(|past| past.covers(url));
        (!direct).then_some(proxy)
    }

    /// `host:port` of the proxy for `url`, if there is one.
    pub(in crate::registry) fn place(&self, url: &Url) -> Option<String> {
        Some(self.of(url)?.place.clone())
    }

    /// The hosts of all proxies, as the variables spell them.
    pub(super) fn hosts(&self) -> Vec<String> {
        let host = |proxy: &Proxy| Some(Url::parse(proxy.address.expose()).ok()?.host_str()?.to_owned());
        self.http.iter().chain(&self.https).filter_map(host).collect()
    }

    /// The proxies in the HTTP client's form.
    pub(in crate::registry) fn rule(&self) -> reqwest::Proxy {
        let proxies = self.clone();
        reqwest::Proxy::custom(move |url| proxies.of(url).map(|proxy| proxy.address.expose().to_owned()))
    }
}

impl Proxy {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let address = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let url = Url::parse(&address).ok()?;
        let known = SCHEMES.contains(&url.scheme()) && url.has_host() && url.host_str() != Some("");
        known.then(|| Self { place: target::place(&url), address: Secret::new(address) })
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place)
    }
}

impl Past {
    fn parse(entry: &str) -> Option<Self> {
        if entry == "*" {
            return Some(Self::Everything);
        }
        if let Some((address, bits)) = entry.split_once('/') {
            return IpNet::new(address.parse().ok()?, bits.parse().ok()?).ok().map(Self::Block);
        }
        // An IPv6 address without brackets contains colons itself.
        let (host, port) = match entry.rsplit_once(':') {
            Some((host, port)) if entry.parse::<IpAddr>().is_err() && !entry.ends_with(']') => {
                (host, Some(port.parse().ok()?))
            }
            _ => (entry, None),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        if let Ok(address) = host.parse() {
            return Some(Self::Address(address, port));
        }
        let below = host.strip_prefix('*').unwrap_or(&host).strip_prefix('.');
        match below {
            Some(name) => Some(Self::Below(name.to_owned(), port)),
            None => (!host.is_empty()).then_some(Self::Name(host, port)),
        }
    }

    fn covers(&self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let address = host.parse::<IpAddr>().ok();
        let on = |port: &Option<u16>| port.is_none() || *port == url.port_or_known_default();
        let is_below = |name: &str| host.strip_suffix(name).is_some_and(|rest| rest.ends_with('.'));
        match self {
            Self::Everything => true,
            Self::Block(block) => address.is_some_and(|address| block.contains(&address)),
            Self::Address(past, port) => address == Some(*past) && on(port),
            Self::Name(name, port) => (host == name || is_below(name)) && on(port),
            Self::Below(name, port) => is_below(name) && on(port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(variables: &[(&'static str, &'static str)]) -> Result<Proxies, ProxyError> {
        Proxies::read(|name| variables.iter().find(|(variable, _)| *variable == name).map(|(_, value)| *value))
    }

    fn place(proxies: &Proxies, url: &str) -> String {
        proxies.place(&Url::parse(url).unwrap()).unwrap_or_else(|| "direct".to_owned())
    }

    #[test]
    fn proxy_variables_are_read_as_by_go_and_curl() {
        for (variables, http, https) in [
            (&[][..], "direct", "direct"),
            (&[("HTTPS_PROXY", "http://a:1")], "direct", "a:1"),
            (&[("http_proxy", "b:2")], "b:2", "direct"),
            (&[("HTTPS_PROXY", "http://a:1"), ("https_proxy", "http://b:2")], "direct", "a:1"),
            (&[("ALL_PROXY", "socks5h://c:3")], "c:3", "c:3"),
            (&[("all_proxy", "http://c:3"), ("HTTPS_PROXY", "https://u:p@a:1/")], "c:3", "a:1"),
            (&[("HTTP_PROXY", ""), ("HTTPS_PROXY", " ")], "direct", "direct"),
        ] {
            let proxies = proxies(variables).unwrap();
            let found = ["http://r.example/v2/", "https://r.example/v2/"].map(|url| place(&proxies, url));
            assert_eq!(found, [http, https], "{variables:?}");
        }
    }

    #[test]
    fn no_proxy_entries_are_reached_directly() {
        for (past, direct, proxied) in [
            ("*", &["https://a.example", "https://10.0.0.1"][..], &[][..]),
            (
                "example.com",
                &["https://example.com", "https://EXAMPLE.com:5000", "https://a.example.com"],
                &["https://badexample.com", "https://example.com.evil"],
            ),
            (
                ".example.com, *.b.example",
                &["https://a.example.com", "https://a.b.example"],
                &["https://example.com", "https://b.example"],
            ),
            ("a.example:5000", &["https://a.example:5000"], &["https://a.example", "https://a.example:5001"]),
            ("a.example:443", &["https://a.example"], &["https://a.example:5000"]),
            (
                "10.0.0.0/8,192.168.1.1",
                &["https://10.1.2.3", "https://192.168.1.1:5000"],
                &["https://11.0.0.1", "https://192.168.1.2"],
            ),
            ("fd00::/8 [fe80::1]:5000", &["https://[fd12::1]", "https://[fe80::1]:5000"], &["https://[fe80::1]"]),
            (
                "10.9.9.9/8,fd12::9/8",
                &["https://10.1.2.3", "https://[fd34::1]"],
                &["https://11.0.0.1", "https://[fe80::1]"],
            ),
            ("::/0", &["https://[fd12::1]"], &["https://1.2.3.4"]),
            ("0.0.0.0/0", &["https://1.2.3.4"], &["https://a.example", "https://[fd12::1]"]),
            ("10.0.0.0/99,nonsense:x,/,", &[], &["https://10.0.0.0"]),
            // These never go through a proxy: the proxy would connect to itself instead.
            (
                "",
                &["https://localhost:5000", "https://127.0.0.1", "https://[::1]:5000", "https://127.8.8.8"],
                &["https://localhost.example"],
            ),
        ] {
            let proxies = proxies(&[("HTTPS_PROXY", "http://proxy:3128"), ("NO_PROXY", past)]).unwrap();
            for (urls, expected) in [(direct, "direct"), (proxied, "proxy:3128")] {
                for url in urls {
                    assert_eq!(place(&proxies, url), expected, "{url} with NO_PROXY={past}");
                }
            }
        }
    }

    #[test]
    fn invalid_proxy_variable_is_named_without_its_value() {
        for value in ["ftp://u:canary@p:1", "http://", "http://u:canary@", "http://u:canary@p:x", "canary canary"] {
            let error = proxies(&[("https_proxy", value)]).unwrap_err();
            assert_eq!(error.variable, "https_proxy", "{value}");
            assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
        }
        let proxies = proxies(&[("HTTP_PROXY", "http://u:canary@proxy:3128")]).unwrap();
        assert!(!format!("{proxies:?} {proxies:#?}").contains("canary"), "{proxies:?}");
    }
}
