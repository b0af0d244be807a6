//! The program under test, run as a user would, with nothing of this machine's settings in sight.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::parts::LIMIT;
use super::schema;

/// What a user has at home: an empty home, docker's configuration, the embedded registry. Runs may share one.
#[derive(Debug)]
pub(crate) struct Home(TempDir);

impl Home {
    pub(crate) fn new() -> Self {
        let home = Self(TempDir::with_prefix("polyarch-test-").unwrap());
        for folder in [home.docker_config(), home.polyarch(), home.0.path().join("tmp")] {
            fs::create_dir(folder).unwrap();
        }
        home
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// `DOCKER_CONFIG`: where `config.json` is read from.
    pub(crate) fn docker_config(&self) -> PathBuf {
        self.0.path().join("docker")
    }

    /// `POLYARCH_HOME`: where the embedded registry keeps what it has.
    pub(crate) fn polyarch(&self) -> PathBuf {
        self.0.path().join("polyarch")
    }
}

/// One run of the program: `Run::new(&home, ["plan"]).folder(context).finish().await`.
#[derive(Debug)]
#[must_use = "a run does nothing until it is started"]
pub(crate) struct Run {
    command: Command,
}

impl Run {
    pub(crate) fn new(home: &Home, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        Self::of(env!("CARGO_BIN_EXE_polyarch"), home, args)
    }

    /// Another program in the place of ours: a shell that starts it in some way.
    pub(crate) fn of(program: &str, home: &Home, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        let mut command = Command::new(program);
        command
            .args(args)
            .current_dir(home.path())
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", home.path())
            .env("TMPDIR", home.path().join("tmp"))
            .env("DOCKER_CONFIG", home.docker_config())
            .env("POLYARCH_HOME", home.polyarch())
            .env("COLUMNS", "120")
            .env("LANG", "C.UTF-8")
            .env("TZ", "UTC")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        Self { command }
    }

    /// Where it runs: the home if this is not said.
    pub(crate) fn folder(mut self, folder: impl AsRef<Path>) -> Self {
        self.command.current_dir(folder);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.command.env(name, value.into());
        self
    }

    /// What it finds on its standard input: nothing if this is not said.
    pub(crate) fn input(mut self, file: impl AsRef<Path>) -> Self {
        self.command.stdin(fs::File::open(file).unwrap());
        self
    }

    /// The run as a script of a shell, for a terminal that starts it.
    pub(crate) fn script(&self) -> String {
        let quoted = |text: &OsStr| format!("'{}'", text.to_str().unwrap().replace('\'', "'\\''"));
        let command = self.command.as_std();
        let set = command.get_envs().filter_map(|(name, value)| {
            // The terminal says how wide it is.
            let value = value.filter(|_| name != "COLUMNS")?;
            Some(format!("{}={}", name.to_str().unwrap(), quoted(value)))
        });
        let words = command.get_args().map(quoted);
        let words: Vec<_> = set.chain([quoted(command.get_program())]).chain(words).collect();
        let folder = quoted(command.get_current_dir().unwrap().as_os_str());
        format!("cd {folder} && exec env -i TERM=\"$TERM\" {}\n", words.join(" "))
    }

    pub(crate) fn start(mut self) -> Running {
        let mut child = self.command.spawn().unwrap_or_else(|error| panic!("{:?}: {error}", self.command));
        let stdout = Stream::read(child.stdout.take().unwrap());
        let stderr = Stream::read(child.stderr.take().unwrap());
        let command = self.command.as_std();
        let mut words = command.get_args().skip_while(|word| *word != "--report").skip(1);
        let report = words.next().map(|file| command.get_current_dir().unwrap().join(file));
        let args = command.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
        Running { child, stdout, stderr, args, report }
    }

    /// Starts it and waits for its end.
    pub(crate) async fn finish(self) -> Finished {
        self.start().finish().await
    }
}

/// A run that was started. Dropping it kills the program.
#[derive(Debug)]
#[must_use = "dropping it kills the program: `finish` waits for its end"]
pub(crate) struct Running {
    child: Child,
    stdout: Stream,
    stderr: Stream,
    args: Vec<String>,
    /// The file of `--report`.
    report: Option<PathBuf>,
}

impl Running {
    /// Waits until a line on standard output contains a text, and gives that line.
    pub(crate) async fn stdout_line(&mut self, text: &str) -> String {
        self.stdout.line(text).await
    }

    /// Waits until a line on standard error contains a text, and gives that line.
    pub(crate) async fn stderr_line(&mut self, text: &str) -> String {
        self.stderr.line(text).await
    }

