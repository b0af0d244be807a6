//! Caches in registries, in images and in directories: exported by one engine, hit by another that has none.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::project::{BUSYBOX, Project, crane, read_json};
use crate::support::distribution::{Distribution, PASSWORD, Setup, USER};
use crate::support::engines::{Engine, PrivateEngine};
use crate::support::parts;

on_both_engines!(inline_cache_is_part_of_the_image_and_is_hit);
on_the_graph_engine!(inline_cache_is_part_of_the_image_and_is_hit);

const PLATFORMS: &str = "platforms: [linux/amd64, linux/arm64]\n";

/// Two stages, with a step in the first whose result nobody can guess: who has the same ran it once. The step is of this
/// test alone.
fn dockerfile(project: &Project, made: &str) {
    parts::add_busybox(&project.context());
    let shell = BUSYBOX.replace("FROM scratch", "FROM scratch AS shell");
    let name = &project.name;
    let run = format!(
        r#"RUN ["/bin/busybox", "sh", "-c", "/bin/busybox cat /proc/sys/kernel/random/uuid > /made # {name}"]"#
    );
    let text = format!("{shell}FROM shell AS make\n{run}\nFROM shell\nCOPY --from=make /made /{made}\n");
    project.write("context/Dockerfile", text);
}

/// Steps that the cache had, and all of them, of each platform.
fn steps(report: &Value) -> Vec<(u64, u64)> {
    let platforms = report["images"][0]["platforms"].as_array().unwrap();
    platforms.iter().map(|one| (one["cached_steps"].as_u64().unwrap(), one["steps"].as_u64().unwrap())).collect()
}

fn verified(report: &Value) -> String {
    report["images"][0]["verified"][0].as_str().unwrap_or_else(|| panic!("{report:#}")).to_owned()
}

/// Takes from the engine everything that it could take a step from.
async fn forget(engine: &Engine) {
    let images = parts::printed(&engine.docker(["images", "--all", "--quiet"]).await);
    let images: Vec<_> = images.split_whitespace().collect();
    if !images.is_empty() {
        engine.docker(["rmi", "--force"].iter().chain(&images)).await;
    }
    parts::printed(&engine.docker(["builder", "prune", "--all", "--force"]).await);
}

fn log_in(project: &Project, registry: &Distribution) {
    let auth = STANDARD.encode(format!("{USER}:{PASSWORD}"));
    let login = json!({ "auths": { registry.address().to_string(): { "auth": auth } } });
    fs::write(project.home.docker_config().join("config.json"), login.to_string()).unwrap();
}

#[tokio::test]
async fn registry_cache_of_each_platform_is_hit_by_a_new_engine() {
    let registry = Distribution::start(Setup::Login);
    let private = PrivateEngine::start(&Engine::new(), "cached").await;
    let project = Project::new(private.engine.clone(), "cached");
    log_in(&project, &registry);
    dockerfile(&project, "made");
    project.plan(registry.address(), &format!("{PLATFORMS}cache: {{ registry: true, mode: max }}"));
    let first = project.run(&["build", "--report", "report.json"]).await.expect_code(0);
    for arch in ["amd64", "arm64"] {
        let place = project.reference(registry.address(), &format!("buildcache-{arch}"));
        let words = format!("{} linux/{arch} │ there is no cache at {place} yet", project.name);
        assert!(first.stderr.contains(&words), "{words}:\n{}", first.stderr);
        assert_eq!(first.stderr.matches(&words).count(), 1, "{}", first.stderr);
    }
    assert!(!first.stderr.contains("cannot be used"), "{}", first.stderr);
    let before = read_json(&project.path("report.json"));
    forget(&project.engine).await;
    let after = project.build(&[]).await;
    assert_eq!(verified(&after), verified(&before), "the step was run again");
    for (cached, all) in steps(&after) {
        assert!(cached == all && all > 0, "{after:#}");
    }
    let asked = registry.requests();
    for arch in ["amd64", "arm64"] {
        let put = format!("PUT /v2/{}/manifests/buildcache-{arch}", project.name);
        assert!(asked.iter().any(|request| request.starts_with(&put)), "{put}: {asked:#?}");
    }
}

