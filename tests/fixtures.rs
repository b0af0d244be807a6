//! What lies under `fixtures/contexts` is what its sources say.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The name of a program, `e_machine` of its ELF header (System V ABI) and the platform that it says it is of.
const PROGRAMS: [(&str, u16, &str); 3] =
    [("hello-amd64", 62, "linux/amd64"), ("hello-arm64", 183, "linux/arm64"), ("hello-armv7", 40, "linux/arm/v7")];

fn hello() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/contexts/hello")
}

#[test]
fn each_hello_program_matches_its_assembled_source() {
    let made = tempfile::tempdir().unwrap();
    let output = Command::new(hello().join("src/assemble")).arg(made.path()).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "src/assemble failed: `make parts` installs the assemblers\n{stderr}");
    for (name, ..) in PROGRAMS {
        let (committed, made) = (fs::read(hello().join(name)).unwrap(), fs::read(made.path().join(name)).unwrap());
        assert_eq!(committed, made, "{name} differs from its source: run fixtures/contexts/hello/src/assemble");
    }
}

#[test]
fn each_hello_program_has_the_architecture_of_its_name() {
    for (name, machine, platform) in PROGRAMS {
        let program = fs::read(hello().join(name)).unwrap();
        assert_eq!(program[..4], *b"\x7fELF", "{name}");
        assert_eq!(u16::from_le_bytes([program[18], program[19]]), machine, "e_machine of {name}");
        let says = format!("Hello from {platform}, built by polyarch\n");
        let said = program.windows(says.len()).any(|part| part == says.as_bytes());
        assert!(said, "{name} does not say {says:?}");
    }
}

#[test]
fn hello_program_of_this_machine_runs() {
    let name = if cfg!(target_arch = "aarch64") { "hello-arm64" } else { "hello-amd64" };
    let output = Command::new(hello().join(name)).output().unwrap();
    assert!(output.status.success(), "{name}: {}", output.status);
    assert!(output.stdout.starts_with(b"Hello from linux/"), "{name}: {output:?}");
}
