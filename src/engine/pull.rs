//! Pulls an image as `docker pull --platform` does, and removes it again.

use std::collections::HashMap;
use std::time::Duration;

use bollard::models::{ImageInspect, ImageManifestSummary, ImageManifestSummaryKindEnum};
use bollard::query_parameters::{CreateImageOptionsBuilder, ListImagesOptionsBuilder, RemoveImageOptions};
use futures::StreamExt;

use super::client::Engine;
use super::error::{EngineError, EngineErrorKind};
use super::facts::ImageStore;
use super::push::{docker_credentials, ended, unexplained};
use super::rest::{ANSWER, classify, within};
use crate::auth::Credential;
use crate::oci::{Digest, DigestRef, Platform, Reference};

/// How long a pull may be silent.
const IDLE: Duration = Duration::from_mins(5);
/// How long an engine may take to remove an image.
const REMOVING: Duration = Duration::from_mins(1);

/// One platform of an image in a registry.
#[derive(Debug)]
pub struct PullRequest<'a> {
    /// The index, or an image without an index.
    pub image: &'a DigestRef,
    /// The platform to pull.
    pub platform: &'a Platform,
    /// The login at that registry. Only this one request sends it to the engine.
    pub credential: &'a Credential,
}

/// The state of an image on an engine before the pull.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PriorImage {
    /// The engine has nothing that a removal would destroy.
    Absent,
    /// The engine has the name, or the image without any name.
    Present,
}

/// The image that an engine shows under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldImage {
    /// The digest of the image's config with a graph driver, or of its manifest with containerd's store.
    pub id: Digest,
    /// The image's platform.
    pub platform: Platform,
}

impl Engine {
    /// Checks before a pull whether the engine has `image`, or its image with this `config`.
    ///
    /// # Errors
    /// The engine does not answer.
    pub async fn had(&self, image: &DigestRef, config: &Digest) -> Result<PriorImage, EngineError> {
        let looking = async {
            if self.inspected(&image.to_string()).await?.is_some() {
                return Ok(PriorImage::Present);
            }
            // With a graph driver, the pull may give an image its only name. Removing this name would delete the image,
            // too.
            let own = self.inspected(config.as_str()).await?;
            let unnamed = own.is_some_and(|own| {
                own.repo_tags.is_none_or(|names| names.is_empty())
                    && own.repo_digests.is_none_or(|names| names.is_empty())
            });
            Ok(if unnamed { PriorImage::Present } else { PriorImage::Absent })
        };
        within(ANSWER, looking).await.map_err(|kind| self.error(format!("look for {image}"), kind))
    }

    /// Pulls the image. Dropping the future stops the pull on the engine.
    ///
    /// # Errors
    /// The engine or the registry refuses, the connection is lost, or the engine reports nothing for 5 minutes.
    pub async fn pull(&self, request: &PullRequest<'_>) -> Result<(), EngineError> {
        let PullRequest { image, platform, credential } = request;
        let failed = |kind| self.error(format!("pull {platform} of {image}"), kind);
        let (name, platform) = (image.repository.to_string(), platform.base().to_string());
        let options = CreateImageOptionsBuilder::default().from_image(&name).tag(image.digest.as_str());
        let options = options.platform(&platform).build();
        let credentials = docker_credentials(credential, image.repository.host().as_str());
        let docker = self.docker().map_err(failed)?;
        let mut messages = docker.create_image(Some(options), None, Some(credentials));
        loop {
            let message = tokio::time::timeout(IDLE, messages.next()).await;
            match message.map_err(|_| failed(EngineErrorKind::Stalled(IDLE.as_secs())))? {
                Some(Ok(message)) => {
                    if let Some(detail) = message.error_detail {
                        return Err(failed(refused(unexplained(&detail))));
                    }
                }
                Some(Err(error)) if ended(&error) => return Ok(()),
                Some(Err(error)) => return Err(failed(refused(classify(error)))),
                None => return Ok(()),
            }
        }
    }

    /// The image that the engine shows as `platform` of `image` after a pull, if there is one.
    ///
    /// # Errors
    /// The engine does not answer, or cannot report which image of an index it has.
    pub async fn held(&self, image: &DigestRef, platform: &Platform) -> Result<Option<HeldImage>, EngineError> {
        let name = image.to_string();
        let looking = async {
            match self.facts().store {
                ImageStore::GraphDriver => Ok(self.inspected(&name).await?.and_then(|found| of_graph_driver(&found))),
                ImageStore::Containerd if self.facts().names_indexes() => self.of_containerd(image, platform).await,
                ImageStore::None => Err(EngineErrorKind::NoImages),
                ImageStore::Containerd => Err(EngineErrorKind::Pull(
                    "the engine does not report which image of an index it has: use Engine 28.0 or newer".to_owned(),
                )),
            }
        };
        within(ANSWER, looking).await.map_err(|kind| self.error(format!("inspect {image}"), kind))
    }

