//! Finds the program that a container of an image starts.

use serde::Deserialize;

use crate::oci::json::null;

/// The default `PATH` of docker, for a config without one.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The longest path of Linux, in bytes.
const MAX_PATH: usize = 4096;
/// The most directories of a `PATH` that are searched.
const MAX_PLACES: usize = 256;

/// The program that a container starts, from the config of its image (OCI image-spec, "Image Configuration":
/// `Entrypoint`, `Cmd`, `Env`, `WorkingDir`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// The program as written.
    program: String,
    /// Absolute paths, in the order in which an engine tries them.
    places: Vec<String>,
}

#[derive(Deserialize)]
struct Document {
    config: Option<Settings>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Settings {
    #[serde(default, deserialize_with = "null::list")]
    entrypoint: Vec<String>,
    #[serde(default, deserialize_with = "null::list")]
    cmd: Vec<String>,
    #[serde(default, deserialize_with = "null::list")]
    env: Vec<String>,
    working_dir: Option<String>,
}

impl Start {
    /// The program in `config`. `None`: the config names none, or it cannot be read.
    #[must_use]
    pub fn of(config: &[u8]) -> Option<Self> {
        let settings = serde_json::from_slice::<Document>(config).ok()?.config?;
        let words = if settings.entrypoint.is_empty() { settings.cmd } else { settings.entrypoint };
        let mut program = words.into_iter().next().filter(|program| !program.is_empty())?;
        if program.len() > MAX_PATH {
            program.truncate(program.floor_char_boundary(MAX_PATH));
            return Some(Self { program, places: Vec::new() });
        }
        let folder = settings.working_dir.unwrap_or_default();
        let places = if program.contains('/') {
            vec![below(&folder, &program)]
        } else {
            // An engine sets the variables one after the other, so the last `PATH` counts.
            let path = settings.env.iter().rev().find_map(|line| line.strip_prefix("PATH=")).unwrap_or(PATH);
            let places = path.split(':').filter(|place| !place.is_empty() && place.len() <= MAX_PATH);
            places.take(MAX_PLACES).map(|place| below(place, &program)).collect()
        };
        Some(Self { program, places })
    }

    /// The program as the config writes it.
    #[must_use]
    pub fn program(&self) -> &str {
        &self.program
    }

    /// The possible paths of the program: absolute, in the order in which an engine tries them.
    #[must_use]
    pub fn places(&self) -> &[String] {
        &self.places
    }
}

fn below(folder: &str, path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("/{}/{path}", folder.trim_matches('/')) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(settings: &str) -> Option<Vec<String>> {
        let start = Start::of(format!(r#"{{"os":"linux","config":{settings}}}"#).as_bytes());
        start.map(|start| start.places().to_vec())
    }

    #[test]
    fn container_starts_the_entrypoint_or_the_command() {
        let default = PATH.split(':').map(|place| format!("{place}/server")).collect::<Vec<_>>();
        let listed = |paths: &[&str]| Some(paths.iter().map(ToString::to_string).collect::<Vec<_>>());
        for (settings, expected) in [
            (r#"{"Entrypoint":["/app/server","-v"],"Cmd":["x"]}"#, listed(&["/app/server"])),
            (r#"{"Entrypoint":["/bin/sh","-c","server"]}"#, listed(&["/bin/sh"])),
            (r#"{"Entrypoint":[],"Cmd":["/x"]}"#, listed(&["/x"])),
            (r#"{"Entrypoint":null,"Cmd":["server"]}"#, Some(default)),
            (r#"{"Cmd":["server"],"Env":["A=b","PATH=/a::/b"]}"#, listed(&["/a/server", "/b/server"])),
            (r#"{"Cmd":["./server"],"WorkingDir":"/app"}"#, listed(&["/app/./server"])),
            (r#"{"Cmd":["bin/server"]}"#, listed(&["//bin/server"])),
            (r#"{"Cmd":["server"],"Env":["PATH=/a","PATH=/b"]}"#, listed(&["/b/server"])),
            (r#"{"Cmd":[]}"#, None),
            (r#"{"Cmd":[""]}"#, None),
            (r#"{"Cmd":"server"}"#, None),
            ("null", None),
        ] {
            assert_eq!(places(settings), expected, "{settings}");
        }
        assert_eq!(Start::of(b"{}"), None);
        let path = "/a:".repeat(100_000);
        let many = places(&format!(r#"{{"Cmd":["server"],"Env":["PATH={path}"]}}"#)).unwrap();
        assert_eq!(many.len(), MAX_PLACES);
        for long in [format!("/{}", "x".repeat(MAX_PATH)), "x".repeat(1 << 20)] {
            assert_eq!(places(&format!(r#"{{"Cmd":["{long}"]}}"#)), Some(Vec::new()));
        }
    }
}
