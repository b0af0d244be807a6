//! What engines attest of the images that they build, and who can read it.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::joining::{each_platform_is_pulled_and_runs, entries, imagetools};
use crate::project::{Project, crane, read_json};
use crate::support::distribution::{Distribution, PASSWORD, Setup, USER};
use crate::support::engines::Engine;
use crate::support::parts;

const ARCHITECTURES: [&str; 2] = ["amd64", "arm64"];

/// A step that has an argument and a secret, and leaves a file of the project's name.
const STEP: &str = r#"ARG VERSION
RUN --mount=type=secret,id=token ["/bin/busybox", "sh", "-c", "/bin/busybox sha256sum /run/secrets/token > /NAME || true"]
"#;

/// An image of two platforms that no other test and no other run has.
fn project(engine: Engine, what: &str, registry: impl std::fmt::Display, settings: &str) -> Project {
    let project = Project::new(engine, what);
    project.busybox(&STEP.replace("NAME", &project.name));
    plan(&project, registry, settings);
    project
}

fn plan(project: &Project, registry: impl std::fmt::Display, settings: &str) {
    project.plan(registry, &format!("platforms: [linux/amd64, linux/arm64]\n{settings}"));
}

/// The attestations of an index in a registry, as crane reads them: their statements, proven to be of its images.
async fn statements(reference: &str) -> Vec<Value> {
    let (repository, _) = reference.rsplit_once(':').unwrap();
    let entries = entries(reference).await;
    let (images, attestations) = entries.split_at(ARCHITECTURES.len());
    let mut statements = Vec::new();
    for (image, attestation) in images.iter().zip(attestations) {
        assert_eq!(attestation["annotations"]["vnd.docker.reference.digest"], image["digest"]);
        let attestation = format!("{repository}@{}", attestation["digest"].as_str().unwrap());
        let fetched = parts::tool("oras", ["manifest", "fetch", "--plain-http", &attestation]).await;
        let manifest: Value = serde_json::from_str(&parts::printed(&fetched)).unwrap();
        for layer in manifest["layers"].as_array().unwrap() {
            assert_eq!(layer["mediaType"], "application/vnd.in-toto+json", "{manifest:#}");
            let blob = format!("{repository}@{}", layer["digest"].as_str().unwrap());
            let statement: Value = serde_json::from_str(&crane(&["blob", &blob]).await).unwrap();
            assert_eq!(layer["annotations"]["in-toto.io/predicate-type"], statement["predicateType"]);
            let subject = statement["subject"][0]["digest"]["sha256"].as_str().unwrap();
            assert_eq!(json!(format!("sha256:{subject}")), image["digest"], "{statement:#}");
            statements.push(statement);
        }
    }
    statements
}

#[tokio::test]
async fn provenance_has_the_planned_detail_and_no_secret() {
    let registry = Distribution::start(Setup::Plain);
    let settings = "secrets: [{ id: token, env: TOKEN }]\nargs: { VERSION: the-argument }\nprovenance: ";
    let project = project(Engine::new(), "provenance", registry.address(), &format!("{settings}max"));
    let canary = format!("canary-{}", project.name);
    let reference = project.reference(registry.address(), "1.0");
    for mode in ["max", "min"] {
        plan(&project, registry.address(), &format!("{settings}{mode}"));
        let built = project.command(&["build"]).env("TOKEN", &canary).finish().await.expect_code(0);
        assert!(built.stderr.contains("joined 2 platforms and 2 attestations as"), "{}", built.stderr);
        let statements = statements(&reference).await;
        assert_eq!(statements.len(), 2);
        // Steps, source and the values of arguments.
        for marker in ["llbDefinition", "the-argument", &STANDARD.encode("FROM scratch\nAR")] {
            assert!(
                statements.iter().all(|one| one.to_string().contains(marker) == (mode == "max")),
                "{marker} {mode}"
            );
        }
        for hidden in [&*canary, &STANDARD.encode(&canary)] {
            assert!(statements.iter().all(|one| !one.to_string().contains(hidden)), "{hidden} {mode}");
        }
        let provenance = imagetools(&reference, ".Provenance").await;
        for arch in ARCHITECTURES {
            let own = &provenance[format!("linux/{arch}")]["SLSA"];
            assert_eq!(own["invocation"]["configSource"]["entryPoint"], "Dockerfile", "{own:#}");
            assert_eq!(own.to_string().contains(&format!("busybox-{arch}")), mode == "max", "{own:#}");
        }
        assert_eq!(project.run(&["verify", &project.name]).await.expect_code(0).stdout, built.stdout);
        let verified = project.run(&["verify", &reference, "--format", "json"]).await.expect_code(0).stdout;
        assert!(verified.contains("\"attestations\": 2"), "{verified}");
    }
    each_platform_is_pulled_and_runs(&project, &reference).await;
}

