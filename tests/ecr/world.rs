//! One engine, and the account of one user in one region.

use std::fs;

use crate::support::program::{Finished, Home, Run};
use crate::support::scripted_ecr::ScriptedEcr;
use crate::support::scripted_engine::{Script, ScriptedEngine};
use crate::support::store::Store;

/// Who the user is at AWS. Neither key may be seen anywhere.
pub(crate) const KEYS: [(&str, &str); 3] = [
    ("AWS_ACCESS_KEY_ID", "AKIACANARYACCESSKEY0"),
    ("AWS_SECRET_ACCESS_KEY", "canary-secret-access-key"),
    ("AWS_SESSION_TOKEN", "canary-session-token"),
];

/// Two platforms under two tags.
pub(crate) const HELLO: &str = "
images:
  hello:
    context: context
    tags: [\"1.0\", latest]
    platforms: [linux/amd64, linux/arm64]
";

pub(crate) struct Aws {
    pub(crate) home: Home,
    pub(crate) ecr: ScriptedEcr,
    pub(crate) engine: ScriptedEngine,
}

impl Aws {
    /// No repository is there; the plan is [`HELLO`].
    pub(crate) async fn start() -> Self {
        Self::around(ScriptedEcr::start().await)
    }

    pub(crate) fn around(ecr: ScriptedEcr) -> Self {
        let engine = ScriptedEngine::start(Script::default().push(ecr.pushes()), &Store::default());
        let home = Home::new();
        fs::create_dir(home.path().join("context")).unwrap();
        fs::write(home.path().join("context/Dockerfile"), "FROM scratch\nCOPY Dockerfile /\n").unwrap();
        let aws = Self { home, ecr, engine };
        aws.plan(HELLO);
        aws
    }

    /// Writes the plan: all but its version and its registry.
    pub(crate) fn plan(&self, rest: &str) {
        self.plan_at(&format!("{{ type: ecr, host: \"{}\" }}", self.ecr.host()), rest);
    }

    pub(crate) fn plan_at(&self, registry: &str, rest: &str) {
        fs::write(self.home.path().join("build.yaml"), format!("version: 1\nregistry: {registry}\n{rest}")).unwrap();
    }

    /// The program as somebody whom AWS does not know.
    pub(crate) fn run_as_nobody(&self, args: &[&str]) -> Run {
        self.run_nowhere(args).env("AWS_REGION", "us-east-1")
    }

    /// The same in no region.
    pub(crate) fn run_nowhere(&self, args: &[&str]) -> Run {
        Run::new(&self.home, args)
            .env("DOCKER_HOST", self.engine.host())
            .env("AWS_ENDPOINT_URL", self.ecr.endpoint())
            .env("AWS_EC2_METADATA_DISABLED", "true")
    }

    /// The program as the user of [`KEYS`].
    pub(crate) fn run(&self, args: &[&str]) -> Run {
        with_keys(self.run_as_nobody(args))
    }

    pub(crate) async fn build(&self) -> Finished {
        self.run(&["build", "--progress", "plain", "--report", "report.json"]).finish().await
    }
}

/// A run as the user of [`KEYS`].
pub(crate) fn with_keys(run: Run) -> Run {
    KEYS.iter().fold(run, |run, (name, value)| run.env(name, *value))
}

/// Fails with all that was printed unless stderr has every text.
pub(crate) fn says(finished: &Finished, texts: &[&str]) {
    for text in texts {
        assert!(finished.stderr.contains(text), "stderr does not say {text:?}:\n{}", finished.stderr);
    }
}
