//! Versions of an engine's parts with known escapes: ways from a build to the engine's machine.

use super::engine_facts::{EngineFacts, ImageStore};
use crate::buildkit::BuildKitVersion;

/// The numbers of a version. The text after them has no meaning: `20.10.24+dfsg1`.
type Version = (u32, u32, u32);

/// The first Engine whose BuildKit is fixed: 25.0.2 has BuildKit 0.12.5. No release of 24.0 has that BuildKit
/// (moby/moby, release notes of 24.0.9 and 25.0.2).
const BUILDKIT: (Version, &str) = ((25, 0, 2), "CVE-2024-23651, CVE-2024-23652, CVE-2024-23653");
/// The same for a BuildKit without an engine.
const BUILDKIT_ALONE: BuildKitVersion = BuildKitVersion::new(0, 12, 5);
/// The first runc that prevents access to the machine's files through a step's working directory.
const WORKING_DIRECTORY: (Version, &str) = ((1, 1, 12), "CVE-2024-21626");
/// The CVEs that runc 1.2.8 and 1.3.3 fix.
const PROC: &str = "CVE-2025-31133, CVE-2025-52565, CVE-2025-52881";

impl EngineFacts {
    /// The known escapes from a build on an engine of this version. Each names the part with the fault: `its BuildKit
    /// (CVE-…)`. A distribution may have fixed a part without a new version number.
    #[must_use]
    pub fn escapes(&self) -> Vec<String> {
        let mut found = Vec::new();
        let is_old = match self.store {
            ImageStore::None => self.buildkit < BUILDKIT_ALONE,
            ImageStore::GraphDriver | ImageStore::Containerd => {
                version(&self.version).is_some_and(|version| version < BUILDKIT.0)
            }
        };
        if is_old {
            found.push(format!("its BuildKit ({})", BUILDKIT.1));
        }
        if let Some(runc) = &self.runc
            && let Some(known) = version(runc).and_then(of_runc)
        {
            found.push(format!("runc {runc} ({known})"));
        }
        found
    }
}

fn of_runc(version: Version) -> Option<String> {
    let proc = version < (1, 2, 8) || ((1, 3, 0)..(1, 3, 3)).contains(&version);
    match (version < WORKING_DIRECTORY.0, proc) {
        (true, _) => Some(format!("{}, {PROC}", WORKING_DIRECTORY.1)),
        (false, true) => Some(PROC.to_owned()),
        (false, false) => None,
    }
}

/// The numbers at the beginning of a version. Two numbers are enough.
fn version(text: &str) -> Option<Version> {
    let mut numbers = text.trim_start_matches('v').splitn(3, '.').map(|part| {
        let digits = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
        part[..digits].parse().ok()
    });
    Some((numbers.next()??, numbers.next()??, numbers.next().flatten().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::super::engine_facts::ApiVersion;
    use super::*;

    fn escapes(engine: &str, runc: Option<&str>) -> String {
        let facts = EngineFacts {
            version: engine.into(),
            api: Some(ApiVersion { major: 1, minor: 41 }),
            buildkit: BuildKitVersion::new(0, 8, 0),
            platform: "linux/amd64".parse().unwrap(),
            runs: Vec::new(),
            store: ImageStore::GraphDriver,
            runc: runc.map(str::to_owned),
        };
        facts.escapes().join("; ")
    }

    #[test]
    fn vulnerable_engine_versions_are_listed_with_their_cves() {
        let buildkit = "its BuildKit (CVE-2024-23651, CVE-2024-23652, CVE-2024-23653)";
        for engine in ["18.09.1", "20.10.24+dfsg1", "23.0.15", "24.0.9", "25.0.1", "25.0.1-rc.1"] {
            assert_eq!(escapes(engine, None), buildkit, "{engine}");
        }
        for engine in ["25.0.2", "25.0.5", "26.1.5+dfsg1", "28.5.2", "29.0.0", "v28.0", "dev", "", "x.y.z", "28"] {
            assert_eq!(escapes(engine, None), "", "{engine}");
        }
        let proc = "CVE-2025-31133, CVE-2025-52565, CVE-2025-52881";
        for (runc, known) in [
            ("1.0.0-rc10", Some(format!("CVE-2024-21626, {proc}"))),
            ("1.1.11", Some(format!("CVE-2024-21626, {proc}"))),
            ("1.1.5+ds1", Some(format!("CVE-2024-21626, {proc}"))),
            ("1.1.12", Some(proc.to_owned())),
            ("1.2.7", Some(proc.to_owned())),
            ("1.3.0", Some(proc.to_owned())),
            ("1.3.2", Some(proc.to_owned())),
            ("1.2.8", None),
            ("1.3.3", None),
            ("1.3.6+ds1", None),
            ("1.4.0", None),
            ("unknown", None),
        ] {
            let expected = known.map(|known| format!("runc {runc} ({known})")).unwrap_or_default();
            assert_eq!(escapes("28.5.2", Some(runc)), expected, "{runc}");
        }
        assert_eq!(escapes("24.0.9", Some("1.2.7")), format!("{buildkit}; runc 1.2.7 ({proc})"));
    }
}
