//! The program is killed between any two requests, and run again: a tag shows an index of before or of after, whole.
//!
//! Each request of a run is a point: killed before the registry has it, and, where it changes something, after the
//! registry did it and before the answer. `POLYARCH_TEST_KILLS=200` goes round that often.

use rustix::process::Signal;

use super::push_of;
use crate::registry_conformance::peer::Peer;
use crate::support::distribution::{Distribution, Setup};
use crate::support::gate::Gate;
use crate::support::program::{Home, Run};

/// Where a run is killed.
#[derive(Debug, Clone, Copy)]
enum Point {
    /// At its request of this number, from 0, before the registry has it.
    Before(usize),
    /// After the registry did what it asks, and before the answer.
    After(usize),
}

struct Gated {
    registry: Distribution,
    gate: Gate,
    home: Home,
    /// The indexes of before and after, by digest.
    indexes: [String; 2],
    /// What is put over the old index at `TO/web`, from `AT`.
    args: fn(at: &str, to: &str) -> Vec<String>,
}

impl Gated {
    async fn new(args: fn(&str, &str) -> Vec<String>) -> Self {
        let registry = Distribution::start(Setup::Plain);
        let gate = Gate::before(&registry.base()).await;
        let mut gated = Self { gate, home: Home::new(), indexes: Default::default(), args, registry };
        for (place, author) in ["old", "new"].into_iter().enumerate() {
            let peer = Peer::new(&gated.registry.base(), author);
            for arch in ["amd64", "arm64"] {
                push_of(&peer, arch, arch, author).await;
            }
            let index = [format!("{author}:index")];
            gated.join(author, &index).await;
            gated.indexes[place] = gated.shown(&index).await.remove(0);
        }
        assert_ne!(gated.indexes[0], gated.indexes[1]);
        gated
    }

    /// Joins what `author` made, past the gate.
    async fn join(&self, author: &str, targets: &[String]) {
        let address = self.registry.address();
        let targets = targets.iter().flat_map(|target| ["-t".to_owned(), format!("{address}/{target}")]);
        let sources = ["amd64", "arm64"].map(|arch| format!("{address}/{author}:{arch}"));
        let args = std::iter::once("join".to_owned()).chain(targets).chain(sources);
        Run::new(&self.home, args).finish().await.expect_code(0);
    }

    /// The digests of the indexes that these tags show, each read to its last config.
    async fn shown(&self, tags: &[String]) -> Vec<String> {
        let references = tags.iter().map(|tag| format!("{}/{tag}", self.registry.address()));
        let args = std::iter::once("verify".to_owned()).chain(references);
        let verified = Run::new(&self.home, args).finish().await.expect_code(0);
        verified.stdout.lines().map(|line| line.split_once('@').unwrap().1.to_owned()).collect()
    }

    fn run(&self, repository: &str) -> Run {
        let gate = self.gate.address.to_string();
        Run::new(&self.home, (self.args)(&gate, &format!("{gate}/{repository}")))
    }

    /// The points of a run that nobody kills.
    async fn points(&mut self, repository: &str) -> Vec<Point> {
        let mut running = Box::pin(self.run(repository).finish());
        let mut points = Vec::new();
        for place in 0.. {
            let waiting = tokio::select! {
                ended = &mut running => {
                    ended.expect_code(0);
                    break;
                }
                waiting = self.gate.next() => waiting,
            };
            points.push(Point::Before(place));
            if !["GET ", "HEAD "].iter().any(|reading| waiting.line.starts_with(reading)) {
                points.push(Point::After(place));
            }
            waiting.pass();
        }
        points
    }

    /// Kills a run at `point`.
    async fn kill(&mut self, repository: &str, point: Point) {
        let running = self.run(repository).start();
        let (pid, mut end) = (running.pid(), Box::pin(running.finish()));
        let (Point::Before(place) | Point::After(place)) = point;
        for passed in 0.. {
            let waiting = tokio::select! {
                ended = &mut end => panic!("{point:?}: it ended before: {ended:?}"),
                waiting = self.gate.next() => waiting,
            };
            if passed < place {
                waiting.pass();
                continue;
            }
            if matches!(point, Point::After(_)) {
                waiting.swallow().await;
            }
            break;
        }
        rustix::process::kill_process(pid, Signal::KILL).unwrap();
        end.await.expect_code(137);
        self.gate.forget();
    }
}

/// Kills a run at each of its requests, in a repository that has the old index, and runs it again.
async fn killed_everywhere(args: fn(&str, &str) -> Vec<String>, tags: &[&str]) {
    let mut gated = Gated::new(args).await;
    let of = |repository: &str| tags.iter().map(|tag| format!("{repository}:{tag}")).collect::<Vec<_>>();
    gated.join("old", &of("nobody")).await;
    let points = gated.points("nobody").await;
    let rounds = std::env::var("POLYARCH_TEST_KILLS").map_or(points.len(), |kills| kills.parse().unwrap());
    let mut moved = 0;
    for (round, point) in points.iter().cycle().take(rounds).enumerate() {
        let repository = format!("web{round}");
        let tags = of(&repository);
        gated.join("old", &tags).await;
        gated.kill(&repository, *point).await;
        for shown in gated.shown(&tags).await {
            assert!(gated.indexes.contains(&shown), "{point:?}: {shown} is neither index");
            moved += usize::from(shown == gated.indexes[1]);
        }
        let again = gated.run(&repository).finish();
        gated.gate.open(again).await.expect_code(0);
        assert!(gated.shown(&tags).await.iter().all(|shown| *shown == gated.indexes[1]), "{point:?}");
    }
    println!("{rounds} kills at {} points; {moved} tags had moved", points.len());
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[tokio::test]
async fn join_killed_at_any_request_leaves_whole_indexes() {
    let args = |at: &str, to: &str| {
        let [amd64, arm64] = ["amd64", "arm64"].map(|arch| format!("{at}/new:{arch}"));
        words(&["join", "-t", &format!("{to}:1"), "-t", &format!("{to}:latest"), &amd64, &arm64])
    };
    killed_everywhere(args, &["1", "latest"]).await;
}

#[tokio::test]
async fn copy_killed_at_any_request_leaves_whole_indexes() {
    let args = |at: &str, to: &str| words(&["copy", &format!("{at}/new:index"), &format!("{to}:1")]);
    killed_everywhere(args, &["1"]).await;
}
