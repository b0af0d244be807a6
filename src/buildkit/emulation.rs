//! Hints for engines that cannot run the programs of a platform.

use crate::oci::Platform;

/// The architectures that `tonistiigi/binfmt` can emulate (its README).
const EMULATED: [&str; 10] =
    ["amd64", "386", "arm64", "arm", "riscv64", "s390x", "ppc64le", "mips64", "mips64le", "loong64"];

/// The hint for an engine on `own` that cannot run programs of `platform`.
pub(crate) fn emulation_hint(own: &Platform, platform: &Platform) -> String {
    if own.os() != platform.os() {
        return format!("build {platform} on another engine: this engine runs only {} programs", own.os());
    }
    if own.architecture() == platform.architecture() {
        return format!(
            "use a newer engine, or an engine with a newer processor: this engine does not list {platform}"
        );
    }
    if !EMULATED.contains(&platform.architecture()) {
        return format!(
            "build {platform} on an engine whose processor runs it: polyarch knows no emulator for this platform"
        );
    }
    binfmt_hint(platform)
}

/// The hint how to make a kernel run programs of another architecture.
pub(super) fn binfmt_hint(platform: &Platform) -> String {
    format!(
        "install emulation on the engine's host, which cannot run {platform} programs: \
         `apt-get install qemu-user-static binfmt-support`, or \
         `docker run --privileged --rm tonistiigi/binfmt --install {}`",
        platform.architecture()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn emulation_hint_appears_only_if_emulation_helps() {
        let hint = |own: &str, wanted: &str| emulation_hint(&own.parse().unwrap(), &wanted.parse().unwrap());
        assert!(hint("linux/amd64", "linux/arm64").contains("tonistiigi/binfmt --install arm64"));
        assert!(hint("linux/amd64", "linux/arm/v7").contains("tonistiigi/binfmt --install arm`"));
        assert!(hint("linux/amd64", "linux/amd64/v4").contains("use a newer engine"));
        assert!(hint("linux/amd64", "windows/amd64").contains("runs only linux programs"));
        assert!(hint("linux/amd64", "linux/sparc64").contains("on an engine whose processor runs it"));
    }
}