    pub(crate) fn pid(&self) -> Pid {
        let id = self.child.id().expect("the program was not waited for yet");
        Pid::from_raw(i32::try_from(id).unwrap()).unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        rustix::process::kill_process(self.pid(), signal).unwrap();
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Waits for its end, and for the end of what it printed. Its report, its events and its results keep to their schemas.
    pub(crate) async fn finish(mut self) -> Finished {
        let Ok(status) = timeout(LIMIT, self.child.wait()).await else {
            let (stdout, stderr) = (self.stdout.so_far(), self.stderr.so_far());
            panic!("the program was not done after {LIMIT:?}\nstdout:\n{stdout}\nstderr:\n{stderr}");
        };
        let (stdout, stderr) = (self.stdout.all().await, self.stderr.all().await);
        schema::hold_events(&stderr);
        schema::hold_results(&self.args, &stdout);
        self.report.iter().for_each(|report| schema::hold_report(report));
        Finished { status: status.unwrap(), stdout, stderr }
    }
}

/// A run that came to its end.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Finished {
    /// Its exit code; 128 and the signal's number if it was ended by one, as a shell says it.
    pub(crate) fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| 128 + self.status.signal().unwrap_or_default())
    }

    /// Fails with all that it printed if the exit code is another.
    pub(crate) fn expect_code(self, code: i32) -> Self {
        let Self { status, stdout, stderr } = &self;
        assert_eq!(self.code(), code, "{status}\nstdout:\n{stdout}\nstderr:\n{stderr}");
        self
    }
}

/// What comes out of a pipe, kept while it comes.
#[derive(Debug)]
struct Stream {
    bytes: watch::Receiver<Vec<u8>>,
    reader: JoinHandle<()>,
}

impl Stream {
    fn read(mut pipe: impl AsyncRead + Unpin + Send + 'static) -> Self {
        let (sender, bytes) = watch::channel(Vec::new());
        let reader = tokio::spawn(async move {
            let mut chunk = vec![0; 64 * 1024];
            while let Ok(length @ 1..) = pipe.read(&mut chunk).await {
                sender.send_modify(|bytes| bytes.extend_from_slice(&chunk[..length]));
            }
        });
        Self { bytes, reader }
    }

    async fn line(&mut self, text: &str) -> String {
        let mut found = None;
        let waited = timeout(
            LIMIT,
            self.bytes.wait_for(|bytes| {
                found = complete_line(bytes, text);
                found.is_some()
            }),
        )
        .await
        .is_ok_and(|printed| printed.is_ok());
        match found {
            Some(line) if waited => line,
            _ => panic!("no line contains {text:?}; it printed:\n{}", self.so_far()),
        }
    }

    fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.bytes.borrow()).into_owned()
    }

    /// All of it. A process that the program left behind may hold the pipe open: that is a fault, found here.
    async fn all(self) -> String {
        let end = timeout(LIMIT, self.reader).await;
        let printed = String::from_utf8_lossy(&self.bytes.borrow()).into_owned();
        assert!(end.is_ok(), "the program ended but left somebody who holds its output; it printed:\n{printed}");
        printed
    }
}

fn complete_line(bytes: &[u8], text: &str) -> Option<String> {
    let ended = &bytes[..=bytes.iter().rposition(|byte| *byte == b'\n')?];
    String::from_utf8_lossy(ended).lines().find(|line| line.contains(text)).map(str::to_owned)
}

/// The tests of the runner use a shell in the program's place.
fn shell(home: &Home, script: &str) -> Run {
    Run::of("/bin/sh", home, ["-c", script])
}

#[tokio::test]
async fn test_run_sees_no_settings_of_the_machine() {
    let home = Home::new();
    let ran =
        shell(&home, "env | cut -d= -f1 | sort | tr '\\n' ' '; cat").env("CI", "true").finish().await.expect_code(0);
    // PWD is the shell's own.
    assert_eq!(ran.stdout, "CI COLUMNS DOCKER_CONFIG HOME LANG PATH POLYARCH_HOME PWD TMPDIR TZ ");
}

#[tokio::test]
async fn test_run_can_be_awaited_by_line_and_signalled() {
    let home = Home::new();
    let mut running = shell(&home, "trap 'echo stopped; exit 7' TERM; echo up >&2; while :; do :; done").start();
    assert_eq!(running.stderr_line("up").await, "up");
    running.signal(Signal::TERM);
    assert_eq!(running.finish().await.expect_code(7).stdout, "stopped\n");
}

#[tokio::test]
#[should_panic(expected = "no line contains \"never\"; it printed:\nother\n")]
async fn missing_output_line_fails_with_the_printed_output() {
    let home = Home::new();
    let _ = shell(&home, "echo other").start().stdout_line("never").await;
}
