//! What a container of an image starts.

use serde::Deserialize;

use super::null;

/// Where programs are looked for if a config has no `PATH`: docker's default.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Longest path that is looked for, in bytes: Linux' longest.
const MAX_PATH: usize = 4096;
/// Most directories of a `PATH` in which a program is looked for.
const MAX_PLACES: usize = 256;

/// The program that a container starts, as its image's config says (OCI image-spec, "Image Configuration":
/// `Entrypoint`, `Cmd`, `Env`, `WorkingDir`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// As it is written.
    program: String,
    /// Absolute paths, in the order in which they are tried.
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
    /// What `config` says; `None` where it says nothing, or nothing that can be read.
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
            // The last of several counts: an engine that starts the container sets one after the other.
            let path = settings.env.iter().rev().find_map(|line| line.strip_prefix("PATH=")).unwrap_or(PATH);
            let places = path.split(':').filter(|place| !place.is_empty() && place.len() <= MAX_PATH);
            places.take(MAX_PLACES).map(|place| below(place, &program)).collect()
        };
        Some(Self { program, places })
    }

    /// The program, as the config has it.
    #[must_use]
    pub fn program(&self) -> &str {
        &self.program
    }

    /// Where it may be: absolute paths, in the order in which they are tried.
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
    fn it_is_the_entrypoint_else_the_command_in_its_folder_or_in_path() {
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