#[tokio::test]
async fn cache_mode_max_has_all_stages_and_min_only_the_last() {
    let registry = Distribution::start(Setup::Plain);
    let private = PrivateEngine::start(&Engine::new(), "modes").await;
    for (mode, again) in [("max", false), ("min", true)] {
        let project = Project::new(private.engine.clone(), mode);
        dockerfile(&project, "made");
        let cache = format!("platforms: [linux/amd64]\ncache: {{ registry: true, mode: {mode} }}");
        project.plan(registry.address(), &cache);
        project.build(&[]).await;
        let place = project.reference(registry.address(), "buildcache-amd64");
        // Registries that know images only take it.
        let manifest: Value = serde_json::from_str(&crane(&["manifest", &place]).await).unwrap();
        assert_eq!(manifest["mediaType"], "application/vnd.oci.image.manifest.v1+json", "{manifest:#}");
        let made = read_made(&project, &registry, "made").await;
        forget(&project.engine).await;
        // The last stage changes; the one before it is as it was.
        dockerfile(&project, "made-2");
        project.build(&[]).await;
        assert_eq!(read_made(&project, &registry, "made-2").await != made, again, "mode {mode}");
    }
}

/// The file that the step made.
async fn read_made(project: &Project, registry: &Distribution, file: &str) -> String {
    let image = project.reference(registry.address(), "1.0-amd64");
    let run = ["run", "--rm", "--network=none", "--pull=never", &image, "/bin/busybox", "cat", &format!("/{file}")];
    parts::printed(&project.engine.docker(run).await)
}

async fn inline_cache_is_part_of_the_image_and_is_hit(engine: Engine) {
    let registry = Distribution::start(Setup::Plain);
    let private = PrivateEngine::start(&engine, "inline").await;
    let project = Project::new(private.engine.clone(), "inline");
    parts::add_busybox(&project.context());
    project.busybox(&format!(
        "RUN [\"/bin/busybox\", \"sh\", \"-c\", \"/bin/busybox cat /proc/sys/kernel/random/uuid > /made # {}\"]\n",
        project.name
    ));
    let cache = "cache: { to: { type: inline }, from: [{ type: inline }] }";
    project.plan(registry.address(), &format!("{PLATFORMS}{cache}"));
    let before = project.build(&[]).await;
    let config = crate::project::config(&project.reference(registry.address(), "1.0"), "linux/arm64").await;
    assert!(config["moby.buildkit.cache.v0"].is_string(), "{config:#}");
    forget(&project.engine).await;
    let after = project.build(&[]).await;
    assert_eq!(verified(&after), verified(&before), "the step was run again");
    // Without the cache it is run again: nothing else could have had it.
    forget(&project.engine).await;
    project.plan(registry.address(), PLATFORMS);
    assert_ne!(verified(&project.build(&[]).await), verified(&before));
}

#[tokio::test]
async fn graph_driver_engine_supports_only_inline_caches() {
    let registry = Distribution::start(Setup::Plain);
    let project = Project::new(Engine::old(), "graph-driver");
    dockerfile(&project, "made");
    let name = &project.name;
    project.plan(registry.address(), "platforms: [linux/amd64]\ncache: { registry: true, mode: max }");
    let refused = project.run(&["build"]).await.expect_code(3);
    let words = format!("cannot build {name} linux/amd64 with `cache`: it can export a cache only inside the image");
    assert!(refused.stderr.contains(&words) && refused.stderr.contains("to: { type: inline }"), "{}", refused.stderr);
    // Nothing leaves the engine then, and nothing is refused.
    project.run(&["build", "--load"]).await.expect_code(0);
    project.plan(registry.address(), "platforms: [linux/amd64]\ncache: { from: [\":none-${arch}\"] }");
    let built = project.run(&["build"]).await.expect_code(0);
    let missing = format!("there is no cache at {} yet", project.reference(registry.address(), "none-amd64"));
    for words in ["finds caches only in images", &missing] {
        assert!(built.stderr.contains(words), "{words}:\n{}", built.stderr);
    }
}

