//! Contexts that the engine fetches itself, and Dockerfiles that are no files.

use std::fs;

use tokio::process::Command;

use crate::project::Project;
use crate::support::engines::Engine;
use crate::support::fetched::{Fetched, repository};
use crate::support::parts;
use crate::support::program::Run;

on_both_engines!(
    git_repository_is_a_context,
    private_git_repository_gets_the_token_of_the_plan,
    archive_url_is_a_context,
    dockerfile_may_be_outside_its_context,
    missing_git_branch_or_directory_is_reported,
    dockerfile_may_be_inline,
    lower_case_dockerfile_is_built,
    dockerfile_may_come_from_standard_input,
    docker_config_proxies_reach_steps_and_not_the_image,
);
on_the_graph_engine!(git_repository_is_a_context, dockerfile_may_be_inline);

/// Writes the plan of one image for the engine's own platform.
fn plan(project: &Project, settings: &str) {
    let settings = settings.replace('\n', "\n    ");
    let plan = format!(
        "version: 1\nregistry: local\nimages:\n  {}:\n    tags: [\"1.0\"]\n    platforms: [linux/amd64]\n    {settings}\n",
        project.name
    );
    project.write("build.yaml", plan);
}

/// A folder with a Dockerfile that keeps a file `which`, which says `which`.
fn files(project: &Project, folder: &str, which: &str) {
    project.write(&format!("{folder}/which"), which);
    project.busybox("");
    let busybox = project.path(&format!("{folder}/busybox-amd64"));
    fs::create_dir_all(busybox.parent().unwrap()).unwrap();
    if !busybox.exists() {
        fs::copy(project.context().join("busybox-amd64"), busybox).unwrap();
    }
    project
        .write(&format!("{folder}/Dockerfile"), "FROM scratch\nCOPY busybox-amd64 /bin/busybox\nCOPY which /which\n");
}

/// What the image has in `/which`.
async fn which(project: &Project) -> String {
    let image = format!("{}:1.0", project.name);
    let run = ["run", "--rm", "--network=none", "--pull=never", &image, "/bin/busybox", "cat", "/which"];
    parts::printed(&project.engine.docker(run).await)
}

async fn git_repository_is_a_context(engine: Engine) {
    let project = Project::new(engine, "git");
    files(&project, "tree", &project.name);
    repository(&project.path("tree"), &project.path("repo.git")).await;
    let server = Fetched::serve(&project.path(""), None).await;
    let url = server.url("repo.git");
    plan(&project, &format!("context: {url}#main"));
    project.run(&["build", "--load"]).await.expect_code(0);
    assert_eq!(which(&project).await, project.name);
    // What the plan prints is what it read.
    let printed = project.run(&["plan", "--format", "json"]).await.expect_code(0);
    assert!(printed.stdout.contains(&format!("{url}#main")), "{}", printed.stdout);
}

async fn private_git_repository_gets_the_token_of_the_plan(engine: Engine) {
    let project = Project::new(engine, "token");
    files(&project, "tree", &project.name);
    repository(&project.path("tree"), &project.path("repo.git")).await;
    let token = format!("canary-{}", project.name);
    let server = Fetched::serve(&project.path(""), Some(&token)).await;
    let context = format!("context: {}#main", server.url("repo.git"));
    plan(&project, &context);
    let refused = project.run(&["build", "--load"]).await.expect_code(4);
    assert!(refused.stderr.contains("GIT_AUTH_TOKEN"), "{}", refused.stderr);
    plan(&project, &format!("{context}\nsecrets: [{{ id: GIT_AUTH_TOKEN, env: TOKEN }}]"));
    let command = project.command(&["build", "--load", "--progress", "json"]).env("TOKEN", &token);
    let built = command.finish().await.expect_code(0);
    assert!(!built.stderr.contains(&token), "{}", built.stderr);
    assert_eq!(which(&project).await, project.name);
}

async fn archive_url_is_a_context(engine: Engine) {
    let project = Project::new(engine, "archive");
    files(&project, "tree", &project.name);
    let mut tar = Command::new("tar");
    tar.arg("-C").arg(project.path("tree")).arg("-czf").arg(project.path("tree.tar.gz")).arg(".");
    parts::printed(&parts::output(tar).await);
    let server = Fetched::serve(&project.path(""), None).await;
    plan(&project, &format!("context: {}", server.url("tree.tar.gz")));
    project.run(&["build", "--load"]).await.expect_code(0);
    assert_eq!(which(&project).await, project.name);
    // What is no archive is a Dockerfile with nothing to copy.
    project.write("Lone", format!("FROM scratch\nLABEL which={}\n", project.name));
    plan(&project, &format!("context: {}", server.url("Lone")));
    project.run(&["build", "--load"]).await.expect_code(0);
    let label = ["image", "inspect", "--format", "{{.Config.Labels.which}}", &format!("{}:1.0", project.name)];
    assert_eq!(parts::printed(&project.engine.docker(label).await), project.name);
}

