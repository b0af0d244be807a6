//! Build secrets: used by two platforms at once, and found nowhere after.

use std::fs;
use std::path::Path;

use polyarch::oci::Digest;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio::process::Command;

use crate::project::{Project, crane};
use crate::support::distribution::{Distribution, Setup};
use crate::support::engines::Engine;
use crate::support::parts;

on_both_engines!(
    secret_of_two_platforms_is_found_nowhere_after_the_build,
    required_secret_missing_from_the_plan_is_named,
);

const PLATFORMS: [&str; 2] = ["amd64", "arm64"];

/// What must be found nowhere; and a marker that must be found, so that the hunt is one.
struct Canaries {
    variable: String,
    file: String,
    marker: String,
}

/// Uses both secrets, says them in several ways, and waits at the gate.
const STEP: &str = r#"RUN --mount=type=secret,id=token,required=true --mount=type=secret,id=key,target=/key ["/bin/busybox", "sh", "-c", "/bin/busybox echo sums $(/bin/busybox sha256sum < /run/secrets/token) $(/bin/busybox sha256sum < /key); /bin/busybox cat /run/secrets/token /key; /bin/busybox base64 /run/secrets/token; /bin/busybox echo MARKER > /marker; /bin/busybox echo gate | /bin/busybox nc 127.0.0.1 PORT"]
"#;

async fn secret_of_two_platforms_is_found_nowhere_after_the_build(engine: Engine) {
    let registry = Distribution::start(Setup::Plain);
    let project = Project::new(engine, "secret");
    let canaries = Canaries {
        variable: format!("canary-env-{}", project.name),
        file: format!("canary-file-{}", project.name),
        marker: format!("marker-{}", project.name),
    };
    let gate = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = gate.local_addr().unwrap().port().to_string();
    project.busybox(&STEP.replace("MARKER", &canaries.marker).replace("PORT", &port));
    project.write("key.txt", format!("{}\n", canaries.file));
    let settings = "network: host\nsecrets: [{ id: token, env: TOKEN }, { id: key, file: key.txt }]\n\
                    platforms: [linux/amd64, linux/arm64]";
    project.plan(registry.address(), settings);
    let args = ["build", "--progress", "json", "--report", "report.json"];
    let building = project.command(&args).env("TOKEN", &canaries.variable).env("RUST_LOG", "trace").start();

    // Both platforms stand at the gate, each with the secrets mounted.
    let mut held = Vec::new();
    for _ in PLATFORMS {
        let (mut step, _) = tokio::time::timeout(parts::LIMIT, gate.accept()).await.unwrap().unwrap();
        let mut word = [0; 5];
        step.read_exact(&mut word).await.unwrap();
        held.push(step);
    }
    assert_nothing_in_processes(&canaries, &building.pid().as_raw_nonzero().to_string());
    drop(held);
    let built = building.finish().await.expect_code(0);

    let sum = |text: &str| Digest::of(text.as_bytes()).hex().to_owned();
    let sums = format!("sums {} - {} -", sum(&canaries.variable), sum(&format!("{}\n", canaries.file)));
    assert_eq!(built.stderr.matches(&sums).count(), 2, "both had both:\n{}", built.stderr);
    assert!(built.stderr.contains("***"), "{}", built.stderr);
    let report = fs::read_to_string(project.path("report.json")).unwrap();
    let plan =
        project.command(&["plan", "--format", "json"]).env("TOKEN", &canaries.variable).finish().await.expect_code(0);
    for (text, of) in
        [(&built.stdout, "stdout"), (&built.stderr, "the events"), (&report, "the report"), (&plan.stdout, "the plan")]
    {
        assert_clean(&canaries, text, of);
    }
    for arch in PLATFORMS {
        let name = project.reference(registry.address(), &format!("1.0-{arch}"));
        assert_clean(&canaries, &crane(&["config", &name]).await, "the config");
        let history = project.engine.docker(["history", "--no-trunc", &name]).await;
        assert_clean(&canaries, &parts::printed(&history), "the history");
        let saved = project.path("saved.tar");
        fs::write(&saved, project.engine.docker(["save", &name]).await.stdout).unwrap();
        let layers = unpacked(&saved, &project.path(arch)).await;
        assert!(layers.contains(&canaries.marker), "the hunt does not see into the layers of {name}");
        assert_clean(&canaries, &layers, "the layers");
    }
}

/// Neither as it is nor in base64.
fn assert_clean(canaries: &Canaries, text: &str, of: &str) {
    for canary in [&canaries.variable, &canaries.file] {
        assert!(!text.contains(canary.as_str()), "{canary} is in {of}:\n{text}");
    }
    // `canary-env-` and `canary-file-` in base64.
    for encoded in ["Y2FuYXJ5LWVudi", "Y2FuYXJ5LWZpbGUt"] {
        assert!(!text.contains(encoded), "{encoded} is in {of}:\n{text}");
    }
}

/// Every process of this machine, those in containers too: arguments, and the environment but that of the program
/// whose user put the variable there.
fn assert_nothing_in_processes(canaries: &Canaries, program: &str) {
    let mut seen = 0;
    for entry in fs::read_dir("/proc").unwrap().filter_map(Result::ok) {
        let Ok(arguments) = fs::read(entry.path().join("cmdline")) else { continue };
        let arguments = String::from_utf8_lossy(&arguments).into_owned();
        let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
        let environment = String::from_utf8_lossy(&environment).into_owned();
        // The step's own command line names the marker: containers are seen from here.
        seen += usize::from(arguments.contains(&canaries.marker));
        let pid = entry.file_name();
        for canary in [&canaries.variable, &canaries.file] {
            assert!(!arguments.contains(canary.as_str()), "{canary} is an argument of {}", pid.display());
            let own = pid == program && canary == &canaries.variable;
            assert!(
                own || !environment.contains(canary.as_str()),
                "{canary} is in the environment of {}",
                pid.display()
            );
        }
    }
    assert!(seen >= 2, "the steps' processes are not seen from here");
}

/// All files of a saved image one after the other, layers uncompressed.
async fn unpacked(saved: &Path, to: &Path) -> String {
    fs::create_dir(to).unwrap();
    let script = r#"tar -xf "$0" -C "$1" && find "$1" -type f -exec gzip -dcf {} +"#;
    let mut command = Command::new("sh");
    command.arg("-c").arg(script).arg(saved).arg(to);
    let output = parts::output(command).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

async fn required_secret_missing_from_the_plan_is_named(engine: Engine) {
    let project = Project::new(engine, "no-secret");
    let optional = r#"RUN --mount=type=secret,id=maybe ["/bin/busybox", "test", "!", "-e", "/run/secrets/maybe"]"#;
    let required = r#"RUN --mount=type=secret,id=token,required=true ["/bin/busybox", "true"]"#;
    project.busybox(&format!("LABEL name={}\n{optional}\n{required}\n", project.name));
    project.plan("local", "secrets: [{ id: other, file: build.yaml }]\nplatforms: [linux/amd64]");
    let failed = project.run(&["build"]).await.expect_code(4);
    // Each engine has words of its own.
    for text in ["secret token", "not found", "under `secrets`"] {
        assert!(failed.stderr.contains(text), "no {text:?} in\n{}", failed.stderr);
    }
}
