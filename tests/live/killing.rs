//! A build is killed at requests of its registry, the engine's among them, and run again.
//!
//! `POLYARCH_TEST_KILLS=200` goes round all of them that often; without it ten are taken that are spread over a run.

use rustix::process::Signal;
use serde_json::Value;

use crate::project::{Project, crane};
use crate::support::distribution::{Distribution, Setup};
use crate::support::engines::Engine;
use crate::support::gate::Gate;

const TAGS: [&str; 2] = ["1.0", "latest"];

struct Gated {
    project: Project,
    registry: Distribution,
    gate: Gate,
}

impl Gated {
    async fn new(engine: Engine) -> Self {
        let registry = Distribution::start(Setup::Plain);
        let gate = Gate::before(&registry.base()).await;
        let project = Project::new(engine, "killed");
        project.plan(gate.address, "platforms: [linux/amd64, linux/arm64]");
        Self { project, registry, gate }
    }

    /// Makes the next build one with layers of its own.
    fn alter(&self, round: &str) {
        // Of each platform, too: docker-registry 2.8 may refuse two pushes of one layer at once.
        for arch in ["amd64", "arm64"] {
            let content = format!("{} {arch} {round}", self.project.name).repeat(1000);
            self.project.write(&format!("context/content-{arch}"), content);
        }
        let dockerfile = "FROM scratch\nARG TARGETARCH\nCOPY content-${TARGETARCH} /content\n";
        self.project.write("context/Dockerfile", dockerfile);
    }

    async fn build(&mut self) {
        let building = self.project.start(&["build"]).finish();
        self.gate.open(building).await.expect_code(0);
    }

    /// How many requests a build has that nobody kills.
    async fn requests(&mut self) -> usize {
        let mut building = Box::pin(self.project.start(&["build"]).finish());
        for count in 0.. {
            tokio::select! {
                ended = &mut building => {
                    ended.expect_code(0);
                    return count;
                }
                waiting = self.gate.next() => waiting.pass(),
            }
        }
        unreachable!("a build ends")
    }

    /// Kills a build at its request of this number, from 0; of ours it is not answered. What the engine still does goes
    /// on. One that needs fewer requests comes to its end.
    async fn kill(&mut self, place: usize) {
        let running = self.project.start(&["build"]);
        let (pid, mut end) = (running.pid(), Box::pin(running.finish()));
        for _ in 0..place {
            tokio::select! {
                ended = &mut end => return drop(ended.expect_code(0)),
                waiting = self.gate.next() => waiting.pass(),
            }
        }
        let waiting = tokio::select! {
            ended = &mut end => return drop(ended.expect_code(0)),
            waiting = self.gate.next() => waiting,
        };
        // Every other one is done by the registry.
        if waiting.is_ours && place.is_multiple_of(2) {
            waiting.swallow().await;
        } else if !waiting.is_ours {
            waiting.pass();
        }
        rustix::process::kill_process(pid, Signal::KILL).unwrap();
        self.gate.open(end).await.expect_code(137);
    }

    /// The digest of the index under each tag, which is whole.
    async fn shown(&self) -> Vec<String> {
        let mut shown = Vec::new();
        for tag in TAGS {
            let reference = self.project.reference(self.registry.address(), tag);
            let verified = self.project.run(&["verify", &reference]).await.expect_code(0);
            let index: Value = serde_json::from_str(&crane(&["manifest", &reference]).await).unwrap();
            assert_eq!(index["manifests"].as_array().unwrap().len(), TAGS.len(), "{index}");
            shown.push(verified.stdout);
        }
        shown
    }
}

#[expect(clippy::print_stdout, reason = "how much was tried, for who asked for more")]
async fn build_killed_at_any_request_leaves_whole_indexes(engine: Engine) {
    let mut gated = Gated::new(engine).await;
    gated.alter("first");
    gated.build().await;
    gated.alter("second");
    let requests = gated.requests().await;
    let rounds: Option<usize> = std::env::var("POLYARCH_TEST_KILLS").ok().map(|kills| kills.parse().unwrap());
    let places: Vec<usize> = match rounds {
        Some(rounds) => (0..requests).cycle().take(rounds).collect(),
        None => (0..10).map(|tenth| tenth * requests / 10).chain([requests - 1]).collect(),
    };
    for (round, place) in places.iter().enumerate() {
        let before = gated.shown().await;
        gated.alter(&format!("of round {round}"));
        gated.kill(*place).await;
        let after = gated.shown().await;
        gated.build().await;
        let last = gated.shown().await;
        assert!(last.iter().all(|index| *index == last[0] && *index != before[0]), "{place}: {last:?}");
        for index in after {
            assert!(index == before[0] || index == last[0], "{place}: {index} is of neither run");
        }
    }
    println!("{} kills of {requests} requests", places.len());
}

on_both_engines!(build_killed_at_any_request_leaves_whole_indexes);
