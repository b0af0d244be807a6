//! Why a program did not become a connection.

use std::io;

/// The reason why a program did not become a connection, with the next step. It travels in an [`io::Error`].
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct ConnectError {
    message: String,
    hint: String,
}

/// Texts of OpenSSH and of the programs that it starts, each with the next step.
const HINTS: &[(&str, &str)] = &[
    (
        "host key verification failed",
        "run `ssh HOST` once by hand to compare and accept the key of the host; polyarch accepts no unknown key",
    ),
    (
        "permission denied (",
        "make `ssh HOST` work without a password: load a key into your ssh agent, or name one in ~/.ssh/config",
    ),
    ("could not resolve hostname", "check the name of the host, or add it to ~/.ssh/config"),
    ("connection timed out", "check that the host is up and that its port for ssh is open to this machine"),
    ("connection refused", "check that the host accepts ssh on this port"),
    ("buildctl: command not found", "install buildctl on the host, in the PATH of commands that ssh starts"),
    ("\"buildctl\": executable file not found", "name a container of BuildKit: this one has no buildctl"),
    ("no such container", "start the container, or name another one: `docker ps` lists them"),
    ("is not running", "start the container: `docker start NAME`"),
    ("no container with name or id", "start the container, or name another one: `podman ps` lists them"),
    ("(notfound): pods", "name a pod that exists, and its `namespace=`: `kubectl get pods` lists them"),
    ("(forbidden)", "give your user of Kubernetes the rights `get` on `pods` and `create` on `pods/exec`"),
    ("container not found", "name the container of BuildKit: kube-pod://POD?container=NAME"),
    ("context was not found", "name a context that exists: `kubectl config get-contexts` lists them"),
    ("no builder", "name a builder that exists: `docker buildx ls` lists them"),
    ("no nodes available", "start the builder: `docker buildx inspect --bootstrap NAME`"),
    ("is not a docker command", "install the buildx plugin of docker"),
    ("unknown command: docker buildx", "install the buildx plugin of docker"),
    ("command not found", "install the docker CLI on the host, in the PATH of commands that ssh starts"),
    ("no such file or directory", "check that the engine runs on the host, and that its socket has this path"),
    ("permission denied while trying to connect", "add the user on the host to the socket's group (often `docker`)"),
    ("cannot connect to the docker daemon", "start Docker on the host, or add the path of its socket to the address"),
    ("dial unix", "start Docker on the host, or add the path of its socket to the address"),
];

impl ConnectError {
    pub(super) fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: hint.into() }
    }

    /// A program that cannot be started.
    pub(super) fn not_started(name: &str, error: &io::Error) -> io::Error {
        let hint = match error.kind() {
            io::ErrorKind::NotFound if name == "ssh" => "install OpenSSH's client".to_owned(),
            io::ErrorKind::NotFound => format!("install {name}, or name the program by its whole path"),
            _ => format!("check that you may run {name}"),
        };
        let reason = crate::text::chain(error);
        io::Error::new(error.kind(), Self { message: format!("cannot start {name}: {reason}"), hint })
    }

    /// A program that ended before it answered. `said` is the end of its standard error.
    pub(super) fn ended(name: &str, said: &[u8]) -> io::Error {
        let said = String::from_utf8_lossy(said);
        let lines = || said.lines().map(str::trim).filter(|line| !line.is_empty());
        let known = |line: &str| {
            let line = line.to_ascii_lowercase();
            HINTS.iter().find(|(text, _)| line.contains(text)).map(|(_, hint)| *hint)
        };
        // Programs may print more after the reason, such as "Connection closed".
        let reason = lines().rev().find_map(|line| Some((line, known(line)?)));
        let (message, hint) = match reason {
            Some((line, hint)) => (format!("{name}: {line}"), hint.to_owned()),
            None => (
                lines()
                    .next_back()
                    .map_or_else(|| format!("{name} ended without an answer"), |line| format!("{name}: {line}")),
                format!("run the same {name} command by hand to see why it ends"),
            ),
        };
        io::Error::new(io::ErrorKind::ConnectionAborted, Self { message, hint })
    }

    /// A program that answered with another text than an engine: `answer` is its beginning.
    pub(super) fn not_an_engine(name: &str, answer: &[u8]) -> io::Error {
        let message = format!("{name} printed {:?} before the answer of an engine", String::from_utf8_lossy(answer));
        let hint = "remove commands that print from the startup files of the shell on the host, such as ~/.bashrc";
        io::Error::new(io::ErrorKind::InvalidData, Self { message, hint: hint.to_owned() })
    }

    /// A server that answered with other bytes than BuildKit: `answer` is their beginning.
    pub(super) fn not_buildkit(answer: &[u8]) -> io::Error {
        // A server that wants TLS answers with an alert (RFC 8446, 6).
        let hint = if answer.starts_with(b"HTT") {
            "if this is a Docker Engine, write `host:` in place of `buildkit:`"
        } else if answer.starts_with(&[0x15, 3]) {
            "add `tls:` to the engine in the plan: the server wants TLS"
        } else {
            "name the address that buildkitd listens on"
        };
        let message = format!("no BuildKit answers: the answer begins with {:?}", String::from_utf8_lossy(answer));
        io::Error::new(io::ErrorKind::InvalidData, Self { message, hint: hint.to_owned() })
    }

    /// No pod is ready.
    pub(super) fn no_pod(selector: &str) -> io::Error {
        let message = format!("no pod with {selector} is ready");
        let hint = format!("start one: `kubectl get pods --selector={selector}` lists them");
        io::Error::new(io::ErrorKind::NotFound, Self { message, hint })
    }

    /// The next step, if `error` has one.
    pub(crate) fn hint_of(error: &io::Error) -> Option<&str> {
        error.get_ref()?.downcast_ref::<Self>().map(|error| error.hint.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_words_of_ssh_become_the_error_and_its_hint() {
        for (said, message, hint) in [
            (
                "b@h: Permission denied (publickey,password).\r\n",
                "ssh: b@h: Permission denied (publickey,password).",
                "ssh agent",
            ),
            (
                "Host key verification failed.\nConnection closed.\n",
                "ssh: Host key verification failed.",
                "accept the key",
            ),
            ("bash: line 1: docker: command not found\n", "ssh: bash: line 1: docker: command not found", "docker CLI"),
            ("welcome\nodd words\n\n", "ssh: odd words", "by hand"),
            ("", "ssh ended without an answer", "by hand"),
        ] {
            let error = ConnectError::ended("ssh", said.as_bytes());
            assert_eq!(error.to_string(), message);
            assert!(ConnectError::hint_of(&error).unwrap().contains(hint), "{said}");
        }
    }
}
