//! The first five minutes: `init`, `doctor` and `build` in a folder with one Dockerfile.

use std::fs;

use crate::project::{BUSYBOX, Project};
use crate::support::engines::Engine;
use crate::support::parts;

on_both_engines!(first_plan_is_built_and_run);
on_the_graph_engine!(first_plan_is_built_and_run);

async fn first_plan_is_built_and_run(engine: Engine) {
    let project = Project::new(engine, "init");
    // The image gets the name of the folder.
    let folder = project.path(&project.name);
    fs::create_dir(&folder).unwrap();
    parts::add_busybox(&folder);
    fs::write(folder.join("Dockerfile"), format!("{BUSYBOX}RUN [\"/bin/busybox\", \"true\"]\n")).unwrap();
    let run = async |words: &[&str]| project.command(words).folder(&folder).finish().await.expect_code(0);

    let wrote = run(&["init"]).await;
    assert!(wrote.stderr.ends_with("\nnext: `polyarch doctor`, then `polyarch build`\n"), "{}", wrote.stderr);
    let checked = run(&["doctor"]).await;
    assert!(checked.stdout.contains("`polyarch build` can start"), "{}", checked.stdout);
    let built = run(&["build"]).await;
    let next = format!("to run {0}: `docker run {0}:latest`", project.name);
    assert!(built.stderr.contains(&next), "{}", built.stderr);
    let name = format!("{}:latest", project.name);
    let ran = ["run", "--rm", "--network=none", "--pull=never", &name, "/bin/busybox", "uname", "-m"];
    assert_eq!(parts::printed(&project.engine.docker(ran).await), "x86_64");
}