async fn dockerfile_may_be_outside_its_context(engine: Engine) {
    let project = Project::new(engine, "dockerfiles");
    files(&project, "tree", "the context's");
    project.write("tree/other/Dockerfile", fs::read(project.path("tree/Dockerfile")).unwrap());
    project.write("tree/Dockerfile", "this is not the one");
    repository(&project.path("tree"), &project.path("repo.git")).await;
    let server = Fetched::serve(&project.path(""), None).await;
    let context = format!("context: {}#main", server.url("repo.git"));
    plan(&project, &format!("{context}\ndockerfile: other/Dockerfile"));
    project.run(&["build", "--load"]).await.expect_code(0);
    assert_eq!(which(&project).await, "the context's");
    // An absolute path is one of this machine.
    project.write("mine/Dockerfile", "FROM scratch\nCOPY busybox-amd64 /bin/busybox\nCOPY other/Dockerfile /which\n");
    plan(&project, &format!("{context}\ndockerfile: {}", project.path("mine/Dockerfile").display()));
    project.run(&["build", "--load"]).await.expect_code(0);
    assert!(which(&project).await.contains("COPY which /which"));
}

async fn missing_git_branch_or_directory_is_reported(engine: Engine) {
    let project = Project::new(engine, "absent");
    files(&project, "tree", "here");
    repository(&project.path("tree"), &project.path("repo.git")).await;
    let server = Fetched::serve(&project.path(""), None).await;
    plan(&project, &format!("context: {}#elsewhere", server.url("repo.git")));
    let refused = project.run(&["build", "--load"]).await.expect_code(4);
    assert!(refused.stderr.contains("#BRANCH"), "{}", refused.stderr);
    plan(&project, &format!("context: {}", server.url("absent.tar")));
    let refused = project.run(&["build", "--load"]).await.expect_code(4);
    assert!(refused.stderr.contains("404"), "{}", refused.stderr);
}

async fn dockerfile_may_be_inline(engine: Engine) {
    let project = Project::new(engine, "inline");
    files(&project, "tree", &project.name);
    project.write("tree/Dockerfile", "this is not the one");
    // An ignore file of a Dockerfile that is not built says nothing.
    project.write("tree/Dockerfile.dockerignore", "which");
    repository(&project.path("tree"), &project.path("repo.git")).await;
    let server = Fetched::serve(&project.path(""), None).await;
    let inline = "dockerfile_inline: |\n  FROM scratch\n  ARG TARGETARCH\n  \
                  COPY busybox-$${TARGETARCH} /bin/busybox\n  COPY which /which\n";
    for context in ["tree".to_owned(), format!("{}#main", server.url("repo.git"))] {
        plan(&project, &format!("context: {context}\n{inline}"));
        project.run(&["build", "--load"]).await.expect_code(0);
        assert_eq!(which(&project).await, project.name, "{context}");
    }
    plan(&project, "context: tree\ndockerfile_inline: |\n  FROM scratch\n  COPI which /which\n");
    let refused = project.run(&["build", "--load"]).await.expect_code(4);
    assert!(refused.stderr.contains("line 2: unknown instruction: COPI"), "{}", refused.stderr);
}

async fn lower_case_dockerfile_is_built(engine: Engine) {
    let project = Project::new(engine, "lower");
    files(&project, "tree", &project.name);
    fs::rename(project.path("tree/Dockerfile"), project.path("tree/dockerfile")).unwrap();
    project.write("tree/dockerfile.dockerignore", "secret");
    project.write("tree/secret", "no part of the context");
    plan(&project, "context: tree");
    project.run(&["build", "--load"]).await.expect_code(0);
    assert_eq!(which(&project).await, project.name);
    project.write("tree/dockerfile", "FROM scratch\nCOPY secret /\n");
    let refused = project.run(&["build", "--load"]).await.expect_code(4);
    assert!(refused.stderr.contains("dockerfile:2"), "{}", refused.stderr);
}

async fn dockerfile_may_come_from_standard_input(engine: Engine) {
    let project = Project::new(engine, "stdin");
    files(&project, "tree", &project.name);
    project.write("Piped", fs::read(project.path("tree/Dockerfile")).unwrap());
    project.write("tree/Dockerfile", "this is not the one");
    let (name, second) = (&project.name, format!("{}-second", project.name));
    let plan = format!(
        "version: 1\nregistry: local\ndefaults: {{ context: tree, dockerfile: \"-\", tags: [\"1.0\"], \
         platforms: [linux/amd64] }}\nimages:\n  {name}: {{}}\n  {second}: {{}}\n"
    );
    project.write("build.yaml", &plan);
    project.command(&["build", "--load"]).input(project.path("Piped")).finish().await.expect_code(0);
    assert_eq!(which(&project).await, project.name);
    let exists = project.engine.docker(["image", "inspect", &format!("{second}:1.0")]).await;
    parts::printed(&exists);
    // Nothing is there to be read, or the plan was all of it.
    project.run(&["build", "--load"]).await.expect_code(2);
    let both = ["-c", "cat build.yaml | $0 build --load -f /dev/stdin", env!("CARGO_BIN_EXE_polyarch")];
    let both =
        Run::of("/bin/sh", &project.home, both).folder(project.path("")).env("DOCKER_HOST", &project.engine.host);
    let refused = both.finish().await.expect_code(2);
    assert!(refused.stderr.contains("cannot read a Dockerfile from the standard input"), "{}", refused.stderr);
    // Nor is it read where nothing is built.
    assert!(project.run(&["plan", "--format", "json"]).await.expect_code(0).stdout.contains("\"dockerfile\": \"-\""));
    project.write("build.yaml", plan.replace("dockerfile: \"-\", ", ""));
    let set = format!("{name}.dockerfile=-");
    let set = project.command(&["build", name, "--load", "--set", &set]).input(project.path("Piped"));
    set.finish().await.expect_code(0);
}

