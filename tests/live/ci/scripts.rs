//! The scripts of the CI systems that run commands line by line, with the variables that each system sets.

use regex::Regex;
use serde_json::Value;

use super::runner::{Step, System};

/// The two processors, in the names that polyarch, the queues and the agents have for them.
const PLATFORMS: [&str; 2] = ["linux/amd64", "linux/arm64"];

fn lines(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|line| line.as_str().unwrap().to_owned()).collect()
}

fn variables(map: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    map.as_object().into_iter().flatten().map(|(name, value)| (name.clone(), text(value))).collect()
}

/// This machine stands for the runners of both processors.
fn on_this_processor(script: &str, platform: &str) -> String {
    script.replace("--platform native", &format!("--platform {platform}"))
}

/// The jobs of GitLab: `before_script` and `script` run in one shell. The engine of the runner is up already.
pub(crate) fn gitlab(system: &System, text: &str) -> Vec<Step> {
    let file: Value = serde_yaml::from_str(text).unwrap();
    gitlab_jobs(system, &file, &file["default"], &file["variables"], ["build", "join"])
}

/// The jobs of the component, with inputs as a project gives them.
pub(crate) fn gitlab_component(system: &System, plan: &str) -> Vec<Step> {
    let text = system.addressed("templates/polyarch.yml");
    let (head, body) = text.split_once("\n---\n").unwrap();
    let head: Value = serde_yaml::from_str(head).unwrap();
    let releases = format!("{}/OWNER/polyarch/releases/download", system.server());
    let given = [("releases", releases.as_str()), ("plan", plan)];
    let input = Regex::new(r"\$\[\[ inputs\.(\w+) \]\]").unwrap();
    let body = input.replace_all(body, |found: &regex::Captures<'_>| {
        let given = given.iter().find(|(name, _)| *name == &found[1]).map(|(_, value)| (*value).to_owned());
        let default = || head["spec"]["inputs"][&found[1]]["default"].as_str().map(str::to_owned);
        given.or_else(default).unwrap_or_else(|| panic!("{} has no value", &found[1]))
    });
    let file: Value = serde_yaml::from_str(&body).unwrap();
    let common = &file[".polyarch"];
    gitlab_jobs(system, &file, common, &common["variables"], ["polyarch-build", "polyarch-join"])
}

fn gitlab_jobs(system: &System, file: &Value, common: &Value, set: &Value, [build, join]: [&str; 2]) -> Vec<Step> {
    let [(_, server), (_, user), (_, password)] = system.login();
    let mut own = variables(set);
    let bin = system.own("bin").display().to_string();
    for (name, value) in [
        ("POLYARCH_BIN", bin),
        ("CI_REGISTRY", server),
        ("CI_REGISTRY_IMAGE", system.registry()),
        ("CI_REGISTRY_USER", user),
        ("CI_REGISTRY_PASSWORD", password),
        ("CI_COMMIT_SHA", system.sha().to_owned()),
        ("GITLAB_CI", "true".to_owned()),
    ] {
        own.push((name.to_owned(), value));
    }
    let script = |job: &Value| {
        let before = lines(&common["before_script"]);
        let all = before.into_iter().chain(lines(&job["script"]));
        // The job's container would start this engine.
        let all: Vec<_> = all.filter(|line| !line.starts_with("dockerd ")).collect();
        all.join("\n")
    };
    let cells = file[build]["parallel"]["matrix"].as_array().unwrap();
    assert_eq!(cells.len(), PLATFORMS.len());
    let builds = cells.iter().map(|cell| [own.clone(), variables(cell)].concat());
    let builds = builds.map(|env| Step { script: script(&file[build]), env });
    builds.chain([Step { script: script(&file[join]), env: own.clone() }]).collect()
}

