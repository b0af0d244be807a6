//! How long things may take, on a clock that the test moves.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use polyarch::auth::{Anonymous, BuildProxies, BuildSecrets, Credential};
use polyarch::aws::Provider;
use polyarch::context::{AddedStages, GivenDockerfile};
use polyarch::engine::{
    BuildAgents, BuildRequest, BuiltImage, Engine, EngineError, EngineErrorKind, EngineNames, Output, PushRequest,
    SessionSpec,
};
use polyarch::oci::{Reference, Selector, TagRef};
use polyarch::plan::{self, EngineHost, EngineSpec, Environment, Facts, Overrides, RegistryChoice, SourceText};
use polyarch::registry::{Backoff, ClientConfig, Proxies, Timeouts};
use polyarch::run::{
    self, BuildRun, Doing, Engines, Event, EventSink, Gates, Goal, ImageEvent, JobEvent, OnFailure, Others,
    PublishMode, Registry, RunContext, Shutdown,
};
use tempfile::TempDir;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, advance};

use super::world::World;
use crate::support::scripted_engine::receiver::Receiver;
use crate::support::scripted_engine::{Script, ScriptedEngine};
use crate::support::store::Store;

const FILE_BYTES: usize = 4 << 20;

fn context() -> (TempDir, PathBuf) {
    let folder = TempDir::with_prefix("polyarch-test-").unwrap();
    fs::write(folder.path().join("Dockerfile"), "FROM scratch\nCOPY large /\n").unwrap();
    fs::write(folder.path().join("large"), vec![7; FILE_BYTES]).unwrap();
    let dockerfile = folder.path().join("Dockerfile");
    (folder, dockerfile)
}

fn arch_tag() -> TagRef {
    let reference: Reference = "127.0.0.1:5000/hello:1.0-amd64".parse().unwrap();
    let Selector::Tag(tag) = reference.selector else { unreachable!("it is a tag") };
    reference.repository.tag(tag)
}

async fn connect(engine: &ScriptedEngine) -> Engine {
    Engine::connect("one".parse().unwrap(), EngineHost::Unix(engine.socket().to_owned()).into()).await.unwrap()
}

async fn build(engine: &Engine, context: &Path, dockerfile: &Path) -> Result<BuiltImage, EngineError> {
    let spec = SessionSpec {
        context: Some(context.to_owned()),
        dockerfile: Some(GivenDockerfile::File(dockerfile.to_owned())),
        stages: AddedStages::new(),
        directories: BTreeMap::new(),
        caches: BTreeSet::new(),
        shared_key: "test".into(),
        credentials: Arc::new(Anonymous),
        secrets: BuildSecrets::new(),
        agents: BuildAgents::new(),
    };
    let session = engine.open_session(spec).await?;
    let (context, dockerfile) = (context.display(), dockerfile.display());
    let text = format!(
        "{{version: 1, images: {{hello: {{tags: ['1.0'], platforms: [linux/amd64], context: '{context}', dockerfile: '{dockerfile}'}}}}}}"
    );
    let source = SourceText { path: "build.yaml".into(), text };
    let plan = plan::resolve(&source, &BTreeMap::new(), &Facts::new(), &Overrides::default()).unwrap();
    let job = &plan.images[0].jobs[0];
    let request = BuildRequest {
        to: Output::Engine(&EngineNames { own: arch_tag(), shared: arch_tag() }),
        platform: &job.platform,
        build: &job.build().unwrap().spec,
        bases: &BTreeMap::new(),
        plain_http: None,
        context: None,
    };
    let (events, mut heard) = mpsc::channel(16);
    let (built, ()) =
        tokio::join!(engine.build(&request, &session, events), async { while heard.recv().await.is_some() {} });
    built
}