#[tokio::test]
async fn failed_cache_export_fails_the_build_by_name() {
    let (registry, refuses) = (Distribution::start(Setup::Plain), Distribution::start(Setup::Login));
    let project = Project::new(Engine::new(), "refused");
    dockerfile(&project, "made");
    let place = format!("{}/{}:cache", refuses.address(), project.name);
    let cache = format!("platforms: [linux/amd64]\ncache: {{ from: [\"{place}\"], to: \"{place}\" }}");
    project.plan(registry.address(), &cache);
    let failed = project.run(&["build"]).await.expect_code(4);
    assert!(
        failed.stderr.contains(&format!("the engine could not export the cache to {place}: ")),
        "{}",
        failed.stderr
    );
    assert!(failed.stderr.contains("docker login"), "{}", failed.stderr);
    assert!(failed.stdout.is_empty() && registry.requests().iter().all(|asked| !asked.starts_with("PUT")));
    // One that cannot be imported is warned of.
    project.plan(registry.address(), &format!("platforms: [linux/amd64]\ncache: {{ from: [\"{place}\"] }}"));
    let built = project.run(&["build"]).await.expect_code(0);
    assert!(built.stderr.contains(&format!("the cache at {place} cannot be used: ")), "{}", built.stderr);
}

#[tokio::test]
async fn cache_is_exported_with_no_push_but_not_with_load() {
    let registry = Distribution::start(Setup::Plain);
    let project = Project::new(Engine::new(), "no-push");
    dockerfile(&project, "made");
    project.plan(registry.address(), "platforms: [linux/amd64]\ncache: { registry: true }");
    let puts =
        || registry.requests().into_iter().filter(|asked| asked.contains("/manifests/") && asked.starts_with("PUT"));
    project.run(&["build", "--load"]).await.expect_code(0);
    assert_eq!(puts().count(), 0);
    project.run(&["build", "--no-push"]).await.expect_code(0);
    let put = format!("PUT /v2/{}/manifests/buildcache-amd64", project.name);
    assert!(puts().all(|asked| asked.starts_with(&put)) && puts().count() == 1, "{:#?}", registry.requests());
    // In the embedded registry the second of two runs finds what the first has put.
    project.plan("local", "platforms: [linux/amd64]\ncache: { registry: true }");
    let none = project.run(&["build", "--no-push"]).await.expect_code(0);
    assert!(none.stderr.contains("there is no cache at"), "{}", none.stderr);
    let some = project.run(&["build", "--no-push"]).await.expect_code(0);
    assert!(!some.stderr.contains("there is no cache at"), "{}", some.stderr);
}

/// Runs buildx on the project's engine, on its context for linux/amd64.
async fn buildx(project: &Project, caches: &[String]) -> String {
    let context = project.context();
    let args = ["buildx", "build", "--platform=linux/amd64", "--progress=plain", "--output=type=cacheonly"];
    let args = args.iter().copied().chain(caches.iter().map(String::as_str)).chain(context.to_str());
    let output = project.engine.docker(args).await;
    parts::printed(&output);
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test]
async fn directory_cache_is_hit_by_a_new_engine_and_by_buildx() {
    let registry = Distribution::start(Setup::Plain);
    let private = PrivateEngine::start(&Engine::new(), "directory").await;
    let project = Project::new(private.engine.clone(), "directory");
    dockerfile(&project, "made");
    let (from, to) = ("\"type=local,src=cache/${arch}\"", "{ type: local, dest: \"cache/${arch}\", mode: max }");
    project.plan(registry.address(), &format!("{PLATFORMS}cache: {{ from: [{from}], to: {to} }}"));
    let first = project.run(&["build", "--report", "report.json"]).await.expect_code(0);
    for arch in ["amd64", "arm64"] {
        let words = format!("{} linux/{arch} │ there is no cache at cache/{arch} yet", project.name);
        assert_eq!(first.stderr.matches(&words).count(), 1, "{words}:\n{}", first.stderr);
        let cache = project.path(&format!("cache/{arch}"));
        let blobs: Vec<_> =
            fs::read_dir(cache.join("blobs/sha256")).unwrap().map(|blob| blob.unwrap().path()).collect();
        // Two layers of the shell's and the step's, a config and a manifest, and nothing that is not what it says.
        assert!(blobs.len() >= 4, "{blobs:?}");
        for blob in blobs {
            let digest = polyarch::oci::Digest::of(&fs::read(&blob).unwrap());
            assert_eq!(blob.file_name().unwrap(), digest.hex());
        }
        assert_eq!(fs::read_dir(cache.join("ingest")).unwrap().count(), 0);
    }
    let before = read_json(&project.path("report.json"));
    forget(&project.engine).await;
    let after = project.run(&["build", "--report", "report.json"]).await.expect_code(0);
    assert!(!after.stderr.contains("no cache") && !after.stderr.contains("cannot be used"), "{}", after.stderr);
    let after = read_json(&project.path("report.json"));
    assert_eq!(verified(&after), verified(&before), "the step was run again");
    for (cached, all) in steps(&after) {
        assert!(cached == all && all > 0, "{after:#}");
    }
    // buildx hits ours, and we hit what it exports.
    forget(&project.engine).await;
    let (ours, theirs) = (project.path("cache/amd64"), project.path("theirs"));
    let caches = [
        format!("--cache-from=type=local,src={}", ours.display()),
        format!("--cache-to=type=local,dest={},mode=max", theirs.display()),
    ];
    let said = buildx(&project, &caches).await;
    let run = said.lines().find_map(|line| line.split_once(" [make 1/1] RUN ")).unwrap_or_else(|| panic!("{said}")).0;
    assert!(said.lines().any(|line| line == format!("{run} CACHED")), "{said}");
    forget(&project.engine).await;
    project.plan(registry.address(), "platforms: [linux/amd64]\ncache: { from: [{ type: local, src: theirs }] }");
    for (cached, all) in steps(&project.build(&["--no-join"]).await) {
        assert!(cached == all && all > 0, "{cached} of {all}");
    }
}

