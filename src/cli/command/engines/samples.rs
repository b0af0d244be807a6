//! Engines of every kind, for tests of the list.

use polyarch::engine::{ApiVersion, EngineFacts, ImageStore};
use polyarch::facts::{Builder, SocketOwner};
use polyarch::plan::{BuildKitHost, EngineHost};
use polyarch::run::{Failure, Phase};

use super::listed::{Candidate, Listed, Origin, State, Unasked, Used};

fn facts(store: ImageStore, runs: &[&str]) -> State {
    let runs: Vec<polyarch::oci::Platform> = runs.iter().map(|platform| platform.parse().unwrap()).collect();
    let (api, platform) = (ApiVersion { major: 1, minor: 51 }, runs[0].clone());
    let (version, buildkit, api) = ("28.5.2".into(), api.buildkit(), Some(api));
    State::Reachable(EngineFacts { version, api, buildkit, platform, runs, store, runc: None })
}

fn failed(name: &str) -> Failure {
    let message = format!("engine {name}: cannot connect to ssh://{name}: Connection refused");
    Failure::new(Phase::Preflight, message.into(), Some("start Docker".into()))
}

fn listed(name: &str, origin: Origin, host: &str, state: State) -> Listed {
    let candidate = Candidate {
        name: name.parse().unwrap(),
        used: if origin == Origin::Plan { Used::Yes } else { Used::No },
        address: Ok(host.parse::<EngineHost>().unwrap().into()),
        origin,
    };
    Listed { candidate, state, seconds: Some(0.5) }
}

/// A list with a BuildKit that keeps no images.
pub(super) fn without_images() -> Vec<Listed> {
    vec![listed("far", Origin::Plan, "unix:///run/buildkitd.sock", facts(ImageStore::None, &["linux/amd64"]))]
}

/// A list with an engine of each origin and each state.
pub(super) fn every_kind() -> Vec<Listed> {
    let arm = facts(ImageStore::Containerd, &["linux/arm64", "linux/arm/v7"]);
    let x86 = || facts(ImageStore::GraphDriver, &["linux/amd64", "linux/amd64/v2", "linux/arm64", "linux/riscv64"]);
    let builder = Builder {
        name: "ci".into(),
        driver: "docker-container".into(),
        endpoints: vec!["graviton".into()],
        platforms: vec!["linux/arm64".parse().unwrap()],
        is_current: true,
    };
    let of_buildx = |builder: Builder| Listed {
        candidate: Candidate {
            name: builder.name.parse().unwrap(),
            origin: Origin::Builder(builder),
            address: Err(Unasked::MayStart),
            used: Used::No,
        },
        state: State::Unknown,
        seconds: None,
    };
    let mut buildkit = listed("buildkit", Origin::BuildKitHost, "unix:///x", facts(ImageStore::None, &["linux/arm64"]));
    buildkit.candidate.address = Ok("unix:///run/buildkit/buildkitd.sock".parse::<BuildKitHost>().unwrap().into());
    vec![
        listed("x86", Origin::Plan, "unix:///var/run/docker.sock", x86()),
        listed("default", Origin::Environment, "tcp://10.0.0.5", x86()),
        listed("graviton", Origin::Context("graviton".into()), "ssh://graviton", arm),
        listed("lab", Origin::Context("lab".into()), "ssh://lab", State::Unreachable(failed("lab"))),
        listed("default-2", Origin::Default, "unix:///var/run/docker.sock", x86()),
        listed("colima", Origin::Socket(SocketOwner::Colima), "unix:///home/me/.colima/default/docker.sock", x86()),
        buildkit,
        of_buildx(builder.clone()),
        of_buildx(Builder { name: "kube".into(), is_current: false, platforms: Vec::new(), ..builder }),
    ]
}
