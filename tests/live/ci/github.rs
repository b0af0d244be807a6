//! Runs a workflow of GitHub: its jobs in their order, their matrices, expressions, outputs, and composite actions (GitHub
//! Docs, "Workflow syntax" and "Metadata syntax"). It knows what the examples need, and fails for everything else.

use std::fs;
use std::pin::Pin;

use regex::Regex;
use serde_json::{Map, Value, json};

use super::configure;
use super::runner::{Shell, Step, System};
use crate::support::engines::PrivateEngine;
use crate::support::program::Finished;

/// The third-party actions that set something up.
#[derive(Default)]
pub(crate) struct Uses<'a> {
    /// The engine that `docker/setup-docker-action` configures.
    pub(crate) engine: Option<&'a PrivateEngine>,
    /// The directory with the docker whose builder `docker/setup-buildx-action` chooses.
    pub(crate) builder: Option<String>,
}

pub(crate) struct Workflow(Value);

/// A job on one runner: its variables for expressions, and the PATH that its steps extended.
struct Job<'a> {
    system: &'a System,
    uses: &'a Uses<'a>,
    scope: Value,
    path: Vec<String>,
    env: Vec<(String, String)>,
}

impl Workflow {
    pub(crate) fn read(system: &System, file: &str) -> Self {
        Self::parse(&system.example(file))
    }

    pub(crate) fn parse(text: &str) -> Self {
        Self(serde_yaml::from_str(text).unwrap())
    }

    /// Runs all jobs. Returns the outputs of each.
    pub(crate) async fn run(&self, system: &System, uses: &Uses<'_>) -> Value {
        let mut ended = Map::new();
        for (name, job) in in_order(self.0["jobs"].as_object().unwrap()) {
            let mut outputs = Value::Null;
            for cell in cells(&job["strategy"]["matrix"], &needs(&ended)) {
                let mut running = Job::new(system, uses, &ended, cell);
                for step in job["steps"].as_array().unwrap() {
                    let ran = running.step(step).await;
                    assert!(ran.as_ref().is_none_or(|ran| ran.code() == 0), "{name}: {step}: {ran:#?}");
                }
                outputs = running.outputs(&job["outputs"]);
            }
            ended.insert(name.clone(), outputs);
        }
        Value::Object(ended)
    }

    /// The end of the first step, which fails.
    pub(crate) async fn fails(&self, system: &System) -> Finished {
        let (uses, (_, job)) = (Uses::default(), self.0["jobs"].as_object().unwrap().iter().next().unwrap());
        let ran = Job::new(system, &uses, &Map::new(), json!({})).step(&job["steps"][0]).await.unwrap();
        assert_ne!(ran.code(), 0, "{ran:#?}");
        ran
    }
}

/// The jobs, each after the job that it needs.
fn in_order(jobs: &Map<String, Value>) -> Vec<(&String, &Value)> {
    fn depth(job: &Value, jobs: &Map<String, Value>) -> usize {
        job["needs"].as_str().map_or(0, |needed| 1 + depth(&jobs[needed], jobs))
    }
    let mut ordered: Vec<_> = jobs.iter().collect();
    ordered.sort_by_key(|(_, job)| depth(job, jobs));
    ordered
}

fn needs(ended: &Map<String, Value>) -> Value {
    let outputs = ended.iter().map(|(name, outputs)| (name.clone(), json!({ "outputs": outputs })));
    json!({ "needs": outputs.collect::<Map<_, _>>() })
}

/// The cells of a matrix: one list, or JSON with `include`.
fn cells(matrix: &Value, scope: &Value) -> Vec<Value> {
    match matrix {
        Value::Null => vec![json!({})],
        Value::String(text) => {
            let matrix: Value = serde_json::from_str(&expand(text, scope)).unwrap();
            matrix["include"].as_array().unwrap().clone()
        }
        lists => {
            let (name, list) = lists.as_object().unwrap().iter().next().unwrap();
            list.as_array().unwrap().iter().map(|value| json!({ name: value })).collect()
        }
    }
}