/// The three builds of `CodeBuild`. Each command is a script of its own.
pub(crate) fn codebuild(system: &System) -> Vec<Step> {
    let file: Value = serde_yaml::from_str(&system.example("codebuild.yaml")).unwrap();
    let builds = file["batch"]["build-graph"].as_array().unwrap();
    let commands =
        [lines(&file["phases"]["install"]["commands"]), lines(&file["phases"]["build"]["commands"])].concat();
    let build = |build: &Value| {
        let env = [variables(&file["env"]["variables"]), variables(&build["env"]["variables"])].concat();
        commands.iter().map(|command| aws(system, command, env.clone())).collect::<Vec<_>>()
    };
    builds.iter().flat_map(build).collect()
}

/// The three actions of `CodeCatalyst`.
pub(crate) fn codecatalyst(system: &System) -> Vec<Step> {
    let file: Value = serde_yaml::from_str(&system.example("codecatalyst.yaml")).unwrap();
    let action = |action: &Value| {
        let variables = action["Inputs"]["Variables"].as_array().unwrap().iter();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let env: Vec<_> = variables.map(|one| (text(&one["Name"]), text(&one["Value"]))).collect();
        let steps = action["Configuration"]["Steps"].as_array().unwrap().iter();
        steps.map(|step| aws(system, step["Run"].as_str().unwrap(), env.clone())).collect::<Vec<_>>()
    };
    file["Actions"].as_object().unwrap().values().flat_map(action).collect()
}

/// A command for a registry of ECR. Here the registry is another one, whose login docker has.
fn aws(system: &System, command: &str, mut env: Vec<(String, String)>) -> Step {
    let [(_, server), (_, user), (_, password)] = system.login();
    env.push(("POLYARCH_BIN".into(), system.own("bin").display().to_string()));
    env.push(("CODEBUILD_RESOLVED_SOURCE_VERSION".into(), system.sha().into()));
    let login = format!("echo '{password}' | docker login {server} -u {user} --password-stdin\n");
    let script = command.replace("--registry ecr", &format!("--registry {}", system.registry()));
    Step { script: if script == command { script } else { login + &script }, env }
}

/// The steps of the Jenkinsfile.
pub(crate) fn jenkins(system: &System) -> Vec<Step> {
    let text = system.example("Jenkinsfile");
    let [_, (_, user), (_, password)] = system.login();
    let set = Regex::new(r"(?m)^ +([A-Z_]+) = '([^']*)'").unwrap();
    let mut env: Vec<_> = set.captures_iter(&text).map(|set| (set[1].to_owned(), set[2].to_owned())).collect();
    env.extend([("REGISTRY_USR".into(), user), ("REGISTRY_PSW".into(), password)]);
    let (build, join) = text.split_once("stage('join')").unwrap();
    let step = Regex::new(r"(?m)^ +sh '(.*)'$").unwrap();
    let steps = |part: &str, platform: &str| {
        let scripts = step.captures_iter(part).map(|found| on_this_processor(&found[1], platform));
        scripts.map(|script| Step { script, env: env.clone() }).collect::<Vec<_>>()
    };
    [steps(build, PLATFORMS[0]), steps(build, PLATFORMS[1]), steps(join, "")].concat()
}

/// The steps of the pipeline of Buildkite. The commands of a step run in one shell.
pub(crate) fn buildkite(system: &System) -> Vec<Step> {
    let file: Value = serde_yaml::from_str(&system.example("buildkite.yaml")).unwrap();
    let [(_, server), (_, user), (_, password)] = system.login();
    let env = variables(&file["env"]);
    // The agents are logged in.
    let login = format!("echo '{password}' | docker login {server} -u {user} --password-stdin\n");
    let mut all = Vec::new();
    for step in file["steps"].as_array().unwrap().iter().filter(|step| step.is_object()) {
        let cells = step["matrix"].as_array().map_or_else(|| vec![String::new()], |_| lines(&step["matrix"]));
        for cell in cells {
            let script = login.clone() + &lines(&step["command"]).join("\n").replace("$$", "$");
            let script = on_this_processor(&script, &cell.replace('-', "/"));
            all.push(Step { script, env: env.clone() });
        }
    }
    all
}
