//! What users of docker, buildx, bake and skopeo type, done or answered with the word for it.

use std::fs;

use crate::support::program::{Finished, Home, Run};

fn home() -> Home {
    let home = Home::new();
    fs::write(home.path().join("Dockerfile"), "FROM scratch\n").unwrap();
    fs::write(home.path().join("build.yaml"), PLAN).unwrap();
    home
}

const PLAN: &str = "version: 1\nregistry: localhost:9\nimages: { hello: { tags: [\"1.0\"], platforms: [linux/amd64, \
                    linux/arm64] } }\n";

async fn run(home: &Home, words: &[&str]) -> Finished {
    Run::new(home, words).env("DOCKER_HOST", "unix:///nothing.sock").finish().await
}

#[tokio::test]
async fn help_and_version_are_also_commands() {
    let home = home();
    for (word, option) in
        [(&["help"][..], &["--help"][..]), (&["help", "build"], &["build", "--help"]), (&["version"], &["--version"])]
    {
        let (word, option) = (run(&home, word).await.expect_code(0), run(&home, option).await.expect_code(0));
        assert!(!word.stdout.is_empty());
        assert_eq!(word.stdout, option.stdout);
    }
}

#[tokio::test]
async fn docker_arguments_get_a_hint_with_the_polyarch_form() {
    let home = home();
    fs::write(home.path().join("other.yaml"), PLAN).unwrap();
    for (words, answer) in [
        (&["build", "."][..], "`.` is not an image of the plan"),
        (&["build", "./web"], "leave it out"),
        (&["build", "https://git.example/a.git"], "is not an image of the plan"),
        (&["build", "other.yaml"], "name another plan with -f other.yaml"),
        (&["build", "-f", "Dockerfile"], "Dockerfile is a Dockerfile, and -f names the plan"),
        (&["build", "--target", "x"], "--set '*.target=…'"),
        (&["build", "--secret=id=a"], "set `secrets` in the plan"),
        (&["build", "--cache-from", "x"], "set `cache` in the plan"),
        (&["build", "--output=type=docker"], "--load leaves images on engines"),
        (&["build", "-q"], "--progress quiet"),
        (&["build", "--metadata-file", "x"], "--report FILE"),
        (&["bake"], "use `polyarch build`, which builds every image"),
        (&["push"], "`polyarch copy SOURCE TARGET`"),
        (&["run", "hello:1.0"], "use `docker run NAME:TAG`"),
        (&["create"], "use `docker run NAME:TAG`"),
        (&["pull", "hello:1.0"], "use `docker pull`"),
        (&["ls"], "`polyarch images`"),
        (&["rm", "hello:1.0"], "`polyarch clean`"),
        (&["build", "--set", "hello.arm64.args.X=y"], "`arm64`\nhint: did you mean `linux/arm64`?\n"),
        (&["build", "--set", "hello.arg.X=y"], "hint: did you mean `args`?\n"),
        (&["imagetools", "inspect"], "`polyarch inspect REF`"),
        (&["build", "--push", "--load"], "cannot be used with"),
        (&["join", "--platform", "linux/amd64"], "leaves out linux/arm64 of hello"),
        (&["join", "hello", "--platform", "linux/amd64", "--dry-run"], "leaves out linux/arm64 of hello"),
        (&["inspect", "docker-archive:x.tar"], "polyarch does not read `docker-archive:`"),
        (&["copy", "oci-archive:x.tar", "localhost:9/a:1"], "skopeo copy SOURCE oci:DIR:TAG"),
        (&["copy", "localhost:9/a:1", "docker-daemon:a:1"], "polyarch does not read `docker-daemon:`"),
        (&["join", "-t", "dir:x", "localhost:9/a:1"], "polyarch does not read `dir:`"),
        (&["inspect", "helo"], "did you mean `hello`?"),
    ] {
        let finished = run(&home, words).await.expect_code(2);
        assert!(finished.stderr.contains(answer), "{words:?}: {}", finished.stderr);
    }
}