/// The text with the values of its expressions.
fn expand(text: &str, scope: &Value) -> String {
    let expression = Regex::new(r"\$\{\{\s*(?:fromJSON\()?([A-Za-z0-9_.-]+)\)?\s*\}\}").unwrap();
    let expanded = expression.replace_all(text, |found: &regex::Captures<'_>| value(&found[1], scope));
    assert!(!expanded.contains("${{"), "{expanded}");
    expanded.into_owned()
}

/// The value of a context of GitHub. A value that does not exist is empty, as in GitHub.
fn value(path: &str, scope: &Value) -> String {
    match scope.pointer(&format!("/{}", path.replace('.', "/"))) {
        Some(Value::String(text)) => text.clone(),
        None | Some(Value::Null) => String::new(),
        Some(other) => other.to_string(),
    }
}

/// Whether a condition of the form `PATH != ''` holds.
fn holds(condition: &Value, scope: &Value) -> bool {
    let Some(condition) = condition.as_str() else { return true };
    let path = condition.strip_suffix(" != ''").unwrap_or_else(|| panic!("{condition}"));
    !value(path, scope).is_empty()
}

impl<'a> Job<'a> {
    fn new(system: &'a System, uses: &'a Uses<'a>, ended: &Map<String, Value>, matrix: Value) -> Self {
        let [_, (_, actor), (_, password)] = system.login();
        let mut scope = needs(ended);
        let own = system.own("runner");
        let _ = fs::remove_dir_all(&own);
        fs::create_dir_all(&own).unwrap();
        scope["matrix"] = matrix;
        scope["secrets"] = json!({ "GITHUB_TOKEN": password });
        scope["runner"] = json!({ "temp": own });
        scope["github"] = json!({
            "actor": actor, "server_url": system.server(), "action_repository": "OWNER/polyarch",
            "action_path": env!("CARGO_MANIFEST_DIR"),
        });
        Self { system, uses, scope, path: Vec::new(), env: Vec::new() }
    }

    /// Runs one step. A step that only sets something up has no end of a script.
    fn step<'b>(&'b mut self, step: &'b Value) -> Pin<Box<dyn Future<Output = Option<Finished>> + 'b>> {
        Box::pin(async move {
            if !holds(&step["if"], &self.scope) {
                return None;
            }
            let id = step["id"].as_str().unwrap_or("unnamed");
            let Some(uses) = step["uses"].as_str() else {
                let (ran, outputs) = self.script(step).await;
                self.scope["steps"][id] = json!({ "outputs": outputs });
                return Some(ran);
            };
            let with = |name: &str, default: &str| expand(step["with"][name].as_str().unwrap_or(default), &self.scope);
            match uses.split_once('@').unwrap().0 {
                "actions/checkout" => None,
                "docker/setup-docker-action" => {
                    let engine = self.uses.engine.expect("the test has an engine to configure");
                    configure(engine, &with("daemon-config", "")).await;
                    None
                }
                "docker/setup-buildx-action" => {
                    self.path.push(self.uses.builder.clone().expect("the test has a builder"));
                    // The action chooses its builder. This one is the builder of the docker that the test gives.
                    self.env.push(("BUILDX_BUILDER".to_owned(), "default".to_owned()));
                    None
                }
                "OWNER/polyarch" => {
                    let action = self.system.addressed("action.yml");
                    let action: Value = serde_yaml::from_str(&action).unwrap();
                    let defaults = action["inputs"].as_object().unwrap().iter();
                    let input = |(name, input): (&String, &Value)| {
                        (name.clone(), with(name, input["default"].as_str().unwrap()).into())
                    };
                    let inputs: Map<String, Value> = defaults.map(input).collect();
                    for given in step["with"].as_object().into_iter().flatten() {
                        assert!(inputs.contains_key(given.0), "the action has no input {}", given.0);
                    }
                    self.action(&action, inputs, id).await
                }
                other => panic!("nobody knows {other}"),
            }
        })
    }

    /// Runs the steps of a composite action until one of them fails.
    async fn action(&mut self, action: &Value, inputs: Map<String, Value>, id: &str) -> Option<Finished> {
        let outer = std::mem::replace(&mut self.scope["inputs"], inputs.into());
        let mut last = None;
        for step in action["runs"]["steps"].as_array().unwrap() {
            assert!(step["shell"].is_string(), "GitHub demands a shell in {step}");
            last = self.step(step).await.or(last);
            if last.as_ref().is_some_and(|ran| ran.code() != 0) {
                break;
            }
        }
        let outputs: Map<String, Value> = action["outputs"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, output)| (name.clone(), expand(output["value"].as_str().unwrap(), &self.scope).into()))
            .collect();
        self.scope["inputs"] = outer;
        self.scope["steps"][id] = json!({ "outputs": outputs });
        last
    }

    /// Runs a script, and reads the files that it wrote for GitHub.
    async fn script(&mut self, step: &Value) -> (Finished, Value) {
        let own = self.system.own("runner");
        let files = ["GITHUB_OUTPUT", "GITHUB_PATH", "GITHUB_STEP_SUMMARY"];
        let mut env: Vec<_> =
            files.iter().map(|name| ((*name).to_owned(), own.join(name).display().to_string())).collect();
        for name in files {
            fs::write(own.join(name), "").unwrap();
        }
        env.push(("GITHUB_ACTIONS".into(), "true".into()));
        env.push(("GITHUB_SHA".into(), self.system.sha().to_owned()));
        env.push(("GITHUB_WORKSPACE".into(), self.system.checkout().display().to_string()));
        env.extend(self.env.clone());
        for (name, value) in step["env"].as_object().into_iter().flatten() {
            env.push((name.clone(), self.on_this_processor(&expand(value.as_str().unwrap(), &self.scope))));
        }
        let shell = if step["shell"] == "bash" { Shell::Bash } else { Shell::Posix };
        let script = expand(step["run"].as_str().unwrap(), &self.scope);
        let step = Step { script, env };
        let ran = self.system.shell(shell, &step, &self.path.join(":")).finish().await;
        let read = |name: &str| fs::read_to_string(own.join(name)).unwrap();
        self.path.extend(read("GITHUB_PATH").lines().map(str::to_owned));
        (ran, outputs(&read("GITHUB_OUTPUT")))
    }

    /// This machine stands for the runners of both processors.
    fn on_this_processor(&self, args: &str) -> String {
        let is_arm = value("matrix.runner", &self.scope).ends_with("-arm");
        if is_arm { args.replace("--platform native", "--platform linux/arm64") } else { args.to_owned() }
    }

    fn outputs(&self, outputs: &Value) -> Value {
        let outputs = outputs.as_object().into_iter().flatten();
        outputs
            .map(|(name, value)| (name.clone(), expand(value.as_str().unwrap(), &self.scope).into()))
            .collect::<Map<_, _>>()
            .into()
    }
}

/// The outputs in the file of `GITHUB_OUTPUT`: `NAME=VALUE`, or `NAME<<END` with the lines until `END`.
fn outputs(file: &str) -> Value {
    let (mut outputs, mut lines) = (Map::new(), file.lines());
    while let Some(line) = lines.next() {
        if let Some((name, value)) = line.split_once('=').filter(|(name, _)| !name.contains("<<")) {
            outputs.insert(name.to_owned(), value.into());
        } else {
            let (name, end) = line.split_once("<<").unwrap_or_else(|| panic!("{line}"));
            let value: Vec<_> = lines.by_ref().take_while(|line| *line != end).collect();
            outputs.insert(name.to_owned(), value.join("\n").into());
        }
    }
    outputs.into()
}
