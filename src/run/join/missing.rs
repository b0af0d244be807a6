//! Reports the sources of a join that are missing or wrong, and reads one image of an index.

use futures::future::try_join;

use crate::oci::{Child, Descriptor, EntryOverride, ImageIndex, Platform, PlatformFields, RawManifest, Selector};
use crate::plan::AttestationPolicy;
use crate::registry::Visibility;
use crate::run::event::failure::{chain, failure};
use crate::run::event::{Failure, Phase};
use crate::run::fetch::attestations::EntryAttestations;
use crate::run::fetch::confirm::{config_of, listed};
use crate::run::fetch::error::ConfirmError;
use crate::run::fetch::found::Found;
use crate::run::fetch::wait::Wait;
use crate::run::storage::Storage;

/// How many images of one index polyarch reads at once. The number is large enough to keep the registry busy.
pub(in crate::run) const AT_ONCE: usize = 16;

/// How polyarch came to look for a missing image, and the hint for it.
#[derive(Debug, Clone, Copy)]
pub(in crate::run) enum Missing<'a> {
    /// The user named the image.
    Named(&'a str),
    /// The plan or an index leads to the image.
    Expected(Option<&'a str>),
}

/// Combines all faults into one failure.
pub(in crate::run) fn as_failure(
    faults: &[(String, ConfirmError)],
    wait: Option<&Wait<'_>>,
    missing: Missing<'_>,
) -> Failure {
    // A refusal is graver than a missing image, though it belongs to a later phase. The exit code reports the refusal.
    let is_untrue = |error: &ConfirmError| match missing {
        Missing::Named(_) => error.is_refusal() || error.is_missing(),
        Missing::Expected(_) => error.is_refusal(),
    };
    let refused = faults.iter().any(|(_, error)| is_untrue(error));
    let text = |(name, error): &(String, ConfirmError)| match error {
        _ if error.is_missing() => format!("{name} does not exist"),
        ConfirmError::Suffix(_) => format!("{name} {error}"),
        _ => format!("{name}: {}", chain(error)),
    };
    let texts = faults.iter().map(text).collect::<Vec<_>>().join("; ");
    let waited = wait.filter(|_| faults.iter().all(|(_, error)| error.may_come()));
    if let Some(Wait { limit, .. }) = waited {
        let hint = "check the jobs that push these images, then run `polyarch join` again".to_owned();
        return failure(Phase::Timeout, &format!("waited {limit:?}: {texts}"), Some(hint));
    }
    let phase = if refused { Phase::Verify } else { Phase::Publish };
    let missing = match missing {
        Missing::Named(hint) => Some(hint),
        Missing::Expected(hint) => hint,
    };
    let missing = missing.filter(|_| faults.first().is_some_and(|(_, error)| error.is_missing()));
    let hint = missing.map(str::to_owned).or_else(|| faults.iter().find_map(|(_, error)| error.hint()));
    let failed = failure(phase, &texts, hint);
    // One cause stands for all faults. The first fault is as good as any other.
    faults.first().map_or(failed.clone(), |(_, error)| failed.because(error))
}

/// The image of an entry of `index`, with its attestations in this index.
pub(in crate::run) async fn entry_image(
    storage: &Storage,
    entry: &Descriptor,
    index: &ImageIndex,
    over: &EntryOverride,
    policy: AttestationPolicy,
) -> Result<Found, ConfirmError> {
    let child = async {
        let manifest = listed(storage, entry, Visibility::Settled).await?;
        let mut child = image(storage, manifest, entry.platform(), over).await?;
        child.listed_as(entry)?;
        Ok(child)
    };
    let attested = EntryAttestations::of(&entry.digest, &index.manifests, policy);
    let attestations = attested.fetch(storage, Visibility::Settled);
    let (mut child, manifests) = try_join(child, attestations).await?;
    let left_out = attested.attest(&mut child, manifests)?;
    Ok(Found::read(child, entry.digest.clone(), left_out))
}

pub(in crate::run) async fn fetch(storage: &Storage, selector: &Selector) -> Result<RawManifest, ConfirmError> {
    Ok(storage.manifest(selector, Visibility::Settled).await?)
}

/// The image of `manifest`. The user's platform takes precedence over the entry's platform, and the entry's over the
/// config's.
pub(in crate::run) async fn image(
    storage: &Storage,
    manifest: RawManifest,
    claimed: Option<Platform>,
    over: &EntryOverride,
) -> Result<Child, ConfirmError> {
    let config = config_of(storage, &manifest).await?;
    let own = || {
        let own = PlatformFields::of_config(&config)?.and_then(|own| own.platform().ok());
        Ok::<_, ConfirmError>(own.map(|own| own.base()))
    };
    // An entry may require a version or features of its operating system that the config does not name.
    let given = over.platform().cloned().or_else(|| claimed.map(|claimed| claimed.base()));
    let platform = given.map_or_else(own, |given| Ok(Some(given)))?.ok_or(ConfirmError::NoPlatform)?;
    Ok(Child::new(manifest, &config, &platform, over)?)
}