#[tokio::test]
async fn buildx_and_bake_arguments_are_accepted() {
    let home = home();
    // No engine is there: what was typed was read.
    for words in [&["build", "--push"][..], &["build", "--push", "--platform", "linux/amd64"]] {
        let finished = run(&home, words).await.expect_code(3);
        assert!(finished.stderr.contains("nothing.sock"), "{}", finished.stderr);
    }
    let plan = home.path().join("piped.yaml");
    fs::write(&plan, PLAN.replace("hello", "piped")).unwrap();
    let read = |words: &'static [&'static str], file| Run::new(&home, words).input(file).finish();
    let finished = read(&["plan", "-f", "-", "--format", "json"], plan).await.expect_code(0);
    assert!(finished.stdout.contains("\"piped\""), "{}", finished.stdout);
    let finished = read(&["plan", "-f", "-"], home.path().join("Dockerfile")).await.expect_code(2);
    assert!(finished.stderr.contains("IMAGE.dockerfile=FILE; `-` means standard input"), "{}", finished.stderr);
}

#[tokio::test]
async fn comma_separated_platforms_are_accepted() {
    let home = home();
    for typed in [&["linux/amd64,linux/arm64"][..], &["linux/amd64, linux/arm64"], &[" linux/amd64 ", "linux/arm64"]] {
        let words: Vec<&str> = ["plan"].into_iter().chain(typed.iter().flat_map(|one| ["--platform", one])).collect();
        let finished = run(&home, &words).await.expect_code(0);
        assert!(finished.stdout.contains("linux/amd64") && finished.stdout.contains("linux/arm64"), "{typed:?}");
    }
    let (several, both) = ("write --platform linux/amd64,linux/arm64\n", "linux/amd64 linux/arm64");
    for (words, hint) in [
        (&["plan", "--platform", both][..], several),
        (&["plan", "--platform", "linux/amd64;linux/arm64"], several),
        (&["plan", "--platform", "[linux/amd64,linux/arm64]"], several),
        (&["plan", "--platform", "linux/amd64,linux/arm64,"], several),
        (&["plan", "--platform", ""], "as linux/arm64, or `native`"),
        (&["plan", "--platform", "linux amd64"], "as linux/arm64, or `native`"),
        (&["join", "-t", "a.io/a:1", "a.io/b:1", "--platform", both], several),
        (&["join", "-t", "a.io/a:1", "a.io/b:1", "--expect", both], "write --expect linux/amd64,linux/arm64\n"),
        (&["digest", "a.io/a:1", "--platform", both], "name one of them: --platform linux/amd64;"),
        (&["copy", "a.io/a:1", "a.io/b:1", "--platform", "linux/amd64,linux/arm64"], "name one of them: "),
        (
            &["plan", "--set", "hello.platforms=linux/amd64 linux/arm64"],
            "separate the platforms by commas: linux/amd64,linux/arm64",
        ),
        (&["plan", "--set", "hello.platforms=linux/amd64,"], "remove the trailing comma"),
    ] {
        let finished = run(&home, words).await.expect_code(2);
        assert!(finished.stderr.contains(hint), "{words:?}: {}", finished.stderr);
    }
}

#[tokio::test]
async fn text_in_place_of_a_list_gets_a_hint_with_the_list() {
    let home = home();
    let list = "hint: write platforms: [linux/amd64, linux/arm64]\n";
    for (platforms, tags, hint) in [
        ("\"linux/amd64,linux/arm64\"", "[a]", list),
        ("linux/amd64 linux/arm64", "[a]", list),
        ("[\"linux/amd64, linux/arm64\"]", "[a]", list),
        ("[\"linux/amd64 linux/arm64\"]", "[a]", list),
        ("\"linux/amd64,\"", "[a]", "hint: write platforms: [linux/amd64]\n"),
        ("[\" linux/amd64\"]", "[a]", "hint: write linux/amd64\n"),
        ("{ \"linux/amd64,linux/arm64\": {} }", "[a]", list),
        ("[linux/amd64]", "\"1.0, latest\"", "hint: write tags: [\"1.0\", \"latest\"]\n"),
        ("[linux/amd64]", "1.10", "hint: write tags: [\"1.10\"]\n"),
    ] {
        let plan = format!(
            "version: 1\nregistry: localhost:9\nimages:\n  hello:\n    tags: {tags}\n    platforms: {platforms}\n"
        );
        fs::write(home.path().join("build.yaml"), plan).unwrap();
        let finished = run(&home, &["plan"]).await.expect_code(2);
        assert!(finished.stderr.contains(hint), "{platforms} {tags}: {}", finished.stderr);
    }
    let engines = "engines: { a: { host: unix:///x, platforms: linux/amd64 linux/arm64 } }\n";
    fs::write(home.path().join("build.yaml"), format!("{PLAN}{engines}")).unwrap();
    let finished = run(&home, &["plan"]).await.expect_code(2);
    assert!(finished.stderr.contains(list), "{}", finished.stderr);
}