/// The index's images and its attestations, by digest.
async fn halves(reference: &str) -> (Vec<Value>, Vec<Value>) {
    let mut images: Vec<_> = entries(reference).await.iter().map(|entry| entry["digest"].clone()).collect();
    let attestations = images.split_off(ARCHITECTURES.len());
    (images, attestations)
}

#[tokio::test]
async fn provenance_is_new_for_each_build_and_absent_if_not_planned() {
    let registry = Distribution::start(Setup::Plain);
    let project = project(Engine::new(), "anew", registry.address(), "provenance: max");
    let reference = project.reference(registry.address(), "1.0");
    let mut seen = Vec::new();
    for _ in 0..2 {
        project.build(&[]).await;
        seen.push(halves(&reference).await);
    }
    assert_eq!(seen[0].0, seen[1].0, "the images are the same");
    assert!(seen[1].1.iter().all(|one| !seen[0].1.contains(one)), "each has the time of its build");
    // The same images under the same arch tags, without what an earlier run attested.
    plan(&project, registry.address(), "oci_mediatypes: true");
    project.build(&[]).await;
    assert_eq!(halves(&reference).await, (seen[0].0.clone(), Vec::new()));
}

#[tokio::test]
async fn attested_images_load_and_run_under_their_names() {
    let project = project(Engine::new(), "named", "local", "provenance: min");
    let name = format!("{}:1.0", project.name);
    let runs = async |platform: &str| {
        let platform = format!("--platform={platform}");
        let run = ["run", "--rm", "--network=none", "--pull=never", &platform, &name, "/bin/busybox", "uname", "-m"];
        parts::printed(&project.engine.docker(run).await)
    };
    project.build(&["--no-push"]).await;
    let report = read_json(&project.path("report.json"));
    for (nth, machine) in ["x86_64", "aarch64"].into_iter().enumerate() {
        let id = report["images"][0]["platforms"][nth]["image_id"].as_str().unwrap();
        let run = ["run", "--rm", "--network=none", "--pull=never", id, "/bin/busybox", "uname", "-m"];
        assert_eq!(parts::printed(&project.engine.docker(run).await), machine);
    }
    let built = project.run(&["build"]).await.expect_code(0);
    assert!(built.stderr.contains("joined 2 platforms and 2 attestations as"), "{}", built.stderr);
    assert_eq!(runs("linux/amd64").await, "x86_64");
    project.run(&["build", "--load"]).await.expect_code(0);
    assert_eq!([runs("linux/amd64").await, runs("linux/arm64").await], ["x86_64", "aarch64"]);
}

#[tokio::test]
async fn provenance_names_the_attested_base_by_digest() {
    let registry = Distribution::start(Setup::Plain);
    let project = project(Engine::new(), "below", registry.address(), "");
    let name = &project.name;
    project.write("app/Dockerfile", format!("FROM base\nRUN [\"/bin/busybox\", \"touch\", \"/above-{name}\"]\n"));
    project.write(
        "build.yaml",
        format!(
            "version: 1\nregistry: {}\n\
             defaults: {{ tags: [\"1.0\"], platforms: [linux/amd64, linux/arm64], provenance: max }}\nimages:\n\
             \x20 {name}-app: {{ context: app, contexts: {{ base: \"image:{name}\" }} }}\n\
             \x20 {name}: {{ context: context }}\n",
            registry.address()
        ),
    );
    // On the engine alone, the base is an index under its arch tag.
    project.build(&["--no-push"]).await;
    project.build(&[]).await;
    let reference = |image: &str| format!("{}/{image}:1.0", registry.address());
    let (base, _) = halves(&reference(name)).await;
    let provenance = imagetools(&reference(&format!("{name}-app")), ".Provenance").await;
    for (arch, base) in ARCHITECTURES.into_iter().zip(base) {
        let materials = &provenance[format!("linux/{arch}")]["SLSA"]["materials"];
        let digest = base.as_str().unwrap().trim_start_matches("sha256:");
        assert_eq!(materials[0]["digest"]["sha256"], digest, "{arch}: {materials:#}");
    }
}

#[tokio::test]
async fn platforms_with_and_without_attestations_are_joined() {
    let registry = Distribution::start(Setup::Plain);
    let (old, new) = (Engine::old(), Engine::new());
    let project = project(old.clone(), "beside", registry.address(), "");
    let _cleanup = new.cleanup(&project.name);
    let platforms = "platforms: { linux/amd64: { engine: old }, linux/arm64: { engine: new, provenance: min } }";
    project.plan(registry.address(), platforms);
    let plan = fs::read_to_string(project.path("build.yaml")).unwrap();
    let engines = format!(
        "engines:\n  old: {{ host: '{}' }}\n  new: {{ host: '{}', platforms: [linux/arm64] }}\n",
        old.host, new.host
    );
    project.write("build.yaml", plan + &engines);
    project.build(&[]).await;
    let reference = project.reference(registry.address(), "1.0");
    let entries = entries(&reference).await;
    assert_eq!(entries.len(), 3, "{entries:#?}");
    assert_eq!(entries[2]["annotations"]["vnd.docker.reference.digest"], entries[1]["digest"]);
    each_platform_is_pulled_and_runs(&project, &reference).await;
}

