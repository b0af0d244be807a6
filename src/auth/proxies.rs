//! The proxies for builds in docker's `config.json` (docker/cli, `cli/config/configfile`, `ParseProxyConfig`).

use std::collections::BTreeMap;

use serde::de::MapAccess;

use super::{Secret, SecretBytes};
use crate::oci::loose::{self, Loose, Object};

/// The key of the settings for hosts without their own settings.
const DEFAULT: &str = "default";

/// Proxies for the steps of builds, by the engine's host. Their addresses may contain a password, so they cannot be
/// printed.
#[derive(Debug, Clone, Default)]
pub struct BuildProxies(pub(super) BTreeMap<String, Loose<Proxy>>);

/// The proxies of one host.
#[derive(Debug, Clone, Default)]
pub(super) struct Proxy {
    http: Secret,
    https: Secret,
    ftp: Secret,
    no: Secret,
    all: Secret,
}

impl Object for Proxy {
    fn take<'de, A: MapAccess<'de>>(&mut self, name: &str, values: &mut A) -> Result<(), A::Error> {
        match name {
            "httpproxy" => loose::set(&mut self.http, values),
            "httpsproxy" => loose::set(&mut self.https, values),
            "ftpproxy" => loose::set(&mut self.ftp, values),
            "noproxy" => loose::set(&mut self.no, values),
            "allproxy" => loose::set(&mut self.all, values),
            _ => loose::skip(values),
        }
    }
}

impl Proxy {
    fn values(&self) -> impl Iterator<Item = (&'static str, &Secret)> {
        let Self { http, https, ftp, no, all } = self;
        let named =
            [("HTTP_PROXY", http), ("HTTPS_PROXY", https), ("FTP_PROXY", ftp), ("NO_PROXY", no), ("ALL_PROXY", all)];
        named.into_iter().filter(|(_, value)| !value.is_empty())
    }
}

impl BuildProxies {
    /// Adds to `args` the proxies for an engine at `host`, under upper-case and lower-case names. BuildKit passes these
    /// arguments to `RUN`, and they change neither the cache nor the image. An argument that `args` already has stays,
    /// in either case: BuildKit makes one variable of both (`frontend/dockerfile/dockerfile2llb`,
    /// `proxyEnvFromBuildArgs`).
    pub fn add_to(&self, args: &mut BTreeMap<String, String>, host: &str) {
        let Some(Loose(proxy)) = self.0.get(host).or_else(|| self.0.get(DEFAULT)) else { return };
        for (name, value) in proxy.values() {
            if args.keys().any(|known| known.eq_ignore_ascii_case(name)) {
                continue;
            }
            for name in [name.to_owned(), name.to_ascii_lowercase()] {
                args.insert(name, value.expose().to_owned());
            }
        }
    }

    /// The logins in the addresses, which no log may show.
    #[doc(hidden)]
    #[must_use]
    pub fn secrets(&self) -> Vec<SecretBytes> {
        let all = self.0.values().flat_map(|Loose(proxy)| proxy.values());
        let logins = all.filter_map(|(_, value)| value.expose().split_once("://")?.1.rsplit_once('@'));
        logins.map(|(login, _)| SecretBytes::new(login.as_bytes().to_vec())).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::super::DockerConfig;
    use super::*;

    fn proxies(text: &str) -> BuildProxies {
        DockerConfig::inline("TEST", text, OsStr::new("")).unwrap().build_proxies()
    }

    fn args(proxies: &BuildProxies, host: &str) -> BTreeMap<String, String> {
        let mut args = BTreeMap::from([("NO_PROXY".to_owned(), "mine".to_owned())]);
        proxies.add_to(&mut args, host);
        args
    }

    #[test]
    fn build_gets_the_proxies_of_its_engine_or_the_defaults() {
        let proxies = proxies(
            r#"{"proxies":{"default":{"httpProxy":"http://a:3128","noProxy":"localhost","extra":1},
                "tcp://build.example:2376":{"HttpsProxy":"http://b:3128","allProxy":null}}}"#,
        );
        let default = args(&proxies, "unix:///var/run/docker.sock");
        let values: Vec<_> = default.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(values, ["HTTP_PROXY=http://a:3128", "NO_PROXY=mine", "http_proxy=http://a:3128"]);
        let own = args(&proxies, "tcp://build.example:2376");
        assert_eq!(own.keys().collect::<Vec<_>>(), ["HTTPS_PROXY", "NO_PROXY", "https_proxy"]);
    }

    #[test]
    fn docker_config_without_proxies_adds_no_arguments() {
        for text in ["{}", r#"{"proxies":null}"#, r#"{"proxies":{}}"#, r#"{"proxies":{"default":null}}"#] {
            assert_eq!(args(&proxies(text), "unix:///x").len(), 1, "{text}");
        }
    }

    #[test]
    fn proxy_login_of_the_docker_config_is_a_secret() {
        let proxies = proxies(r#"{"proxies":{"default":{"httpProxy":"http://me:canary@a:3128","noProxy":"a@b"}}}"#);
        let secrets = proxies.secrets();
        assert_eq!(secrets.iter().map(SecretBytes::expose).collect::<Vec<_>>(), [b"me:canary"]);
        assert!(!format!("{proxies:?}").contains("canary"));
    }
}