#[tokio::test]
async fn mixed_case_name_gets_a_hint_in_lower_case() {
    let home = home();
    for (words, lower) in [
        (&["inspect", "a.io/MyOrg/App:1"][..], "as in myorg/app"),
        (&["join", "-t", "a.io/MyOrg/App:1", "a.io/b:1"], "as in myorg/app"),
        (&["copy", "a.io/b:1", "MyOrg/App"], "as in myorg/app"),
        (&["images", "a.io/MyOrg/App"], "as in myorg/app"),
        (&["clean", "a.io/MyOrg/App", "--keep", "1"], "as in myorg/app"),
        (&["plan", "--registry", "a.io/MyOrg"], "as in myorg"),
        (&["plan", "--registry", "MyOrg"], "write docker.io/myorg for Docker Hub"),
        (&["plan", "--tag", "MyOrg/App:V1"], "pass only the tag: `-t V1`"),
        (&["plan", "--set", "hello.repository=MyOrg/App"], "as in myorg/app"),
        (&["plan", "--set", "hello.from=MyOrg/App:1"], "as in myorg/app"),
        (&["plan", "--set", "hello.cache.to=a.io/MyOrg/App:1"], "as in myorg/app"),
    ] {
        let finished = run(&home, words).await.expect_code(2);
        assert!(finished.stderr.contains(lower), "{words:?}: {}", finished.stderr);
    }
}

#[tokio::test]
async fn image_names_of_a_plan_stand_for_their_first_tags() {
    let home = home();
    // The retries take their time, so all run at once.
    let typed = [
        &["inspect", "hello"][..],
        &["inspect", "hello", "localhost:9/a:1"],
        &["digest", "hello"],
        &["copy", "hello", "localhost:9/copy:1"],
    ];
    futures::future::join_all(typed.map(async |words| {
        let finished = run(&home, words).await.expect_code(3);
        assert!(finished.stderr.contains("localhost:9"), "{words:?}: {}", finished.stderr);
    }))
    .await;
    fs::remove_file(home.path().join("build.yaml")).unwrap();
    let finished = run(&home, &["inspect", "hello"]).await.expect_code(2);
    assert!(finished.stderr.contains("`hello` is neither a reference nor an image of a plan"), "{}", finished.stderr);
}

#[tokio::test]
async fn reference_in_place_of_a_tag_gets_a_hint_for_the_plan() {
    let home = home();
    for (tag, hint) in [
        ("ghcr.io/acme/web:1.0", "write registry: ghcr.io/acme, repository: web, tags: [\"1.0\"]"),
        ("localhost:5000/web:1.0", "write registry: localhost:5000, repository: web, tags: [\"1.0\"]"),
        ("acme/web:1.0", "write registry: docker.io/acme, repository: web, tags: [\"1.0\"]"),
        ("web:1.0", "repository: web, tags: [\"1.0\"]"),
    ] {
        let plan = PLAN.replace("\"1.0\"", &format!("\"{tag}\""));
        fs::write(home.path().join("build.yaml"), plan).unwrap();
        let finished = run(&home, &["plan"]).await.expect_code(2);
        assert!(finished.stderr.contains(hint) && finished.stderr.contains("build.yaml:3:"), "{}", finished.stderr);
        fs::write(home.path().join("build.yaml"), PLAN).unwrap();
        let finished = run(&home, &["plan", "--tag", tag]).await.expect_code(2);
        assert!(finished.stderr.contains("hint: pass only the tag: `-t 1.0`\n"), "{}", finished.stderr);
    }
}

#[tokio::test]
async fn image_of_the_plan_with_a_tag_gets_a_hint_without_it() {
    let home = home();
    let cases = [("inspect", "hello:0.1", true), ("inspect", "acme/hello:0.1", false), ("digest", "hello:0.1", true)];
    // Nothing listens on port 9, so nothing leaves this machine. The retries take their time, so all run at once.
    let asked = cases.map(async |(command, reference, is_hinted)| {
        let run = Run::new(&home, [command, reference]).env("HTTPS_PROXY", "http://127.0.0.1:9");
        let finished = run.finish().await.expect_code(3);
        let hint = format!("hint: `hello` is an image of your plan: run `polyarch {command} hello`\n");
        assert_eq!(finished.stderr.contains(&hint), is_hinted, "{}", finished.stderr);
    });
    futures::future::join_all(asked).await;
}
