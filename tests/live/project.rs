//! A folder with a plan, and an engine that builds it.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::engines::{Cleanup, Engine};
use crate::support::parts;
use crate::support::program::{Finished, Home, Run, Running};

/// Makes two tests of each body: one on the engine with a graph driver, one on that with containerd's store.
macro_rules! on_both_engines {
    ($($body:ident),+ $(,)?) => {
        mod on_the_old_engine {
            $(#[tokio::test]
            async fn $body() {
                super::$body(crate::support::engines::Engine::old()).await;
            })+
        }
        mod on_the_new_engine {
            $(#[tokio::test]
            async fn $body() {
                super::$body(crate::support::engines::Engine::new()).await;
            })+
        }
    };
}

/// Makes one more test of a body of [`on_both_engines`]: on the newer engine with a graph driver.
macro_rules! on_the_graph_engine {
    ($($body:ident),+ $(,)?) => {
        mod on_the_graph_engine {
            $(#[tokio::test]
            async fn $body() {
                super::$body(crate::support::engines::Engine::graph()).await;
            })+
        }
    };
}

/// A Dockerfile that gives every platform a shell, and goes on with what a test adds.
pub(crate) const BUSYBOX: &str = "\
FROM scratch
ARG TARGETARCH
ARG TARGETVARIANT
COPY busybox-${TARGETARCH}${TARGETVARIANT} /bin/busybox
";

/// A plan's folder with a name that nobody else has. What it made is taken off the engine when it is dropped.
#[derive(Debug)]
pub(crate) struct Project {
    /// The name of its image, and of the image's repository.
    pub(crate) name: String,
    pub(crate) engine: Engine,
    pub(crate) home: Home,
    folder: TempDir,
    _cleanup: Cleanup,
}

impl Project {
    pub(crate) fn new(engine: Engine, what: &str) -> Self {
        let name = parts::unique(what);
        let folder = TempDir::with_prefix("polyarch-test-").unwrap();
        fs::create_dir(folder.path().join("context")).unwrap();
        Self { home: Home::new(), folder, _cleanup: engine.cleanup(&name), engine, name }
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// The folder `context`, which the plan of [`Self::plan`] builds.
    pub(crate) fn context(&self) -> PathBuf {
        self.path("context")
    }

    /// Writes a file, and the folders above it.
    pub(crate) fn write(&self, path: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// Writes `context/Dockerfile`: a shell, and then `steps`.
    pub(crate) fn busybox(&self, steps: &str) {
        parts::add_busybox(&self.context());
        self.write("context/Dockerfile", format!("{BUSYBOX}{steps}"));
    }

    /// Writes the plan of one image: `context`, the tags `1.0` and `latest`, and `settings`, lines in YAML.
    pub(crate) fn plan(&self, registry: impl std::fmt::Display, settings: &str) {
        let settings = settings.replace('\n', "\n    ");
        let name = &self.name;
        self.write(
            "build.yaml",
            format!(
                "version: 1\nregistry: {registry}\nimages:\n  {name}:\n    context: context\n    \
                 tags: [\"1.0\", latest]\n    {settings}\n"
            ),
        );
    }

    pub(crate) fn command(&self, args: &[&str]) -> Run {
        Run::new(&self.home, args).folder(self.folder.path()).env("DOCKER_HOST", &self.engine.host)
    }

    pub(crate) fn start(&self, args: &[&str]) -> Running {
        self.command(args).start()
    }

    pub(crate) async fn run(&self, args: &[&str]) -> Finished {
        self.command(args).finish().await
    }

    /// `polyarch build` to its good end, with more arguments. Gives the report.
    pub(crate) async fn build(&self, args: &[&str]) -> Value {
        let report = self.path("report.json");
        let all = [&["build", "--report", report.to_str().unwrap()], args].concat();
        self.run(&all).await.expect_code(0);
        read_json(&report)
    }

    /// `registry/name:tag`.
    pub(crate) fn reference(&self, registry: impl std::fmt::Display, tag: &str) -> String {
        format!("{registry}/{}:{tag}", self.name)
    }
}

pub(crate) fn read_json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// What a tool of somebody else prints about an image in a registry.
pub(crate) async fn crane(args: &[&str]) -> String {
    parts::printed(&parts::tool("crane", args).await)
}

/// The config of an image of an index, as crane reads it.
pub(crate) async fn config(reference: &str, platform: &str) -> Value {
    serde_json::from_str(&crane(&["config", "--platform", platform, reference]).await).unwrap()
}
