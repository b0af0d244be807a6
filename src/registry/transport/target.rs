//! Decides where a request may go. A server's answer names redirects and token servers, so polyarch checks them before
//! it sends a byte (GHSA-28r5-37g7-p6mp, GHSA-xf85-363p-868w, GHSA-vh4v-2xq2-g5cg).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use reqwest::Url;

use super::link::{AllowedHosts, HostRule};
use crate::registry::error::TargetError;

/// The reach of an address: the machines that can connect to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    Public,
    Private,
    Loopback,
    /// Link-local (cloud metadata services), unspecified, multicast: never a neighbour of a registry.
    Special,
}

impl Reach {
    /// Whether a registry with the reach `home` may send polyarch to this address although it is not public.
    pub(super) fn is_neighbour_of(self, home: Self) -> bool {
        matches!(self, Self::Private | Self::Loopback) && self == home
    }
}

/// The address of a token server from a challenge of the registry at `home`. When polyarch connects to a name, it
/// checks the addresses that the name resolves to.
///
/// # Errors
/// The address is unencrypted although `home` is encrypted, or it has a user name. Or the address is neither public,
/// nor `home`, nor one of `allowed_hosts`.
pub(in crate::registry) fn realm(home: &Url, allowed_hosts: &AllowedHosts, text: &str) -> Result<Url, TargetError> {
    let url = Url::parse(text).map_err(|_| TargetError::Malformed)?;
    let url = check(home, url)?;
    enter(home, allowed_hosts, url, |reach| reach == Reach::Public)
}

/// The target of a redirect to `location` from `from`, in a chain that began at `home`.
///
/// # Errors
/// As for [`realm`]. But a registry on this machine or in a private network may send polyarch to its neighbours there.
/// Its storage is often a neighbour. `home_reach` is the reach of the registry's address.
pub(super) fn redirect(
    home: &Url,
    home_reach: Reach,
    allowed_hosts: &AllowedHosts,
    from: &Url,
    location: &str,
) -> Result<Url, TargetError> {
    let url = from.join(location).map_err(|_| TargetError::Malformed)?;
    let url = check(from, url)?;
    enter(home, allowed_hosts, url, |reach| reach == Reach::Public || reach.is_neighbour_of(home_reach))
}

/// Returns `url` if polyarch may go there: to the registry itself, to a host that the user allowed, or to an address
/// for which `is_open` is true.
fn enter(
    home: &Url,
    allowed_hosts: &AllowedHosts,
    url: Url,
    is_open: impl Fn(Reach) -> bool,
) -> Result<Url, TargetError> {
    let reach = reach(&url);
    if url.origin() == home.origin() {
        return Ok(url);
    }
    // The resolver finds the address of a name later, but does not see the port.
    let is_name = reach == Reach::Public && url.domain().is_some();
    match (reach, allowed_hosts.rule(&url)) {
        (Reach::Special, _) => Err(TargetError::LinkLocal(place(&url))),
        (_, HostRule::Listed) => Ok(url),
        (_, HostRule::OtherPort) if is_name => Err(TargetError::Port(place(&url))),
        (_, HostRule::OtherPort | HostRule::NotListed) if is_open(reach) => Ok(url),
        _ => Err(TargetError::Private(place(&url))),
    }
}

fn check(from: &Url, mut url: Url) -> Result<Url, TargetError> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err(TargetError::Scheme);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(TargetError::UserInformation(place(&url)));
    }
    if from.scheme() == "https" && url.scheme() != "https" {
        return Err(TargetError::Downgrade(place(&url)));
    }
    url.set_fragment(None);
    Ok(url)
}

