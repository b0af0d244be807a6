//! The machines of a CI system: a checkout, an engine, a registry with a login, and the releases of polyarch.

use std::fs;
use std::path::{Path, PathBuf};

use polyarch::oci::Digest;

use crate::project::{BUSYBOX, Project};
use crate::support::distribution::{Distribution, PASSWORD, Setup, USER};
use crate::support::engines::Engine;
use crate::support::parts;
use crate::support::program::{Finished, Run};
use crate::support::scripted_registry::{ScriptedRegistry, status};

/// The address of releases in the examples.
const RELEASES: &str = "https://github.com/OWNER/polyarch/releases/download";
const DOWNLOADS: &str = "OWNER/polyarch/releases/download";
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The shell that a system runs a script in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shell {
    /// `sh -e`
    Posix,
    /// `bash -e -o pipefail`, as GitHub starts it for `shell: bash`.
    Bash,
}

/// A script with its variables.
#[derive(Debug, Clone, Default)]
pub(crate) struct Step {
    pub(crate) script: String,
    pub(crate) env: Vec<(String, String)>,
}

/// It ends with the value.
pub(crate) struct System {
    project: Project,
    registry: Distribution,
    /// The server of the releases.
    server: ScriptedRegistry,
    sha: String,
}

impl System {
    /// The checkout has the plans of the examples, and a Dockerfile that runs a program of its platform.
    pub(crate) async fn new(engine: Engine, what: &str) -> Self {
        let project = Project::new(engine, what);
        let folder = project.home.path().join("server");
        let server = ScriptedRegistry::stateful(move |request| {
            let found = fs::read(folder.join(request.target.trim_start_matches('/')));
            Some(found.map_or_else(|_| status(404), |bytes| status(200).body(bytes)))
        });
        let (registry, sha) = (Distribution::start(Setup::Login), String::new());
        let mut system = Self { project, registry, server: server.await, sha };
        parts::add_busybox(&system.checkout());
        system.project.write("Dockerfile", format!("{BUSYBOX}RUN [\"/bin/busybox\", \"touch\", \"/made\"]\n"));
        for plan in ["build.yaml", "build-features.yaml", "build-buildx.yaml"] {
            system.project.write(plan, system.example(plan));
        }
        system.release();
        system.commit();
        system
    }

    /// Makes the checkout a repository of git.
    fn commit(&mut self) {
        let script =
            "git init -q && git add . && git -c user.name=t -c user.email=t@t commit -qm first && git rev-parse HEAD";
        let made = std::process::Command::new("sh").args(["-ec", script]).current_dir(self.checkout()).output();
        self.sha = parts::printed(&made.unwrap());
    }

    /// The commit that the pipeline runs for.
    pub(crate) fn sha(&self) -> &str {
        &self.sha
    }

    /// Publishes this program as a release: the archive, its sum and the script that installs it.
    fn release(&self) {
        let name = format!("polyarch-{VERSION}-x86_64-unknown-linux-musl");
        let program = format!("#!/bin/sh\nexec {} \"$@\"\n", env!("CARGO_BIN_EXE_polyarch"));
        self.project.write(&format!("packed/{name}/polyarch"), program);
        let (release, packed) = (self.releases().join(format!("v{VERSION}")), self.project.path("packed"));
        fs::create_dir_all(&release).unwrap();
        let archive = release.join(format!("{name}.tar.gz"));
        let tar =
            std::process::Command::new("tar").arg("-czf").arg(&archive).arg("-C").arg(&packed).arg(&name).status();
        assert!(tar.unwrap().success());
        fs::remove_dir_all(packed).unwrap();
        fs::write(release.join("SHA256SUMS"), format!("{}  {name}.tar.gz\n", sum(&archive))).unwrap();
        fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/install.sh"), release.join("install.sh")).unwrap();
    }

    /// The SHA-256 of the archive of the release.
    pub(crate) fn sum(&self) -> String {
        let release = self.releases().join(format!("v{VERSION}"));
        sum(&release.join(format!("polyarch-{VERSION}-x86_64-unknown-linux-musl.tar.gz")))
    }

    fn releases(&self) -> PathBuf {
        self.project.home.path().join("server").join(DOWNLOADS)
    }

    /// The address in the place of GitHub's server.
    pub(crate) fn server(&self) -> String {
        format!("http://{}", self.server.host())
    }

    pub(crate) fn checkout(&self) -> PathBuf {
        self.project.path("")
    }

    /// A directory of the runner's own.
    pub(crate) fn own(&self, name: &str) -> PathBuf {
        self.project.home.path().join(name)
    }

    /// `HOST/acme`.
    pub(crate) fn registry(&self) -> String {
        format!("{}/acme", self.registry.address())
    }

    pub(crate) fn login(&self) -> [(&'static str, String); 3] {
        [("server", self.registry.address().to_string()), ("user", USER.to_owned()), ("password", PASSWORD.to_owned())]
    }

    /// A file of `examples/ci` with the addresses of this system.
    pub(crate) fn example(&self, name: &str) -> String {
        self.addressed(&format!("examples/ci/{name}"))
    }

    /// A file of the repository with the addresses of this system.
    pub(crate) fn addressed(&self, path: &str) -> String {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
        let releases = format!("{}/{DOWNLOADS}", self.server());
        text.replace(RELEASES, &releases).replace("ghcr.io", &self.registry.address().to_string())
    }

    /// A run of a script on a runner. `path` comes first in its PATH.
    pub(crate) fn shell(&self, shell: Shell, step: &Step, path: &str) -> Run {
        let (program, options): (_, &[&str]) = match shell {
            Shell::Posix => ("sh", &["-e", "-c"]),
            Shell::Bash => ("bash", &["--noprofile", "--norc", "-e", "-o", "pipefail", "-c"]),
        };
        let run = Run::of(program, &self.project.home, [options, &[&step.script]].concat());
        let run = run.folder(self.checkout()).env("DOCKER_HOST", &self.project.engine.host);
        let run = run.env("PATH", format!("{path}:/usr/local/bin:/usr/bin:/bin"));
        step.env.iter().fold(run, |run, (name, value)| run.env(name, value))
    }

    /// Runs the steps one after the other.
    pub(crate) async fn run(&self, shell: Shell, steps: &[Step]) {
        for step in steps {
            let path = self.own("bin").display().to_string();
            let ran = self.shell(shell, step, &path).finish().await;
            assert_eq!(ran.code(), 0, "{}\n{}\n{}", step.script, ran.stdout, ran.stderr);
        }
    }

    /// The index that the pipeline published. It is what the plan says.
    pub(crate) async fn index(&self, plan: &str) -> String {
        let run = |args: &[&str]| self.project.command(args);
        let registry = self.registry();
        run(&["verify", "-f", plan, "--registry", &registry]).finish().await.expect_code(0);
        let inspected: Finished = run(&["inspect", "--json", &format!("{registry}/hello:latest")]).finish().await;
        inspected.expect_code(0).stdout
    }
}

fn sum(file: &Path) -> String {
    Digest::of(&fs::read(file).unwrap()).to_string().replace("sha256:", "")
}
