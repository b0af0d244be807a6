//! The address of an engine that is reached over ssh: `ssh://[USER@]HOST[:PORT][/SOCKET]`, as the docker CLI reads it
//! (docker/cli, `cli/connhelper/ssh`).
//!
//! Every part becomes an argument of the program `ssh`, and the socket becomes a word for the shell of the other
//! machine. So only harmless characters are accepted, and no part begins with a hyphen (CVE-2017-1000117).

use std::fmt;
use std::num::NonZeroU16;

/// An engine on another machine, which OpenSSH reaches.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SshHost {
    user: Option<String>,
    host: String,
    port: Option<NonZeroU16>,
    socket: Option<String>,
}

impl SshHost {
    /// The name to log in with, if the address has one. Otherwise OpenSSH's configuration decides.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// The name in OpenSSH's configuration, a DNS name, or an IP address without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, if the address has one. Otherwise OpenSSH's configuration decides.
    #[must_use]
    pub fn port(&self) -> Option<NonZeroU16> {
        self.port
    }

    /// The engine's socket on the other machine, an absolute path. `None`: the docker CLI of that machine decides.
    #[must_use]
    pub fn socket(&self) -> Option<&str> {
        self.socket.as_deref()
    }

    /// Reads the text behind `ssh://`. Returns `None` if it is not such an address.
    pub(super) fn read(text: &str) -> Option<Self> {
        let (authority, socket) = match text.find('/') {
            Some(at) => (&text[..at], Some(&text[at..]).filter(|path| *path != "/")),
            None => (text, None),
        };
        let (user, address) = match authority.rsplit_once('@') {
            Some((user, address)) => (Some(user), address),
            None => (None, authority),
        };
        let (host, port) = match address.rsplit_once(':') {
            Some((host, port)) if !address.ends_with(']') => (host, Some(port)),
            _ => (address, None),
        };
        let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(address) => Some(address).filter(|address| address.parse::<std::net::Ipv6Addr>().is_ok())?,
            None => Some(host).filter(|host| is_word(host, "._-"))?,
        };
        let digits = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit()).then(|| port.parse().ok()).flatten();
        Some(Self {
            user: user.map(|user| is_word(user, "._-+$").then(|| user.to_owned()).ok_or(())).transpose().ok()?,
            host: host.to_owned(),
            port: port.map(|port| digits(port).ok_or(())).transpose().ok()?,
            socket: socket.map(|path| is_path(path).then(|| path.to_owned()).ok_or(())).transpose().ok()?,
        })
    }
}

/// Whether a text has only letters, digits and `others`, and does not begin with a hyphen.
fn is_word(text: &str, others: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || others.contains(c);
    !text.is_empty() && !text.starts_with('-') && text.chars().all(allowed)
}

/// Whether a path has only characters without a meaning for a shell.
fn is_path(path: &str) -> bool {
    path.len() > 1 && path.chars().all(|c| c.is_ascii_alphanumeric() || "/._-+@:".contains(c))
}

impl fmt::Display for SshHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ssh://")?;
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        if self.host.contains(':') { write!(f, "[{}]", self.host) } else { f.write_str(&self.host) }?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        f.write_str(self.socket.as_deref().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ssh_address_is_read_as_by_the_docker_cli() {
        for (text, user, host, port, socket) in [
            ("graviton", None, "graviton", None, None),
            ("graviton/", None, "graviton", None, None),
            ("ec2-user@10.0.0.7", Some("ec2-user"), "10.0.0.7", None, None),
            ("b@h.example:2222", Some("b"), "h.example", NonZeroU16::new(2222), None),
            (
                "b@[fd00::7]:22/run/user/1000/docker.sock",
                Some("b"),
                "fd00::7",
                NonZeroU16::new(22),
                Some("/run/user/1000/docker.sock"),
            ),
        ] {
            let read = SshHost::read(text).unwrap();
            assert_eq!((read.user(), read.host(), read.port(), read.socket()), (user, host, port, socket), "{text}");
            assert_eq!(read.to_string(), format!("ssh://{}", text.strip_suffix('/').unwrap_or(text)));
        }
    }

    #[test]
    fn ssh_address_with_an_option_or_shell_text_is_refused() {
        for text in [
            "",
            "/",
            "-oProxyCommand=touch /tmp/x",
            "-oProxyCommand=touch",
            "b@-oProxyCommand=x",
            "-oProxyCommand=x@h",
            "-lroot@h",
            "-h",
            "h:-p",
            "h:0",
            "h:65536",
            "h:+22",
            "h:",
            "@h",
            "b:word@h",
            "b@c@h",
            "h h",
            "h\n-oX",
            "h\0",
            "h%h",
            "h?x=1",
            "h#x",
            "h;id",
            "$(id)",
            "`id`@h",
            "h|id",
            "[::1",
            "[-oX]",
            "[fe80::1%eth0]",
            "h/a b",
            "h/$(id)",
            "h/`id`",
            "h/a;id",
            "h/a'b",
            "h/a\"b",
            "h/a\\b",
            "h/a|b",
            "h/a&b",
            "h/a>b",
            "h/a\nb",
            "h/../*",
            "hö",
        ] {
            assert_eq!(SshHost::read(text), None, "{text:?}");
        }
    }
}