/// `host:port` of an address, for messages.
pub(in crate::registry) fn place(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// `METHOD URL` without user information, query and fragment, which may contain signatures and tokens.
pub(in crate::registry) fn redacted(method: &reqwest::Method, url: &Url) -> String {
    format!("{method} {}://{}{}", url.scheme(), place(url), url.path())
}

/// Whether a request to `url` stays on this machine.
pub(super) fn is_this_machine(url: &Url) -> bool {
    reach(url) == Reach::Loopback
}

/// The reach of a URL's host. The URL parser has converted every spelling of an IPv4 address (`2130706433`, `0x7f.1`)
/// into four numbers.
pub(super) fn reach(url: &Url) -> Reach {
    let host = url.host_str().unwrap_or_default();
    let name = host.trim_end_matches('.');
    if name == "localhost" || name.ends_with(".localhost") {
        return Reach::Loopback;
    }
    match host.trim_start_matches('[').trim_end_matches(']').parse() {
        Ok(address) => reach_of(address),
        Err(_) => Reach::Public,
    }
}

/// The reach of an address.
pub(super) fn reach_of(address: IpAddr) -> Reach {
    match address {
        IpAddr::V4(address) => reach_v4(address),
        IpAddr::V6(address) => reach_v6(address),
    }
}

fn reach_v4(address: Ipv4Addr) -> Reach {
    let [a, b, ..] = address.octets();
    if address.is_loopback() || address.is_unspecified() {
        // A connection to 0.0.0.0 reaches this machine.
        Reach::Loopback
    } else if address.is_link_local() || address.is_multicast() || address.is_broadcast() || a == 0 {
        Reach::Special
    } else if address.is_private() || (a == 100 && (64..128).contains(&b)) {
        Reach::Private
    } else {
        Reach::Public
    }
}

fn reach_v6(address: Ipv6Addr) -> Reach {
    if address.is_loopback() || address.is_unspecified() {
        return Reach::Loopback;
    }
    let segments = address.segments();
    // An IPv4 address inside of IPv6: mapped (::ffff:), compatible (::), translated (64:ff9b::, NAT64).
    let inner = matches!(segments, [0, 0, 0, 0, 0, 0xffff | 0, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..]);
    if inner {
        let [.., a, b, c, d] = address.octets();
        reach_v4(Ipv4Addr::new(a, b, c, d))
    } else if address.is_unicast_link_local() || address.is_multicast() || segments[..2] == [0xfd00, 0xec2] {
        Reach::Special
    } else if address.is_unique_local() {
        Reach::Private
    } else {
        Reach::Public
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn none() -> AllowedHosts {
        AllowedHosts::default()
    }

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn hostile_realms_are_refused() {
        let home = url("https://registry.example/v2/");
        let evil = [
            "http://registry.example/token",
            "https://169.254.169.254/latest",
            "https://[fd00:ec2::254]/latest",
            "https://127.0.0.1/token",
            "https://127.1/token",
            "https://0.0.0.0/token",
            "https://[::]/token",
            "https://[::1]/token",
            "https://[::ffff:10.0.0.1]/token",
            "https://[::127.0.0.1]/token",
            "https://[64:ff9b::7f00:1]/token",
            "https://2130706433/token",
            "https://0x7f000001/token",
            "https://10.1.2.3/token",
            "https://172.16.0.1/token",
            "https://192.168.0.1/token",
            "https://100.64.0.1/token",
            "https://localhost/token",
            "https://LOCALHOST:5000/token",
            "https://localhost./token",
            "https://a.localhost/token",
            "https://registry.example@evil.example/token",
            "https://user:secret@registry.example/token",
            "file:///etc/passwd",
            "gopher://registry.example/",
            "//registry.example/token",
            "/token",
            "",
        ];
        for text in evil {
            assert!(realm(&home, &none(), text).is_err(), "{text} was taken");
        }
    }

    #[test]
    fn real_world_token_servers_are_accepted() {
        let cases = [
            ("https://registry-1.docker.io", "https://auth.docker.io/token"),
            ("https://ghcr.io", "https://ghcr.io/token"),
            ("https://registry.example", "https://registry.example:5001/auth"),
            ("https://10.0.0.1:5000", "https://10.0.0.1:5000/token"),
            ("http://127.0.0.1:5000", "http://127.0.0.1:5000/token"),
            ("http://registry.lan:5000", "http://auth.lan/token"),
            ("https://[::1]:5000", "https://[::1]:5000/token"),
        ];
        for (home, text) in cases {
            assert!(realm(&url(home), &none(), text).is_ok(), "{home} -> {text}");
        }
    }

    #[test]
    fn realm_on_another_port_of_a_private_host_is_refused() {
        for home in ["http://127.0.0.1:5000", "https://10.0.0.1:5000", "http://[::1]:5000"] {
            let other = home.replace("5000", "5001");
            assert!(matches!(realm(&url(home), &none(), &other), Err(TargetError::Private(_))), "{home}");
        }
    }

    #[test]
    fn redirect_stays_encrypted_and_out_of_private_networks() {
        let home = url("https://registry.example/v2/x");
        assert!(matches!(
            redirect(&home, Reach::Public, &none(), &home, "http://cdn.example/x"),
            Err(TargetError::Downgrade(_))
        ));
        for private in ["https://127.0.0.1/x", "https://169.254.169.254/x", "https://10.0.0.1/x", "https://localhost/x"]
        {
            assert!(
                matches!(
                    redirect(&home, Reach::Public, &none(), &home, private),
                    Err(TargetError::Private(_) | TargetError::LinkLocal(_))
                ),
                "{private}"
            );
        }
        assert_eq!(
            redirect(&home, Reach::Public, &none(), &home, "https://cdn.example/x?sig=1").unwrap().as_str(),
            "https://cdn.example/x?sig=1"
        );
        assert_eq!(
            redirect(&home, Reach::Public, &none(), &home, "/y").unwrap().as_str(),
            "https://registry.example/y"
        );
    }

    #[test]
    fn private_registry_may_redirect_to_neighbours_not_to_metadata() {
        let local = url("http://127.0.0.1:5000/v2/x");
        assert!(redirect(&local, Reach::Loopback, &none(), &local, "http://127.0.0.1:9000/x").is_ok());
        assert!(redirect(&local, Reach::Loopback, &none(), &local, "http://169.254.169.254/x").is_err());
        let private = url("https://10.0.0.1/v2/x");
        assert!(redirect(&private, Reach::Private, &none(), &private, "https://10.0.0.2/x").is_ok());
        assert!(redirect(&private, Reach::Private, &none(), &private, "https://127.0.0.1/x").is_err());
        // A registry with a name has the reach of its address.
        let named = url("https://registry.lan/v2/x");
        assert!(redirect(&named, Reach::Private, &none(), &named, "https://10.0.0.2/x").is_ok());
        assert!(redirect(&named, Reach::Public, &none(), &named, "https://10.0.0.2/x").is_err());
    }

    #[test]
    fn registry_may_redirect_to_hosts_that_the_user_named() {
        let hosts = ["10.0.0.1:8443", "auth.lan", "localhost:9000", "[::1]", "169.254.169.254"];
        let named = AllowedHosts::of(&hosts.map(|host| host.parse().unwrap()));
        for home in [url("https://10.0.0.1:5000/v2/"), url("https://registry.example/v2/")] {
            for to in ["https://10.0.0.1:8443/t", "https://auth.lan/t", "https://localhost:9000/t", "https://[::1]:1/t"]
            {
                assert!(realm(&home, &named, to).is_ok(), "{to}");
                assert!(redirect(&home, Reach::Public, &named, &home, to).is_ok(), "{to}");
            }
            for to in
                ["https://10.0.0.1:8444/t", "https://10.0.0.1/t", "https://10.0.0.2:8443/t", "https://localhost/t"]
            {
                assert!(matches!(realm(&home, &named, to), Err(TargetError::Private(_))), "{to}");
            }
            // If the user allows one port, ports that were open before stay open.
            let private = url("https://10.0.0.9/v2/");
            assert!(redirect(&private, Reach::Private, &named, &private, "https://10.0.0.1:9000/x").is_ok());
            let ports = AllowedHosts::of(&["auth.lan:8443".parse().unwrap()]);
            assert!(realm(&home, &ports, "https://auth.lan:8443/t").is_ok());
            assert!(matches!(realm(&home, &ports, "https://auth.lan/t"), Err(TargetError::Port(_))));
            // Metadata services stay out of reach, and the connection stays encrypted.
            let metadata = "https://169.254.169.254/latest";
            assert!(matches!(realm(&home, &named, metadata), Err(TargetError::LinkLocal(_))));
            assert!(matches!(realm(&home, &named, "http://auth.lan/t"), Err(TargetError::Downgrade(_))));
        }
    }

    #[test]
    fn redacted_address_has_neither_query_nor_user() {
        let shown = redacted(&reqwest::Method::GET, &url("https://u:p@h.example:5000/a/b?sig=s#f"));
        assert_eq!(shown, "GET https://h.example:5000/a/b");
    }
}
