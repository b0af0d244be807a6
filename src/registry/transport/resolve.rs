//! The addresses of the names that a registry sends. polyarch checks the address that it connects to. A name counts as
//! an address of a private network as soon as it resolves to one. The server for a name may return another address each
//! time (DNS rebinding).

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::link::AllowedHosts;
use super::proxy::Proxies;
use super::target::{Reach, reach, reach_of};
use crate::registry::error::TargetError;

/// Resolves names for one client. The client connects to exactly these addresses, so no second lookup happens in
/// between.
pub(in crate::registry) struct Resolver {
    /// The host of the registry's own URL.
    home: String,
    /// The reach of the registry's address, once its name is resolved.
    home_reach: Arc<Mutex<Reach>>,
    /// The hosts of the proxies. The user configured them, so they may be anywhere.
    proxies: Vec<String>,
    /// The other hosts that the user allows the registry to send polyarch to.
    allowed_hosts: AllowedHosts,
}

impl Resolver {
    pub(in crate::registry) fn of(home: &Url, proxies: &Proxies, allowed_hosts: AllowedHosts) -> Self {
        let host = home.host_str().unwrap_or_default().to_owned();
        let home_reach = Arc::new(Mutex::new(reach(home)));
        Self { home: host, home_reach, proxies: proxies.hosts(), allowed_hosts }
    }

    /// The reach of the registry's address. For a name it is unknown until the name is resolved.
    pub(super) fn home_reach(&self) -> Reach {
        *self.home_reach.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let name = name.as_str().to_owned();
        let (is_home, is_proxy) = (name == self.home, self.proxies.contains(&name));
        let is_named = self.allowed_hosts.has(&name);
        let home_reach = self.home_reach.clone();
        Box::pin(async move {
            let found: Vec<_> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let known = || home_reach.lock().unwrap_or_else(PoisonError::into_inner);
            if is_home {
                *known() = common(&found);
            } else if !is_proxy {
                let home = *known();
                let allowed = if is_named { not_special(&found) } else { allowed(&found, home) };
                if allowed.is_empty() && !found.is_empty() {
                    let all_special = not_special(&found).is_empty();
                    let refused = if all_special { TargetError::LinkLocal(name) } else { TargetError::Private(name) };
                    return Err(refused.into());
                }
                return Ok(Box::new(allowed.into_iter()) as Addrs);
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// The reach that all of these addresses share. If they differ, the registry counts as public.
fn common(addresses: &[SocketAddr]) -> Reach {
    let mut reaches = addresses.iter().map(|address| reach_of(address.ip()));
    let first = reaches.next().unwrap_or(Reach::Public);
    if reaches.all(|other| other == first) { first } else { Reach::Public }
}

/// The addresses that a registry may send polyarch to: public ones, and neighbours of a registry that is not public.
fn allowed(addresses: &[SocketAddr], home: Reach) -> Vec<SocketAddr> {
    let is_allowed = |address: IpAddr| reach_of(address) == Reach::Public || reach_of(address).is_neighbour_of(home);
    addresses.iter().copied().filter(|address| is_allowed(address.ip())).collect()
}

/// The addresses of a name that the user allows: all except those of cloud metadata services.
fn not_special(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    addresses.iter().copied().filter(|address| reach_of(address.ip()) != Reach::Special).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| SocketAddr::new(text.parse().unwrap(), 0)).collect()
    }

    #[test]
    fn host_name_counts_as_the_addresses_that_it_resolves_to() {
        let private = ["10.0.0.1", "192.168.1.1", "fd12::1", "100.64.0.1"];
        for address in private.into_iter().chain(["127.0.0.1", "::1", "169.254.169.254", "fd00:ec2::254"]) {
            assert!(allowed(&addresses(&[address]), Reach::Public).is_empty(), "{address}");
        }
        for address in private {
            assert_eq!(allowed(&addresses(&[address]), Reach::Private).len(), 1, "{address}");
            assert!(allowed(&addresses(&[address]), Reach::Loopback).is_empty(), "{address}");
        }
        for home in [Reach::Public, Reach::Private, Reach::Loopback, Reach::Special] {
            assert!(allowed(&addresses(&["169.254.169.254"]), home).is_empty());
            assert_eq!(allowed(&addresses(&["1.1.1.1", "2606:4700::1111"]), home).len(), 2);
        }
        // If a name has several addresses, polyarch keeps those that it may connect to.
        let mixed = addresses(&["10.0.0.1", "1.1.1.1", "169.254.169.254"]);
        assert_eq!(allowed(&mixed, Reach::Public), addresses(&["1.1.1.1"]));
        assert_eq!(allowed(&mixed, Reach::Private), addresses(&["10.0.0.1", "1.1.1.1"]));
    }

    #[test]
    fn registry_is_private_only_if_all_its_addresses_are() {
        assert_eq!(common(&addresses(&["10.0.0.1", "192.168.0.1"])), Reach::Private);
        assert_eq!(common(&addresses(&["127.0.0.1", "::1"])), Reach::Loopback);
        assert_eq!(common(&addresses(&["10.0.0.1", "1.1.1.1"])), Reach::Public);
        assert_eq!(common(&[]), Reach::Public);
    }

    /// A client of a registry at `home`, which has the reach `home_reach`.
    fn client(home: &str, home_reach: Reach) -> (reqwest::Client, Arc<Resolver>) {
        let names = Arc::new(Resolver::of(&Url::parse(home).unwrap(), &Proxies::default(), AllowedHosts::default()));
        *names.home_reach.lock().unwrap() = home_reach;
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().no_proxy().dns_resolver(names.clone()).build().unwrap();
        (client, names)
    }

    #[tokio::test]
    async fn public_registry_cannot_redirect_to_a_loopback_name() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://localhost:{}/token", listener.local_addr().unwrap().port());
        let (stranger, _) = client("https://registry.example/v2/", Reach::Public);
        let error = stranger.get(&url).send().await.unwrap_err();
        assert_eq!(super::super::wire::refused_target(&error), Some(TargetError::Private("localhost".into())));
        assert!(futures::poll!(std::pin::pin!(listener.accept())).is_pending(), "nobody connected");
        // The client connects to the neighbour of a registry on this machine, and to the registry itself.
        for (home, reach) in [("http://registry.example/v2/", Reach::Loopback), ("http://localhost/v2/", Reach::Public)]
        {
            let (client, names) = client(home, reach);
            let asking = client.get(&url).send();
            tokio::select! {
                accepted = listener.accept() => drop(accepted.unwrap()),
                answered = asking => panic!("{home}: {answered:?}"),
            }
            assert_eq!(names.home_reach(), Reach::Loopback, "{home}");
        }
    }
}