#[tokio::test]
async fn unwritable_cache_directory_fails_and_unreadable_one_warns() {
    let registry = Distribution::start(Setup::Plain);
    let project = Project::new(Engine::new(), "no-directory");
    dockerfile(&project, "made");
    project.write("file", "no directory");
    project.plan(registry.address(), "platforms: [linux/amd64]\ncache: { to: \"type=local,dest=file\" }");
    let failed = project.run(&["build"]).await.expect_code(4);
    for words in
        ["the engine could not export the cache to file: ", "Not a directory", "names a directory that you may write"]
    {
        assert!(failed.stderr.contains(words), "{words}:\n{}", failed.stderr);
    }
    assert!(failed.stdout.is_empty() && registry.requests().iter().all(|asked| !asked.starts_with("PUT")));
    // Without a registry it is exported, too, and what is no index is a cache that cannot be used.
    project.write("broken/index.json", "{");
    let cache = "cache: { from: [\"type=local,src=broken\"], to: [\"type=local,dest=cache\"] }";
    project.plan(registry.address(), &format!("platforms: [linux/amd64]\n{cache}"));
    let built = project.run(&["build", "--load"]).await.expect_code(0);
    let words = "the cache at broken cannot be used: broken/index.json: ";
    assert!(built.stderr.contains(words), "{}", built.stderr);
    let index = read_json(&project.path("cache/index.json"));
    let name = &index["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"];
    assert_eq!((index["manifests"].as_array().unwrap().len(), name), (1, &json!("latest")), "{index:#}");
}

#[tokio::test]
async fn graph_driver_engine_ignores_directory_caches() {
    let registry = Distribution::start(Setup::Plain);
    let [old, new] = Engine::both();
    let (old, new) = (Project::new(old, "old-directory"), Project::new(new, "new-directory"));
    dockerfile(&new, "made");
    let to = format!("platforms: [linux/amd64]\ncache: {{ to: \"type=local,dest={}\" }}", old.path("cache").display());
    new.plan(registry.address(), &to);
    new.run(&["build", "--no-push"]).await.expect_code(0);
    dockerfile(&old, "made");
    old.plan(registry.address(), &to);
    let refused = old.run(&["build", "--load"]).await.expect_code(3);
    let words =
        format!("cannot build {} linux/amd64 with `cache`: it can export a cache only inside the image", old.name);
    assert!(refused.stderr.contains(&words), "{}", refused.stderr);
    old.plan(registry.address(), "platforms: [linux/amd64]\ncache: { from: [\"type=local,src=cache\"] }");
    let built = old.run(&["build"]).await.expect_code(0);
    assert!(built.stderr.contains("finds caches only in images"), "{}", built.stderr);
    assert!(!built.stderr.contains("cannot be used"), "{}", built.stderr);
}