#[tokio::test]
async fn directory_of_a_git_repository_is_a_context() {
    for engine in [Engine::new(), Engine::graph()] {
        a_repository_has_a_directory_and_a_name(engine).await;
    }
}

async fn a_repository_has_a_directory_and_a_name(engine: Engine) {
    let project = Project::new(engine, "subdir");
    files(&project, "tree/app", &project.name);
    repository(&project.path("tree"), &project.path("repo.git")).await;
    let server = Fetched::serve(&project.path(""), None).await;
    let url = server.url("repo.git");
    for context in [format!("{url}#main:app"), format!("{url}?branch=main&subdir=app")] {
        plan(&project, &format!("context: \"{context}\""));
        project.run(&["build", "--load", "--no-cache"]).await.expect_code(0);
        assert_eq!(which(&project).await, project.name, "{context}");
    }
    files(&project, "here", "not this one");
    project
        .write("here/Dockerfile", "FROM scratch\nCOPY busybox-amd64 /bin/busybox\nCOPY --from=source which /which\n");
    plan(&project, &format!("context: here\ncontexts: {{ source: \"{url}#main:app\" }}"));
    project.run(&["build", "--load"]).await.expect_code(0);
    assert_eq!(which(&project).await, project.name);
}

#[tokio::test]
async fn git_subdirectory_is_refused_on_an_old_engine() {
    let project = Project::new(Engine::old(), "refused");
    for (context, key) in [
        ("https://127.0.0.1:1/repo.git#main:app", "context: URL#REF:DIRECTORY"),
        ("ssh://git@127.0.0.1/repo", "context: ssh://HOST/REPO"),
    ] {
        plan(&project, &format!("context: {context}"));
        let refused = project.run(&["build", "--load"]).await.expect_code(3);
        let words = format!("cannot build {} linux/amd64 with `{key}`: its BuildKit is too old", project.name);
        assert!(refused.stderr.contains(&words), "{}", refused.stderr);
    }
}

/// docker's own client and buildx give them to steps, too. They are no part of the image, and decide nothing in the cache.
async fn docker_config_proxies_reach_steps_and_not_the_image(engine: Engine) {
    let project = Project::new(engine, "proxies");
    let configured = |port: u16| {
        let proxy = format!("http://me:canary@127.0.0.1:{port}");
        let config = serde_json::json!({ "proxies": { "default": { "httpProxy": proxy, "noProxy": "localhost" } } });
        fs::write(project.home.docker_config().join("config.json"), config.to_string()).unwrap();
    };
    // A step of its own: the engine's cache has those of earlier runs.
    let script = format!("echo http=$http_proxy HTTP=$HTTP_PROXY no=$no_proxy {}", project.name);
    project.busybox(&format!("RUN [\"/bin/busybox\", \"sh\", \"-c\", \"{script}\"]\n"));
    plan(&project, "context: context");
    configured(3128);
    let built = project.run(&["build", "--progress", "plain"]).await.expect_code(0);
    assert!(
        built.stderr.contains("http=http://***@127.0.0.1:3128 HTTP=http://***@127.0.0.1:3128 no=localhost"),
        "{}",
        built.stderr
    );
    assert!(!built.stderr.contains("canary"), "{}", built.stderr);
    let image = format!("{}:1.0", project.name);
    let inspected = parts::printed(&project.engine.docker(["inspect", &image]).await);
    assert!(!inspected.contains("3128"), "{inspected}");
    configured(3129);
    let again = project.run(&["build", "--progress", "plain"]).await.expect_code(0);
    // The engine may list the COPY twice: BuildKit merges it with the same step of another test's build.
    let step = format!("{}\"] cached\n", project.name);
    assert!(again.stderr.contains(&step), "{step}:\n{}", again.stderr);
    // The plan's own arguments go before.
    plan(&project, "context: context\nno_cache: true\nargs: { http_proxy: \"http://mine:1\" }");
    let own = project.run(&["build", "--progress", "plain"]).await.expect_code(0);
    assert!(own.stderr.contains("http=http://mine:1 HTTP=http://mine:1 no=localhost"), "{}", own.stderr);
}
