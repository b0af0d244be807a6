//! What keeps an index from its final tags: programs for another processor, and platforms that would go.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use crate::project::{Project, crane};
use crate::support::distribution::{Distribution, Setup};
use crate::support::engines::Engine;

on_both_engines!(
    image_with_a_foreign_program_is_refused,
    script_counts_as_a_program_of_its_interpreter,
    join_checks_programs_of_third_party_images,
    index_loses_no_platform_without_allow_shrink,
);

const PLATFORMS: &str = "platforms: [linux/amd64, linux/arm64]";

async fn tags(project: &Project, registry: &Distribution) -> String {
    crane(&["ls", &format!("{}/{}", registry.address(), project.name)]).await
}

fn dockerfile(project: &Project, rest: &str) {
    project.busybox("");
    let label = &project.name;
    project.write("context/Dockerfile", format!("FROM scratch\nARG TARGETARCH\n{rest}LABEL of={label}\n"));
}

async fn image_with_a_foreign_program_is_refused(engine: Engine) {
    let registry = Distribution::start(Setup::Plain);
    let project = Project::new(engine, "foreign");
    project.plan(registry.address(), PLATFORMS);
    let start = "ENTRYPOINT [\"busybox\", \"true\"]\nENV PATH=/none:/bin\n";
    dockerfile(&project, &format!("COPY busybox-amd64 /bin/busybox\n{start}"));
    let refused = project.run(&["build"]).await.expect_code(7);
    assert!(refused.stderr.contains("linux/arm64 holds an x86-64 /bin/busybox; "), "{}", refused.stderr);
    assert!(refused.stderr.contains("not moved") && refused.stderr.contains("`--no-elf`"), "{}", refused.stderr);
    assert_eq!(tags(&project, &registry).await, "1.0-amd64\n1.0-arm64");
    assert!(project.run(&["join"]).await.expect_code(7).stderr.contains("holds an x86-64 /bin/busybox"));
    project.run(&["join", "--no-elf"]).await.expect_code(0);
    // What is there already was let through once.
    project.run(&["join"]).await.expect_code(0);

    dockerfile(&project, &format!("COPY busybox-$TARGETARCH /bin/busybox\n{start}"));
    let passed = project.run(&["build"]).await.expect_code(0);
    assert!(!passed.stderr.contains("not checked"), "{}", passed.stderr);
}

async fn script_counts_as_a_program_of_its_interpreter(engine: Engine) {
    let registry = Distribution::start(Setup::Plain);
    let project = Project::new(engine, "script");
    project.plan(registry.address(), PLATFORMS);
    project.write("context/top/start", "#!/bin/sh -e\nexec true\n");
    fs::set_permissions(project.path("context/top/start"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir_all(project.path("context/links")).unwrap();
    symlink("busybox", project.path("context/links/sh")).unwrap();
    let steps = |of: &str| {
        format!("COPY busybox-{of} /usr/bin/busybox\nCOPY links/ /bin/\nCOPY top/ /\nENTRYPOINT [\"/start\"]\n")
    };
    // The interpreter is a link to what is nowhere.
    dockerfile(&project, &steps("$TARGETARCH"));
    let unknown = project.run(&["build"]).await.expect_code(0);
    let note = "programs of linux/amd64, linux/arm64 not checked: /start was not found";
    assert!(unknown.stderr.contains(note), "{}", unknown.stderr);
    fs::remove_file(project.path("context/links/sh")).unwrap();
    symlink("../usr/bin/busybox", project.path("context/links/sh")).unwrap();
    let passed = project.run(&["build"]).await.expect_code(0);
    assert!(!passed.stderr.contains("not checked"), "{}", passed.stderr);
    dockerfile(&project, &steps("arm64"));
    let refused = project.run(&["build"]).await.expect_code(7);
    assert!(refused.stderr.contains("linux/amd64 holds an arm64 /usr/bin/busybox; "), "{}", refused.stderr);
}

async fn join_checks_programs_of_third_party_images(engine: Engine) {
    let registry = Distribution::start(Setup::Plain);
    let project = Project::new(engine, "opened");
    project.plan(registry.address(), PLATFORMS);
    dockerfile(&project, "COPY busybox-$TARGETARCH /bin/busybox\n");
    project.run(&["build", "--no-join"]).await.expect_code(0);
    // Its config says one thing, and it starts another.
    let [amd64, arm64] = ["1.0-amd64", "1.0-arm64"].map(|tag| project.reference(registry.address(), tag));
    crane(&["mutate", "--set-platform=linux/arm64", "--entrypoint=/bin/busybox", "--tag", &arm64, &amd64]).await;
    let refused = project.run(&["join"]).await.expect_code(7);
    assert!(refused.stderr.contains("linux/arm64 holds an x86-64 /bin/busybox; "), "{}", refused.stderr);
    let target = project.reference(registry.address(), "2.0");
    let refused = project.run(&["join", "-t", &target, &amd64, &arm64]).await.expect_code(7);
    assert!(refused.stderr.contains("linux/arm64 holds an x86-64 /bin/busybox; "), "{}", refused.stderr);
    assert_eq!(tags(&project, &registry).await, "1.0-amd64\n1.0-arm64");
    project.run(&["build"]).await.expect_code(0);
    let joined = project.run(&["join", "-t", &target, &amd64, &arm64]).await.expect_code(0);
    assert!(!joined.stderr.contains("not checked"), "{}", joined.stderr);
}

async fn index_loses_no_platform_without_allow_shrink(engine: Engine) {
    let registry = Distribution::start(Setup::Plain);
    let project = Project::new(engine, "lost");
    project.plan(registry.address(), PLATFORMS);
    dockerfile(&project, "COPY busybox-$TARGETARCH /bin/busybox\n");
    project.run(&["build"]).await.expect_code(0);
    let reference = project.reference(registry.address(), "1.0");
    let before = crane(&["digest", &reference]).await;
    project.plan(registry.address(), "platforms: [linux/amd64]");
    let refused = project.run(&["build"]).await.expect_code(7);
    let lacks = format!("{reference} has linux/arm64, which the new index lacks; ");
    assert!(refused.stderr.contains(&lacks) && refused.stderr.contains("`--allow-shrink`"), "{}", refused.stderr);
    assert_eq!(crane(&["digest", &reference]).await, before);
    let joined = project.run(&["join", "--allow-shrink"]).await.expect_code(0);
    assert!(joined.stdout.contains(&crane(&["digest", &reference]).await), "{}", joined.stdout);
}
