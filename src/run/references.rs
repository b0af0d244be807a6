//! `polyarch join -t TARGET SOURCE…`: the joiner on what is in a repository, without a plan.

use super::attestations::{Beside, LeftOut};
use super::confirm::{ConfirmError, Found, config_of};
use super::event::{Failure, Phase};
use super::failure::{chain, failure};
use super::publish::Target;
use super::wait::{Source, Wait, look_for};
use crate::oci::{
    Child, ChildError, Content, EntryOverride, Platform, PlatformFields, RawManifest, Repository, Selector, Tag,
};
use crate::plan::AttestationPolicy;
use crate::registry::{Client, Visibility};

/// Images of one repository that are to be one index of it.
#[derive(Debug, Clone)]
pub struct References {
    /// The repository.
    pub repository: Repository,
    /// The images, in the order of the index; an index stands for all of its images.
    pub sources: Vec<Selector>,
    /// The final tags, in the order in which they are put.
    pub tags: Vec<Tag>,
    /// What becomes of the images' attestations.
    pub attestations: AttestationPolicy,
}

impl References {
    /// What the index is called in events: its repository.
    pub(super) fn name(&self) -> String {
        self.repository.to_string()
    }

    /// Fetches every image; each says its platform itself. All that is wrong is told.
    pub(super) async fn find(&self, client: &Client, wait: Option<&Wait<'_>>) -> Result<(Target, Vec<Found>), Failure> {
        let source = |selector| Source { name: self.named(selector), what: selector };
        let sources: Vec<_> = self.sources.iter().map(source).collect();
        let finding = async |selector: &&Selector| images(client, &self.repository, selector, self.attestations).await;
        let (mut found, mut faults) = (Vec::new(), Vec::new());
        let looked = look_for(&sources, wait, finding).await;
        for (source, result) in sources.into_iter().zip(looked) {
            match result {
                Ok(images) => found.extend(images),
                Err(error) => faults.push((source.name, error)),
            }
        }
        if faults.is_empty() { Ok((self.target(&found), found)) } else { Err(told(&faults, wait, None)) }
    }

    fn target(&self, found: &[Found]) -> Target {
        let mut platforms: Vec<Platform> = Vec::new();
        for child in found {
            // A platform that is there twice is refused by the draft.
            if !platforms.contains(child.child.platform()) {
                platforms.push(child.child.platform().clone());
            }
        }
        Target {
            image: self.name(),
            repository: self.repository.clone(),
            expected: platforms.into_iter().map(|platform| (platform, EntryOverride::default())).collect(),
            arch_tags: Vec::new(),
            tags: self.tags.clone(),
            attestations: self.attestations,
        }
    }

    fn named(&self, source: &Selector) -> String {
        match source {
            Selector::Tag(tag) => self.repository.tag(tag.clone()).to_string(),
            Selector::Digest(digest) => self.repository.digest(digest.clone()).to_string(),
        }
    }
}

/// All faults in one failure; `missing` is what to do about what is not there.
pub(super) fn told(faults: &[(String, ConfirmError)], wait: Option<&Wait<'_>>, missing: Option<&str>) -> Failure {
    // A refusal is graver than an absence, though of a later phase: it is what the exit code says.
    let refused = faults.iter().any(|(_, error)| error.is_refusal());
    let text = |(name, error): &(String, ConfirmError)| {
        if error.is_missing() { format!("{name} is not there") } else { format!("{name}: {}", chain(error)) }
    };
    let texts = faults.iter().map(text).collect::<Vec<_>>().join("; ");
    let waited = wait.filter(|_| faults.iter().all(|(_, error)| error.may_come()));
    if let Some(Wait { limit, .. }) = waited {
        let hint = "see what became of the jobs that push it; `polyarch join` may be run again".to_owned();
        return failure(Phase::Timeout, &format!("waited {limit:?}: {texts}"), Some(hint));
    }
    let phase = if refused { Phase::Verify } else { Phase::Publish };
    let missing = missing.filter(|_| faults.first().is_some_and(|(_, error)| error.is_missing()));
    let hint = missing.map(str::to_owned).or_else(|| faults.iter().find_map(|(_, error)| error.hint()));
    failure(phase, &texts, hint)
}

/// The image that `source` names, or the images of the index that it names.
async fn images(
    client: &Client,
    repository: &Repository,
    source: &Selector,
    policy: AttestationPolicy,
) -> Result<Vec<Found>, ConfirmError> {
    let top = client.get_manifest(repository.path(), source, Visibility::Settled).await?;
    let index = match top.content().map_err(ChildError::from)? {
        Content::Image(_) => {
            let child = image(client, repository, top.clone(), None).await?;
            return Ok(vec![Found { child, top: top.digest().clone(), left_out: LeftOut::default() }]);
        }
        Content::Index(index) => index,
    };
    let mut found = Vec::new();
    for entry in index.manifests.iter().filter(|entry| !entry.is_attestation()) {
        let claimed = entry.platform.as_ref().and_then(|fields| fields.platform().ok());
        let selector = Selector::Digest(entry.digest.clone());
        let manifest = client.get_manifest(repository.path(), &selector, Visibility::Settled).await?;
        let mut child = image(client, repository, manifest, claimed).await?;
        let beside = Beside::of(&entry.digest, &index.manifests, policy);
        let manifests = beside.fetch(client, repository, Visibility::Settled).await?;
        let left_out = beside.attest(&mut child, manifests)?;
        found.push(Found { child, top: top.digest().clone(), left_out });
    }
    Ok(found)
}

/// The image of `manifest`, of the platform that its entry claims, else of the one that its config says.
async fn image(
    client: &Client,
    repository: &Repository,
    manifest: RawManifest,
    claimed: Option<Platform>,
) -> Result<Child, ConfirmError> {
    let config = config_of(client, repository, &manifest).await?;
    let said = || serde_json::from_slice::<PlatformFields>(&config).ok()?.platform().ok();
    let platform = claimed.or_else(said).ok_or(ConfirmError::NoPlatform)?;
    Ok(Child::new(manifest, &config, &platform, &EntryOverride::default())?)
}
