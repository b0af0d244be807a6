//! The real parts that tests work with, found through the environment that the Makefile sets.
//!
//! A part that is not there fails the test, and the message says what brings it up. Nothing is skipped.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use tokio::process::Command;

/// No command of a test takes longer than this.
pub(crate) const LIMIT: Duration = Duration::from_mins(2);

/// The value of a variable of the testbed, or its default if it has one.
///
/// # Panics
/// If there is neither.
pub(crate) fn variable(name: &str, default: Option<&str>) -> String {
    let set = env::var(name).ok().filter(|value| !value.is_empty());
    set.or_else(|| default.map(str::to_owned))
        .unwrap_or_else(|| panic!("{name} is not set: `make live` sets it and brings up what it names"))
}

/// The path of something that `scripts/test-parts` lays down.
pub(crate) fn part(path: &str) -> PathBuf {
    let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-parts");
    let found = PathBuf::from(variable("POLYARCH_TEST_PARTS", default.to_str())).join(path);
    assert!(found.exists(), "{} is not there: `make parts` brings it", found.display());
    found
}

/// Lays `busybox-amd64`, `busybox-arm64` and `busybox-armv7` into a context, which then has a shell on each of them:
/// `COPY busybox-${TARGETARCH}${TARGETVARIANT} /bin/busybox`, `RUN ["/bin/busybox", "sh", "-c", "…"]`.
pub(crate) fn add_busybox(context: &Path) {
    for name in ["busybox-amd64", "busybox-arm64", "busybox-armv7"] {
        fs::copy(part(name).join("bin/busybox"), context.join(name)).unwrap();
    }
}

/// A tool of the newer engine's system: `tool("crane", ["manifest", …])`. Of the file system it sees `/tmp`.
pub(crate) async fn tool(name: &str, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Output {
    let mut command = tool_command(name);
    command.args(args);
    output(command).await
}

/// The same as a command that is yet to run.
pub(crate) fn tool_command(name: &str) -> Command {
    let mut command = Command::new(variable("POLYARCH_TEST_TOOLS", None));
    command.arg(name);
    command
}

/// Runs a command to its end.
///
/// # Panics
/// If it cannot be started, or takes longer than [`LIMIT`].
pub(crate) async fn output(mut command: Command) -> Output {
    let ran = tokio::time::timeout(LIMIT, command.kill_on_drop(true).output()).await;
    let ran = ran.unwrap_or_else(|_| panic!("{command:?} was not done after {LIMIT:?}"));
    ran.unwrap_or_else(|error| panic!("{command:?}: {error}: `make parts engines` brings up what the tests need"))
}

/// What a command printed, without the last line's end.
///
/// # Panics
/// If it failed; the message has what it said.
pub(crate) fn printed(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {stderr}", output.status);
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

/// Waits until what a server logs says where it listens. The log is read to its end, so that the server never waits for us.
pub(crate) fn listening<T: Send + 'static>(
    log: impl Read + Send + 'static,
    said: impl Fn(&str) -> Option<T> + Send + 'static,
) -> Option<T> {
    let (sender, found) = mpsc::channel();
    // Ends with the server.
    std::thread::spawn(move || {
        for line in BufReader::new(log).lines().map_while(Result::ok) {
            // After the first address nobody listens any more.
            let _ = said(&line).map(|address| sender.send(address));
        }
    });
    // Longer than a busy machine needs to start it.
    found.recv_timeout(Duration::from_mins(1)).ok()
}

/// Waits for something that tells nobody when it happens: looks every 10 ms, for as long as `limit`.
///
/// # Panics
/// If it does not happen.
pub(crate) async fn eventually(what: &str, limit: Duration, happened: impl Fn() -> bool) {
    let looking = async {
        while !happened() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(limit, looking).await.is_ok(), "{what}: not within {limit:?}");
}

/// A name that no other test and no other run has: for repositories, tags and labels on shared engines.
pub(crate) fn unique(what: &str) -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    format!("polyarch-test-{}-{}-{what}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}