    /// Removes the name, and the image if nothing else needs it.
    ///
    /// # Errors
    /// The engine refuses, for example because a container uses the image.
    pub async fn remove(&self, image: &DigestRef) -> Result<(), EngineError> {
        self.remove_name(&image.to_string()).await
    }

    /// Removes any name, and the image if nothing else needs it.
    ///
    /// # Errors
    /// As for [`Self::remove`].
    pub async fn remove_name(&self, name: &str) -> Result<(), EngineError> {
        let removing = async {
            let removed = self.docker()?.remove_image(name, None::<RemoveImageOptions>, None).await;
            removed.map(drop).map_err(classify)
        };
        within(REMOVING, removing).await.map_err(|kind| self.error(format!("remove {name}"), kind))
    }

    /// The names that match `pattern`, with the syntax of `docker images --filter reference=`.
    ///
    /// # Errors
    /// The engine does not answer.
    pub async fn names(&self, pattern: &str) -> Result<Vec<String>, EngineError> {
        let looking = async {
            let filters = HashMap::from([("reference", vec![pattern.to_owned()])]);
            let options = ListImagesOptionsBuilder::default().filters(&filters).build();
            let listed = self.docker()?.list_images(Some(options)).await.map_err(classify)?;
            Ok(listed.into_iter().flat_map(|image| image.repo_tags).collect())
        };
        within(ANSWER, looking).await.map_err(|kind| self.error(format!("list {pattern}"), kind))
    }

    /// The image that this name shows now.
    ///
    /// # Errors
    /// The engine does not answer.
    pub async fn named(&self, name: &str) -> Result<Option<Digest>, EngineError> {
        let looking = async {
            let found = self.inspected(name).await?.and_then(|found| found.id);
            Ok(found.and_then(|id| id.parse().ok()))
        };
        within(ANSWER, looking).await.map_err(|kind| self.error(format!("inspect {name}"), kind))
    }

    /// Whether a build may get `image` for `platform` from another place than its registry: from the engine itself, or
    /// from a mirror of Docker Hub. Also true if the engine does not answer, as BuildKit alone: it has mirrors of its own.
    pub async fn may_have(&self, image: &Reference, platform: &Platform) -> bool {
        let asking = async {
            let found = self.inspected(&image.to_string()).await?.and_then(|found| of_graph_driver(&found));
            if found.is_some_and(|found| platform.takes(&found.platform)) {
                return Ok(true);
            }
            if !image.repository.host().is_docker_hub() {
                return Ok(false);
            }
            let info = self.docker()?.info().await.map_err(classify)?;
            Ok(info.registry_config.and_then(|config| config.mirrors).is_some_and(|mirrors| !mirrors.is_empty()))
        };
        within(ANSWER, asking).await.unwrap_or(true)
    }

    async fn inspected(&self, name: &str) -> Result<Option<ImageInspect>, EngineErrorKind> {
        match self.docker()?.inspect_image(name).await.map_err(classify) {
            Ok(found) => Ok(Some(found)),
            Err(EngineErrorKind::Refused { status: 404, .. }) => Ok(None),
            Err(kind) => Err(kind),
        }
    }

    async fn of_containerd(
        &self,
        image: &DigestRef,
        platform: &Platform,
    ) -> Result<Option<HeldImage>, EngineErrorKind> {
        let name = format!("{}@{}", image.repository.familiar(), image.digest);
        let listed = self.listed(vec![name]).await?;
        let manifests = listed.iter().flat_map(|image| image.manifests.iter().flatten());
        Ok(manifests.filter_map(of_manifest).find(|held| held.platform.is_based_on(platform)))
    }
}

fn of_graph_driver(found: &ImageInspect) -> Option<HeldImage> {
    let platform = Platform::new(found.os.as_deref()?, found.architecture.as_deref()?, found.variant.as_deref());
    Some(HeldImage { id: found.id.as_deref()?.parse().ok()?, platform: platform.ok()? })
}

/// An image whose content is on the engine.
fn of_manifest(manifest: &ImageManifestSummary) -> Option<HeldImage> {
    if manifest.kind != Some(ImageManifestSummaryKindEnum::IMAGE) || !manifest.available {
        return None;
    }
    let said = &manifest.image_data.as_ref()?.platform;
    let platform = Platform::new(said.os.as_deref()?, said.architecture.as_deref()?, said.variant.as_deref());
    Some(HeldImage { id: manifest.id.parse().ok()?, platform: platform.ok()? })
}

/// Turns every failure of a pull into [`EngineErrorKind::Pull`], except a lost connection.
fn refused(kind: EngineErrorKind) -> EngineErrorKind {
    match kind {
        EngineErrorKind::Push { message, .. } | EngineErrorKind::Refused { message, .. } => {
            EngineErrorKind::Pull(message)
        }
        other => other,
    }
}
