//! One engine, one registry, one plan: what can go wrong is told to them, the rest goes well.

use std::fs;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::support::program::{Finished, Home, Run};
use crate::support::scripted_engine::{Script, ScriptedEngine};
use crate::support::scripted_registry::{Reply, Request, ScriptedRegistry};
use crate::support::store::Store;

/// Two platforms under two tags.
pub(crate) const HELLO: &str = r#"
images:
  hello:
    context: context
    tags: ["1.0", latest]
    platforms: [linux/amd64, linux/arm64]
"#;

type Hook = Box<dyn FnMut(&Request) -> Option<Reply> + Send>;

/// What a test starts with.
pub(crate) struct World {
    pub(crate) home: Home,
    pub(crate) store: Store,
    pub(crate) registry: ScriptedRegistry,
    pub(crate) engine: ScriptedEngine,
    hook: Arc<Mutex<Hook>>,
}

impl World {
    /// The plan is [`HELLO`].
    pub(crate) async fn start(script: Script) -> Self {
        let store = Store::default();
        let engine = ScriptedEngine::start(script, &store);
        Self::around(engine, store).await
    }

    pub(crate) async fn around(engine: ScriptedEngine, store: Store) -> Self {
        let hook: Arc<Mutex<Hook>> = Arc::new(Mutex::new(Box::new(|_| None)));
        let (content, hooked) = (store.clone(), hook.clone());
        let registry = ScriptedRegistry::stateful(move |request| {
            let special = (hooked.lock().unwrap())(request);
            special.or_else(|| content.answer(request))
        })
        .await;
        let home = Home::new();
        fs::create_dir(home.path().join("context")).unwrap();
        fs::write(home.path().join("context/Dockerfile"), "FROM scratch\nCOPY Dockerfile /\n").unwrap();
        let world = Self { home, store, registry, engine, hook };
        world.plan(HELLO);
        world
    }

    /// Answers of the registry that are not those of a willing one.
    pub(crate) fn registry_answers(&self, hook: impl FnMut(&Request) -> Option<Reply> + Send + 'static) {
        *self.hook.lock().unwrap() = Box::new(hook);
    }

    /// Writes the plan: all but its version and its registry.
    pub(crate) fn plan(&self, rest: &str) {
        let plan = format!("version: 1\nregistry: {}\n{rest}", self.registry.host());
        fs::write(self.home.path().join("build.yaml"), plan).unwrap();
    }

    /// The program on the engine, as `DOCKER_HOST` names it.
    pub(crate) fn run(&self, args: &[&str]) -> Run {
        let report = ["--progress", "plain", "--report", "report.json"];
        Run::new(&self.home, args.iter().chain(&report)).env("DOCKER_HOST", self.engine.host())
    }

    pub(crate) async fn build(&self) -> Finished {
        self.run(&["build"]).finish().await
    }

    /// What the last run reported.
    pub(crate) fn report(&self) -> Value {
        serde_json::from_slice(&fs::read(self.home.path().join("report.json")).unwrap()).unwrap()
    }

    /// Final tags that were put, in order: requests, not their success.
    pub(crate) fn put(&self) -> Vec<String> {
        let puts = self.registry.requests().into_iter().filter(|request| request.method == "PUT");
        puts.map(|request| request.target.rsplit('/').next().unwrap().to_owned()).collect()
    }

    /// The first promise: nothing was put, and no final tag is there.
    pub(crate) fn assert_untouched(&self) {
        assert_eq!(self.put(), Vec::<String>::new(), "a final tag was put");
    }
}

/// Fails with all that was printed unless stderr has every text.
pub(crate) fn says(finished: &Finished, texts: &[&str]) {
    for text in texts {
        assert!(finished.stderr.contains(text), "stderr does not say {text:?}:\n{}", finished.stderr);
    }
}