/// Lists the files of what it is given, as BuildKit's "SBOM Scanning Protocol" wants it.
const SCAN: &str = r#"
[ -z "$BUILDKIT_SCAN_SOURCE_EXTRAS" ] || exit 9
files=$(cd "$BUILDKIT_SCAN_SOURCE" && /bin/busybox find . -type f | /bin/busybox sort | /bin/busybox sed 's/.*/{"fileName":"&"}/' | /bin/busybox tr '\n' ',')
document='{"spdxVersion":"SPDX-2.3","SPDXID":"SPDXRef-DOCUMENT","name":"NAME","files":['"${files%,}"']}'
/bin/busybox echo '{"_type":"https://in-toto.io/Statement/v0.1","predicateType":"https://spdx.dev/Document","predicate":'"$document"'}' > "$BUILDKIT_SCAN_DESTINATION/sbom.spdx.json"
"#;

/// A generator in `registry`, which wants a login that both projects have. It was built by another engine: the one
/// that scans has nothing of it.
async fn generator(registry: &Distribution, project: &Project) -> Project {
    let generator = Project::new(Engine::old(), "generator");
    let auth = STANDARD.encode(format!("{USER}:{PASSWORD}"));
    let login = json!({ "auths": { registry.address().to_string(): { "auth": auth } } });
    for project in [&generator, project] {
        fs::write(project.home.docker_config().join("config.json"), login.to_string()).unwrap();
    }
    generator.write("context/scan", SCAN.replace("NAME", &generator.name));
    generator.busybox("COPY scan /scan\nENTRYPOINT [\"/bin/busybox\", \"sh\", \"/scan\"]\n");
    generator.plan(registry.address(), "platforms: [linux/amd64]");
    generator.build(&[]).await;
    generator
}

#[tokio::test]
async fn sbom_generator_is_pulled_with_the_login_of_the_user() {
    let (closed, registry) = (Distribution::start(Setup::Login), Distribution::start(Setup::Plain));
    let project = project(Engine::new(), "sbom", registry.address(), "");
    let generator = generator(&closed, &project).await;
    let settings = format!("sbom: \"{}\"", generator.reference(closed.address(), "1.0"));
    plan(&project, registry.address(), &settings);
    let built = project.run(&["build"]).await.expect_code(0);
    let reference = project.reference(registry.address(), "1.0");
    let files = ["./bin/busybox".to_owned(), format!("./{}", project.name)];
    let statements = statements(&reference).await;
    assert_eq!(statements.len(), 2);
    for statement in statements {
        assert_eq!(statement["predicateType"], "https://spdx.dev/Document");
        let listed = statement["predicate"]["files"].as_array().unwrap().iter();
        let listed: Vec<_> = listed.map(|file| file["fileName"].as_str().unwrap()).collect();
        assert_eq!(listed, files, "{statement:#}");
    }
    let sboms = imagetools(&reference, ".SBOM").await;
    for arch in ARCHITECTURES {
        assert_eq!(sboms[format!("linux/{arch}")]["SPDX"]["name"], generator.name, "{sboms:#}");
    }
    // The same image has the same list, and nothing is put again.
    let before = registry.requests().len();
    assert_eq!(project.run(&["build"]).await.expect_code(0).stdout, built.stdout);
    assert!(registry.requests()[before..].iter().all(|asked| !asked.starts_with("PUT ")));
    each_platform_is_pulled_and_runs(&project, &reference).await;

    plan(&project, registry.address(), &format!("{settings}\nprovenance: max"));
    project.build(&[]).await;
    assert_eq!(self::statements(&reference).await.len(), 4, "a manifest has both of them");
}

#[tokio::test]
async fn missing_sbom_generator_fails_the_build_by_name() {
    let registry = Distribution::start(Setup::Plain);
    let generator = format!("{}/nobody/scans:1", registry.address());
    let project = project(Engine::new(), "no-sbom", registry.address(), &format!("sbom: \"{generator}\""));
    let failed = project.run(&["build"]).await.expect_code(4);
    assert!(failed.stderr.contains(&format!("{generator}: not found")), "{}", failed.stderr);
}

#[tokio::test]
async fn attestations_are_refused_on_a_graph_driver_engine() {
    let registry = Distribution::start(Setup::Plain);
    let project = project(Engine::old(), "refused", registry.address(), "provenance: min\nsbom: true");
    let refused = project.run(&["build"]).await.expect_code(3);
    let words = format!(
        "cannot build {} linux/amd64 with `provenance`, `sbom`: its image store cannot hold such an image",
        project.name
    );
    assert!(refused.stderr.contains(&words), "{}", refused.stderr);
    let hint = "use an engine with the containerd image store, 24.0 or newer";
    assert!(refused.stderr.contains(hint), "{}", refused.stderr);
}
