//! Reads the values of build secrets once, just before the builds, and holds them in memory only.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use crate::auth::{BuildSecrets, SecretBytes};
use crate::plan::{BuildCache, CacheExport, CacheImport, Environment, SecretSource, SecretSpec};
use crate::run::event::failure::failure;
use crate::run::event::{Failure, Phase, Warning};
use crate::run::schedule::scheduled::{Schedule, ScheduledBuild};
use crate::text::{MIN_HIDDEN, Redactor};

/// The largest secret in bytes (`BuildKit`, `session/secrets/secretsprovider`).
const MAX_SECRET: u64 = 500 << 10;

/// The secrets of all jobs of a run.
#[derive(Debug, Default)]
pub(in crate::run) struct Secrets {
    /// The secrets for steps, by their sources.
    values: BTreeMap<SecretSource, SecretBytes>,
    /// The secrets of caches in storage services.
    of_caches: Vec<SecretBytes>,
}

/// Why a secret has no value.
#[derive(Debug, thiserror::Error)]
enum Missing {
    #[error("the environment variable {0} is not set")]
    Variable(String),
    #[error("cannot read {0}: {1}")]
    File(String, io::Error),
    #[error("{0} is not a regular file")]
    Irregular(String),
    #[error("{0} is larger than 500 KiB")]
    TooLarge(String),
}

impl Missing {
    fn hint(&self) -> &'static str {
        match self {
            Self::Variable(_) => "set the variable, or name another variable with `env:`",
            Self::File(..) | Self::Irregular(_) => "set `file:` to a file that polyarch can read, relative to the plan",
            Self::TooLarge(_) => "mount a file of this size from the context: RUN --mount=type=bind",
        }
    }
}

impl Secrets {
    /// Reads every secret of the schedule, each source once.
    ///
    /// # Errors
    /// Fails for every secret that polyarch cannot read. The failure names the ID and the source, but never the value.
    pub(in crate::run) fn read(schedule: &Schedule, environment: &Environment) -> Result<Self, Vec<Failure>> {
        let (mut values, mut failures) = (BTreeMap::new(), BTreeMap::new());
        for ScheduledBuild { id: job, job: planned, .. } in schedule.builds() {
            for SecretSpec { id, source } in &planned.work.spec.secrets {
                if values.contains_key(source) || failures.contains_key(source) {
                    continue;
                }
                match read(source, environment) {
                    Ok(value) => drop(values.insert(source.clone(), value)),
                    Err(missing) => {
                        let message = format!("{}: the secret {id}: {missing}", job.image);
                        let failure = failure(Phase::Plan, &message, Some(missing.hint().into()));
                        failures.insert(source.clone(), failure);
                    }
                }
            }
        }
        let of_caches = schedule.builds().flat_map(|build| hidden_of_cache(&build.job.work.spec.cache)).collect();
        if failures.is_empty() { Ok(Self { values, of_caches }) } else { Err(failures.into_values().collect()) }
    }

    /// The secrets that a build with `planned` may ask for.
    pub(in crate::run) fn of(&self, planned: &[SecretSpec]) -> BuildSecrets {
        let value = |secret: &SecretSpec| Some((secret.id.clone(), self.values.get(&secret.source)?.clone()));
        planned.iter().filter_map(value).collect()
    }

    /// Hides all secrets of the run, and `more`. Builds that share steps on an engine get each other's logs.
    pub(in crate::run) fn redactor(&self, more: &[SecretBytes]) -> Redactor {
        Redactor::new(self.values.values().chain(&self.of_caches).chain(more).map(SecretBytes::expose))
    }

    /// Warns once of each secret that is too short to hide.
    pub(in crate::run) fn warnings(&self) -> Vec<Warning> {
        let short = |value: &SecretBytes| value.expose().trim_ascii().len() < MIN_HIDDEN;
        let warn = |(source, _): (&SecretSource, _)| {
            let from = match source {
                SecretSource::Env(name) => format!("the environment variable {name}"),
                SecretSource::File(file) => file.display().to_string(),
            };
            let message = format!("the secret in {from} is too short to be hidden in logs");
            let hint =
                format!("use a secret of at least {MIN_HIDDEN} bytes: a shorter value is part of too many words");
            Warning { image: None, platform: None, message: message.into(), hint: Some(hint.into()) }
        };
        self.values.iter().filter(|(_, value)| short(value)).map(warn).collect()
    }
}

/// The secrets of the caches that a build imports and exports.
pub(super) fn hidden_of_cache(BuildCache { from, to }: &BuildCache) -> impl Iterator<Item = SecretBytes> {
    let exported = match to {
        Some(CacheExport::Service { cache, .. }) => Some(cache),
        _ => None,
    };
    let imported = from.iter().filter_map(|from| match from {
        CacheImport::Service(cache) => Some(cache),
        CacheImport::Registry(_) | CacheImport::Directory(_) => None,
    });
    let hidden = imported.chain(exported).flat_map(|cache| cache.hidden.values());
    hidden.map(|text| SecretBytes::new(text.expose().as_bytes().to_vec()))
}

fn read(source: &SecretSource, environment: &Environment) -> Result<SecretBytes, Missing> {
    let (value, from) = match source {
        SecretSource::Env(name) => {
            let value = environment.get(name).ok_or_else(|| Missing::Variable(name.clone()))?;
            (SecretBytes::new(value.clone().into_bytes()), format!("the environment variable {name}"))
        }
        SecretSource::File(file) => {
            let named = file.display().to_string();
            let value = read_file(file).map_err(|error| Missing::File(named.clone(), error))?;
            (value.ok_or_else(|| Missing::Irregular(named.clone()))?, named)
        }
    };
    if value.expose().len() as u64 > MAX_SECRET { Err(Missing::TooLarge(from)) } else { Ok(value) }
}

/// Reads a regular file, up to one byte more than the largest secret. Returns `None` for any other file, because a pipe
/// may never end.
fn read_file(path: &Path) -> io::Result<Option<SecretBytes>> {
    if !std::fs::metadata(path)?.is_file() {
        return Ok(None);
    }
    let file = File::open(path)?;
    // The buffer has its full size from the start. A buffer that grows leaves copies of the secret behind, and no code
    // overwrites these copies.
    let room = file.metadata()?.len().min(MAX_SECRET) + 1;
    let mut bytes = Vec::with_capacity(usize::try_from(room).unwrap_or_default());
    file.take(MAX_SECRET + 1).read_to_end(&mut bytes)?;
    Ok(Some(SecretBytes::new(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_may_have_any_bytes_up_to_500_kib() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        let source = SecretSource::File(path.clone());
        let mut bytes = vec![0xff; 500 << 10];
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(read(&source, &Environment::new()).unwrap().expose(), bytes);
        bytes.push(0);
        std::fs::write(&path, &bytes).unwrap();
        assert!(matches!(read(&source, &Environment::new()), Err(Missing::TooLarge(_))));
    }

    #[test]
    fn secret_file_that_may_never_end_is_not_opened() {
        let source = SecretSource::File("/dev/zero".into());
        assert!(matches!(read(&source, &Environment::new()), Err(Missing::Irregular(_))));
    }
}
