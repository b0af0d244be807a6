//! `scripts/install.sh` compares the sum of an archive before it installs the program, and names each problem.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use polyarch::oci::Digest;
use tempfile::TempDir;
use tokio::process::Command;

use crate::support::fetched::Fetched;
use crate::support::parts;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A folder of releases with one archive, and a home that the program is installed into.
struct Machine {
    folder: TempDir,
}

impl Machine {
    /// The archive has a program of two lines, because the script treats all programs alike.
    async fn new() -> Self {
        let machine = Self { folder: TempDir::with_prefix("polyarch-test-").unwrap() };
        let name = format!("polyarch-{VERSION}-x86_64-unknown-linux-musl");
        let packed = machine.path("packed").join(&name);
        fs::create_dir_all(&packed).unwrap();
        write_program(&packed.join("polyarch"), &format!("echo polyarch {VERSION}"));
        fs::create_dir_all(machine.release()).unwrap();
        machine.pack().await;
        machine
    }

    /// Packs the folder of the program, and writes the sum.
    async fn pack(&self) {
        let mut tar = Command::new("tar");
        tar.arg("-czf").arg(self.archive()).arg("-C").arg(self.path("packed"));
        tar.arg(format!("polyarch-{VERSION}-x86_64-unknown-linux-musl"));
        parts::printed(&parts::output(tar).await);
        self.write_sums(&self.sum(), self.archive().file_name().unwrap().to_str().unwrap());
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn release(&self) -> PathBuf {
        self.path("releases").join(format!("v{VERSION}"))
    }

    fn archive(&self) -> PathBuf {
        self.release().join(format!("polyarch-{VERSION}-x86_64-unknown-linux-musl.tar.gz"))
    }

    fn installed(&self) -> PathBuf {
        self.path("home/.local/bin/polyarch")
    }

    fn sum(&self) -> String {
        Digest::of(&fs::read(self.archive()).unwrap()).to_string().replace("sha256:", "")
    }

    fn write_sums(&self, sum: &str, file: &str) {
        fs::write(self.release().join("SHA256SUMS"), format!("{sum}  {file}\n")).unwrap();
    }

    fn directory(&self) -> String {
        format!("file://{}", self.path("releases").display())
    }

    /// Runs the script on a Linux machine with an `x86_64` processor, whichever one runs this test, and returns its stderr.
    async fn install(&self, releases: &str, settings: &[(&str, &str)]) -> Result<String, String> {
        let tools = self.path("tools");
        fs::create_dir_all(&tools).unwrap();
        if !tools.join("uname").exists() {
            self.set_machine("Linux", "x86_64");
        }
        let mut script = Command::new("sh");
        script
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/install.sh"))
            .env_clear()
            .env("PATH", format!("{}:/usr/bin:/bin", tools.display()))
            .env("HOME", self.path("home"))
            .env("TMPDIR", self.folder.path())
            .env("POLYARCH_RELEASES", releases)
            .envs(settings.iter().copied());
        let output = parts::output(script).await;
        let stderr = String::from_utf8(output.stderr).unwrap();
        if output.status.success() { Ok(stderr) } else { Err(stderr) }
    }

    /// The script asks `uname` for the machine.
    fn set_machine(&self, system: &str, processor: &str) {
        fs::create_dir_all(self.path("tools")).unwrap();
        let answers = format!("case $1 in -s) echo {system} ;; -m) echo {processor} ;; esac");
        write_program(&self.path("tools/uname"), &answers);
    }

    /// The script failed with an error and a hint, and left nothing.
    fn assert_refused(&self, ran: Result<String, String>, error: &str) {
        let stderr = ran.unwrap_err();
        assert!(stderr.contains(&format!("error: {error}")), "{stderr}");
        assert!(stderr.lines().last().unwrap().starts_with("hint: "), "{stderr}");
        let bin = self.installed().parent().unwrap().to_owned();
        assert!(!bin.exists() || names(&bin).is_empty(), "{stderr}");
        assert!(!names(self.folder.path()).iter().any(|name| name.starts_with("tmp")), "{stderr}");
    }
}

fn write_program(path: &Path, line: &str) {
    fs::write(path, format!("#!/bin/sh\n{line}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// The names in a folder.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn installer_installs_from_a_directory_and_leaves_no_rest() {
    let machine = Machine::new().await;
    let stderr = machine.install(&machine.directory(), &[]).await.unwrap();
    assert!(stderr.starts_with(&format!("installed polyarch {VERSION} as ")), "{stderr}");
    assert!(stderr.contains("to your PATH"), "{stderr}");
    assert_eq!(names(machine.installed().parent().unwrap()), ["polyarch"]);
    assert_eq!(names(machine.folder.path()), ["home", "packed", "releases", "tools"]);
}

#[tokio::test]
async fn installer_replaces_an_older_program() {
    let machine = Machine::new().await;
    let bin = machine.path("bin");
    fs::create_dir(&bin).unwrap();
    write_program(&bin.join("polyarch"), "echo polyarch 0.0.1");
    let settings = [("POLYARCH_BIN", bin.to_str().unwrap())];
    machine.install(&machine.directory(), &settings).await.unwrap();
    let printed = parts::printed(&parts::output(Command::new(bin.join("polyarch"))).await);
    assert_eq!(printed, format!("polyarch {VERSION}"));
    assert!(!machine.path("home").exists());
}

#[tokio::test]
async fn installer_downloads_from_a_web_server() {
    let machine = Machine::new().await;
    let server = Fetched::serve(machine.folder.path(), None).await;
    machine.install(&server.url("releases/"), &[]).await.unwrap();
    assert!(machine.installed().exists());
}

#[tokio::test]
async fn installer_refuses_an_archive_with_a_wrong_sum() {
    let machine = Machine::new().await;
    let (right, wrong) = (machine.sum(), "0".repeat(64));
    let refused = machine.install(&machine.directory(), &[("POLYARCH_SHA256", &wrong)]).await;
    machine.assert_refused(refused, "the SHA-256 of ");
    // The sum that the user has takes precedence over the sum beside the archive.
    machine.write_sums(&wrong, machine.archive().file_name().unwrap().to_str().unwrap());
    let refused = machine.install(&machine.directory(), &[]).await;
    machine.assert_refused(refused, "the SHA-256 of ");
    let part = right[..63].to_owned();
    let refused = machine.install(&machine.directory(), &[("POLYARCH_SHA256", &part)]).await;
    machine.assert_refused(refused, "the SHA-256 of ");
    machine.install(&machine.directory(), &[("POLYARCH_SHA256", &right)]).await.unwrap();
    // Runners of two processors share the variable.
    let both = format!("{wrong} {right}");
    machine.install(&machine.directory(), &[("POLYARCH_SHA256", &both)]).await.unwrap();
}

#[tokio::test]
async fn installer_refuses_an_archive_without_a_sum() {
    let machine = Machine::new().await;
    machine.write_sums(&machine.sum(), "another.tar.gz");
    let refused = machine.install(&machine.directory(), &[]).await;
    machine.assert_refused(refused, &format!("file://{}/SHA256SUMS has no line for", machine.release().display()));
    fs::remove_file(machine.release().join("SHA256SUMS")).unwrap();
    let refused = machine.install(&machine.directory(), &[]).await;
    machine.assert_refused(refused, &format!("file://{}/SHA256SUMS does not exist", machine.release().display()));
}

#[tokio::test]
async fn installer_names_the_address_of_a_missing_version() {
    let machine = Machine::new().await;
    let server = Fetched::serve(machine.folder.path(), None).await;
    for releases in [machine.directory(), server.url("releases")] {
        let refused = machine.install(&releases, &[("POLYARCH_VERSION", "9.9.9")]).await;
        machine.assert_refused(refused, &format!("{releases}/v9.9.9/polyarch-9.9.9-x86_64-unknown-linux-musl.tar.gz"));
    }
    machine.assert_refused(machine.install("ftp://localhost", &[]).await, "POLYARCH_RELEASES is not an address");
    machine.assert_refused(machine.install("", &[]).await, "polyarch has no public releases yet");
}

#[tokio::test]
async fn installer_refuses_an_unknown_processor_or_system() {
    let machine = Machine::new().await;
    for (system, processor, error) in [
        ("Linux", "riscv64", "polyarch has no archive for the processor riscv64"),
        ("FreeBSD", "x86_64", "polyarch has no archive for the system FreeBSD"),
    ] {
        machine.set_machine(system, processor);
        machine.assert_refused(machine.install(&machine.directory(), &[]).await, error);
    }
    machine.set_machine("Darwin", "arm64");
    let refused = machine.install(&machine.directory(), &[]).await;
    machine.assert_refused(
        refused,
        &format!("file://{}/polyarch-{VERSION}-aarch64-apple-darwin", machine.release().display()),
    );
}

#[tokio::test]
async fn installer_refuses_a_program_that_does_not_run() {
    let machine = Machine::new().await;
    let name = format!("polyarch-{VERSION}-x86_64-unknown-linux-musl");
    write_program(&machine.path("packed").join(&name).join("polyarch"), "exit 127");
    machine.pack().await;
    let refused = machine.install(&machine.directory(), &[]).await;
    machine.assert_refused(refused, "the program of ");
}

#[test]
fn installer_installs_its_own_version() {
    let script = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/install.sh")).unwrap();
    assert!(script.contains(&format!("version=${{POLYARCH_VERSION:-{VERSION}}}")));
}