#[tokio::test(start_paused = true)]
async fn context_upload_may_take_longer_than_two_minutes() {
    let script = Script::default().solve(async |call| {
        let mut receiver = Receiver::begin(call.session().await, "context").await?;
        assert_eq!(receiver.list().await?, ["Dockerfile", "large"]);
        receiver.ask(1).await;
        let mut bytes = 0;
        while let Some(packet) = receiver.next().await?.filter(|packet| !packet.data.is_empty()) {
            bytes += packet.data.len();
            advance(Duration::from_secs(10)).await;
        }
        assert_eq!(bytes, FILE_BYTES);
        receiver.end().await?;
        call.built()
    });
    let engine = ScriptedEngine::start(script, &Store::default());
    let (folder, dockerfile) = context();
    let started = Instant::now();
    let built = build(&connect(&engine).await, folder.path(), &dockerfile).await.unwrap();
    assert_eq!(built.context_bytes, FILE_BYTES as u64);
    assert!(started.elapsed() > Duration::from_mins(10), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn build_fails_when_the_engine_reads_nothing_for_a_minute() {
    let stuck = Arc::new(Notify::new());
    let reached = stuck.clone();
    let script = Script::default().solve(move |call| {
        let reached = reached.clone();
        async move {
            let mut receiver = Receiver::begin(call.session().await, "context").await?;
            receiver.list().await?;
            receiver.ask(1).await;
            receiver.next().await?;
            reached.notify_one();
            // It holds the transfer open and reads no more.
            std::future::pending::<()>().await;
            receiver.end().await?;
            call.built()
        }
    });
    let engine = ScriptedEngine::start(script, &Store::default());
    let (folder, dockerfile) = context();
    let client = connect(&engine).await;
    let clock = async {
        stuck.notified().await;
        let started = Instant::now();
        for _ in 0..6000 {
            advance(Duration::from_millis(100)).await;
            // The disk's threads live in real time.
            std::thread::yield_now();
        }
        panic!("still waiting after {:?}", started.elapsed());
    };
    let started = Instant::now();
    let error = tokio::select! {
        built = build(&client, folder.path(), &dockerfile) => built.unwrap_err(),
        () = clock => unreachable!("it panics"),
    };
    assert!(started.elapsed() >= Duration::from_mins(1), "{:?}", started.elapsed());
    let EngineErrorKind::UploadStalled { bytes, seconds: 60 } = error.kind else { panic!("{error:?}") };
    // What it took, and what the connection holds for it.
    assert!((64 << 10..1 << 20).contains(&bytes), "{bytes}");
    assert!(
        error.kind.to_string().starts_with("the engine read nothing of the build context for 60 s, after "),
        "{}",
        error.kind
    );
    engine.until(|counts| counts.solves.cancelled == 1).await;
}

#[tokio::test(start_paused = true)]
async fn build_waits_hours_for_an_engine_that_asks_for_nothing() {
    let script = Script::default().solve(async |call| {
        let mut receiver = Receiver::begin(call.session().await, "context").await?;
        receiver.list().await?;
        for _ in 0..720 {
            // In steps that leave the connections time to say that they live.
            advance(Duration::from_secs(10)).await;
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
        }
        receiver.end().await?;
        call.built()
    });
    let engine = ScriptedEngine::start(script, &Store::default());
    let (folder, dockerfile) = context();
    build(&connect(&engine).await, folder.path(), &dockerfile).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn push_without_output_for_five_minutes_fails() {
    let script = Script::default().push(async |push| {
        // Slow and alive.
        for _ in 0..10 {
            push.line(r#"{"status":"Pushing","id":"layer"}"#);
            tokio::time::sleep(Duration::from_mins(4)).await;
        }
        push.line(r#"{"status":"Pushing","id":"layer"}"#);
        std::future::pending::<()>().await;
    });
    let engine = ScriptedEngine::start(script, &Store::default());
    let client = connect(&engine).await;
    let (to, platform) = (arch_tag(), "linux/amd64".parse().unwrap());
    let request = PushRequest {
        to: &to,
        platform: Some(&platform),
        provider: Provider::Other,
        credential: &Credential::Anonymous,
    };
    let started = Instant::now();
    let error = client.push(&request).await.unwrap_err();
    assert!(matches!(error.kind, EngineErrorKind::Stalled(300)), "{error:?}");
    let minutes = started.elapsed().as_secs() / 60;
    assert!((45..=46).contains(&minutes), "{minutes} minutes");
    engine.until(|counts| counts.pushes.cancelled == 1).await;
}

#[tokio::test(start_paused = true)]
async fn silent_engine_is_abandoned_after_ten_seconds() {
    for silent in ["GET /version", "GET /info"] {
        let script = Script::default()
            .rest(move |line| (line == silent).then_some(crate::support::scripted_engine::Rest::Silence));
        let engine = ScriptedEngine::start(script, &Store::default());
        let started = Instant::now();
        let host = EngineHost::Unix(engine.socket().to_owned());
        let error = Engine::connect("one".parse().unwrap(), host.into()).await.unwrap_err();
        assert!(matches!(error.kind, EngineErrorKind::Timeout(10)), "{error:?}");
        assert_eq!(started.elapsed().as_secs(), 10);
    }
}

/// Opens the gate at the fourth sign of life.
struct Beats {
    seconds: Vec<f64>,
    verified: usize,
    gate: Arc<Notify>,
}

impl EventSink for Beats {
    fn event(&mut self, _: Duration, event: &Event) {
        match event {
            Event::Job { what: JobEvent::StillRunning { doing: Doing::Building, seconds }, .. } => {
                self.seconds.push(seconds.round());
                if self.seconds.len() == 4 {
                    // What follows goes over TCP, which a clock that jumps would find slow.
                    tokio::time::resume();
                    self.gate.notify_one();
                }
            }
            Event::Image { what: ImageEvent::Verified { .. }, .. } => self.verified += 1,
            _ => {}
        }
    }
}

/// A run of one platform on the engine of `world`, in this process.
async fn one_platform(world: &World) -> BuildRun {
    world.plan("images: { hello: { context: context, tags: ['1.0'], platforms: [linux/amd64] } }");
    let path = world.home.path().join("build.yaml");
    let source = SourceText { text: fs::read_to_string(&path).unwrap(), path };
    let plan = plan::resolve(&source, &BTreeMap::new(), &BTreeMap::new(), &Overrides::default()).unwrap();
    let host = EngineHost::Unix(world.engine.socket().to_owned());
    let spec = EngineSpec::new("one".parse().unwrap(), host);
    let RegistryChoice::Named(named) = &plan.registry else { panic!("it is named") };
    let config = ClientConfig {
        user_agent: "polyarch/test".into(),
        backoff: Backoff::STANDARD,
        timeouts: Timeouts::STANDARD,
        proxies: Proxies::default(),
        on_notice: Arc::new(|_| {}),
    };
    BuildRun {
        engines: Engines::reach(&[spec], &[], Others::Nobody).await.unwrap(),
        registries: Registry::named(named, &[], config, Arc::new(Anonymous), None).unwrap().into(),
        sources: Vec::new(),
        bases: Vec::new(),
        moving: PublishMode::EachImage,
        plan,
        credentials: Arc::new(Anonymous),
        proxies: BuildProxies::default(),
        environment: Environment::new(),
        goal: Goal::Publish,
        gates: Gates::default(),
        on_failure: OnFailure::EndImage,
    }
}

#[tokio::test(start_paused = true)]
async fn silent_build_continues_with_a_heartbeat_every_30_seconds() {
    let gate = Arc::new(Notify::new());
    let opened = gate.clone();
    let script = Script::default().solve(move |call| {
        let opened = opened.clone();
        async move {
            opened.notified().await;
            call.built()
        }
    });
    let world = World::start(script).await;
    let run = one_platform(&world).await;
    let (_stopper, shutdown) = Shutdown::new();
    let (_registry, notices) = tokio::sync::mpsc::unbounded_channel();
    let mut beats = Beats { seconds: Vec::new(), verified: 0, gate };
    Box::pin(run::build(run, RunContext { server: None, notices, shutdown }, &mut beats)).await;
    assert_eq!((beats.seconds, beats.verified), (vec![30.0, 60.0, 90.0, 120.0], 1));
}

/// Moves on with the clock of the machine after the warning.
#[derive(Default)]
struct Heard {
    warnings: Vec<String>,
    verified: usize,
}

impl EventSink for Heard {
    fn event(&mut self, _: Duration, event: &Event) {
        match event {
            Event::Warning(warning) if warning.message.contains("registry") => {
                tokio::time::resume();
                self.warnings.push(warning.message.to_string());
            }
            Event::Image { what: ImageEvent::Verified { .. }, .. } => self.verified += 1,
            _ => {}
        }
    }
}

#[tokio::test(start_paused = true)]
async fn silent_answer_about_the_route_is_a_warning_after_10_seconds() {
    let script = Script::default()
        .rest(|line| line.starts_with("GET /distribution/").then_some(crate::support::scripted_engine::Rest::Silence));
    let world = World::start(script).await;
    let (run, started) = (one_platform(&world).await, Instant::now());
    let (_stopper, shutdown) = Shutdown::new();
    let (_registry, notices) = tokio::sync::mpsc::unbounded_channel();
    let mut heard = Heard::default();
    Box::pin(run::build(run, RunContext { server: None, notices, shutdown }, &mut heard)).await;
    let expected = "the registry did not answer the engine within 10 s";
    assert!(heard.warnings.len() == 1 && heard.warnings[0].contains(expected), "{:?}", heard.warnings);
    assert_eq!((heard.verified, started.elapsed().as_secs()), (1, 10));
}
