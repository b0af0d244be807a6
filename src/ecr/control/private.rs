//! The API of private registries (Amazon ECR API, 2015-09-21).

use std::time::SystemTime;

use aws_config::SdkConfig;
use aws_sdk_ecr::error::ProvideErrorMetadata as _;
use aws_sdk_ecr::operation::create_repository::CreateRepositoryError;
use aws_sdk_ecr::operation::describe_repositories::DescribeRepositoriesError;
use aws_sdk_ecr::types::{
    EncryptionConfiguration, EncryptionType, ImageDetail as Detail, ImageFailure, ImageIdentifier,
    ImageScanningConfiguration, ImageTagMutability, ImageTagMutabilityExclusionFilter,
    ImageTagMutabilityExclusionFilterType, RctAppliedFor, Repository, Tag,
};
use aws_sdk_ecr::{Client, config};

use super::fault::kind;
use crate::auth::Secret;
use crate::aws::{AwsAccount, Mutability, TagPattern};
use crate::ecr::value::{AuthorizationData, Created, EcrErrorKind, ImageDetail, NotDeleted, RepositoryFacts};
use crate::oci::{Digest, RepositoryPath};
use crate::plan::{EcrCreation, Encryption};

/// The most images that one call deletes.
const MOST_DELETED: usize = 100;
/// The most images of a repository that polyarch lists. This is ECR's quota, unless Amazon raised it.
const MOST_LISTED: usize = 100_000;
/// The template for all repositories that no other template matches.
const ROOT: &str = "ROOT";

#[derive(Debug)]
pub(super) struct Private(Client);

impl Private {
    pub(super) fn new(config: &SdkConfig) -> Self {
        Self(Client::new(config))
    }

    /// The API at a private endpoint.
    pub(super) fn at(config: &SdkConfig, url: &str) -> Self {
        Self(Client::from_conf(config::Builder::from(config).endpoint_url(url).build()))
    }

    pub(super) async fn token(&self) -> Result<AuthorizationData, EcrErrorKind> {
        let answer = self.0.get_authorization_token().send().await;
        let answer = answer.map_err(|error| kind("ecr:GetAuthorizationToken", &error))?;
        let data = answer.authorization_data.into_iter().flatten().next().ok_or(EcrErrorKind::Answer("no token"))?;
        let authorization = data.authorization_token.ok_or(EcrErrorKind::Answer("no token"))?;
        let expires = data.expires_at.and_then(|time| SystemTime::try_from(time).ok());
        let host = data.proxy_endpoint.and_then(|url| url.split_once("://").map(|(_, host)| host.to_owned()));
        let registry = host.and_then(|host| host.trim_end_matches('/').parse().ok());
        Ok(AuthorizationData { authorization: Secret::new(authorization), expires, registry })
    }

    pub(super) async fn repository(
        &self,
        account: Option<&AwsAccount>,
        path: &RepositoryPath,
    ) -> Result<Option<RepositoryFacts>, EcrErrorKind> {
        let call = self.0.describe_repositories().repository_names(path.as_str());
        match call.set_registry_id(account.map(ToString::to_string)).send().await {
            Ok(answer) => {
                let repository = answer.repositories.into_iter().flatten().next();
                repository.map(|repository| facts(&repository)).map_or(Ok(None), |facts| Ok(Some(facts)))
            }
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(DescribeRepositoriesError::is_repository_not_found_exception) =>
            {
                Ok(None)
            }
            Err(error) => Err(kind("ecr:DescribeRepositories", &error)),
        }
    }

    /// AWS lists only the templates of the caller's own registry. The templates of other registries stay unknown.
    pub(super) async fn template(
        &self,
        account: Option<&AwsAccount>,
        path: &RepositoryPath,
    ) -> Result<Option<String>, EcrErrorKind> {
        let mut found: Option<String> = None;
        let mut pages = self.0.describe_repository_creation_templates().into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = match page {
                Ok(page) => page,
                // The API's model does not list this error for this call, but lists it for other calls about templates.
                Err(error) if error.code() == Some("TemplateNotFoundException") => return Ok(None),
                Err(error) => return Err(kind("ecr:DescribeRepositoryCreationTemplates", &error)),
            };
            let is_other = |own: &str| account.is_some_and(|account| account.as_str() != own);
            if page.registry_id().is_some_and(is_other) {
                return Ok(None);
            }
            for template in page.repository_creation_templates.into_iter().flatten() {
                let creates = template.applied_for().contains(&RctAppliedFor::CreateOnPush);
                let prefix = template.prefix.unwrap_or_default();
                let rank = |prefix: &str| if prefix == ROOT { 0 } else { prefix.len() };
                // Among the templates that apply to pushes, the template with the longest prefix wins.
                let is_for_it =
                    prefix == ROOT || path.as_str().starts_with(&format!("{}/", prefix.trim_end_matches('/')));
                if creates && is_for_it && found.as_deref().is_none_or(|found| rank(found) < rank(&prefix)) {
                    found = Some(prefix);
                }
            }
        }
        Ok(found)
    }

    pub(super) async fn create(
        &self,
        account: Option<&AwsAccount>,
        path: &RepositoryPath,
        creation: &EcrCreation,
    ) -> Result<Created, EcrErrorKind> {
        let (mutability, filters) = mutability(&creation.mutability)?;
        let tag = |(key, value): (&String, &String)| Tag::builder().key(key).value(value).build();
        let tags = creation.tags.iter().map(tag).collect::<Result<Vec<_>, _>>().map_err(|_| incomplete())?;
        let scanning = ImageScanningConfiguration::builder().scan_on_push(creation.scan_on_push).build();
        let encryption = creation.encryption.as_ref().map(encryption).transpose()?;
        let call = self.0.create_repository().repository_name(path.as_str()).image_tag_mutability(mutability);
        let call = call
            .set_registry_id(account.map(ToString::to_string))
            .set_image_tag_mutability_exclusion_filters(Some(filters).filter(|filters| !filters.is_empty()))
            .set_tags(Some(tags).filter(|tags| !tags.is_empty()))
            .set_image_scanning_configuration(creation.scan_on_push.then_some(scanning))
            .set_encryption_configuration(encryption);
        match call.send().await {
            Ok(_) => Ok(Created::Now),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(CreateRepositoryError::is_repository_already_exists_exception) =>
            {
                Ok(Created::ByAnother)
            }
            Err(error) => Err(kind("ecr:CreateRepository", &error)),
        }
    }

    pub(super) async fn put_lifecycle(
        &self,
        account: Option<&AwsAccount>,
        path: &RepositoryPath,
        policy: &str,
    ) -> Result<(), EcrErrorKind> {
        let call = self.0.put_lifecycle_policy().repository_name(path.as_str()).lifecycle_policy_text(policy);
        let put = call.set_registry_id(account.map(ToString::to_string)).send().await;
        put.map(drop).map_err(|error| kind("ecr:PutLifecyclePolicy", &error))
    }

    pub(super) async fn images(
        &self,
        account: Option<&AwsAccount>,
        path: &RepositoryPath,
    ) -> Result<Vec<ImageDetail>, EcrErrorKind> {
        let call = self.0.describe_images().repository_name(path.as_str());
        let call = call.set_registry_id(account.map(ToString::to_string)).max_results(1000);
        let (mut pages, mut images) = (call.into_paginator().send(), Vec::new());
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| kind("ecr:DescribeImages", &error))?;
            images.extend(page.image_details.into_iter().flatten().filter_map(detail));
            if images.len() > MOST_LISTED {
                return Err(EcrErrorKind::Answer("more images than a repository can have"));
            }
        }
        Ok(images)
    }

    pub(super) async fn delete(
        &self,
        account: Option<&AwsAccount>,
        path: &RepositoryPath,
        digests: &[Digest],
    ) -> Result<Vec<NotDeleted>, EcrErrorKind> {
        let mut failed = Vec::new();
        for digests in digests.chunks(MOST_DELETED) {
            let ids = digests.iter().map(|digest| ImageIdentifier::builder().image_digest(digest.as_str()).build());
            let call = self.0.batch_delete_image().repository_name(path.as_str()).set_image_ids(Some(ids.collect()));
            let answer = call.set_registry_id(account.map(ToString::to_string)).send().await;
            let answer = answer.map_err(|error| kind("ecr:BatchDeleteImage", &error))?;
            failed.extend(answer.failures.into_iter().flatten().filter_map(|failure| not_deleted(&failure)));
        }
        Ok(failed)
    }
}

fn facts(repository: &Repository) -> RepositoryFacts {
    let filters = repository.image_tag_mutability_exclusion_filters();
    let but = filters.iter().map(|filter| TagPattern::new(filter.filter.clone())).collect();
    let mutability = match repository.image_tag_mutability() {
        Some(ImageTagMutability::Immutable) => Mutability::Immutable(Vec::new()),
        Some(ImageTagMutability::ImmutableWithExclusion) => Mutability::Immutable(but),
        Some(ImageTagMutability::MutableWithExclusion) => Mutability::Mutable(but),
        // polyarch does not know a newer setting. The push then shows whether the tag may move.
        _ => Mutability::Mutable(Vec::new()),
    };
    RepositoryFacts { mutability }
}

type Filters = Vec<ImageTagMutabilityExclusionFilter>;

fn mutability(wanted: &Mutability) -> Result<(ImageTagMutability, Filters), EcrErrorKind> {
    let filter = |pattern: &TagPattern| {
        let filter = ImageTagMutabilityExclusionFilter::builder().filter(pattern.as_str());
        filter.filter_type(ImageTagMutabilityExclusionFilterType::Wildcard).build().map_err(|_| incomplete())
    };
    let filters = |but: &[TagPattern]| but.iter().map(filter).collect::<Result<Vec<_>, _>>();
    Ok(match wanted {
        Mutability::Mutable(but) if but.is_empty() => (ImageTagMutability::Mutable, Vec::new()),
        Mutability::Immutable(but) if but.is_empty() => (ImageTagMutability::Immutable, Vec::new()),
        Mutability::Mutable(but) => (ImageTagMutability::MutableWithExclusion, filters(but)?),
        Mutability::Immutable(but) => (ImageTagMutability::ImmutableWithExclusion, filters(but)?),
    })
}

fn encryption(wanted: &Encryption) -> Result<EncryptionConfiguration, EcrErrorKind> {
    let (kind, key) = match wanted {
        Encryption::Aes256 => (EncryptionType::Aes256, None),
        Encryption::Kms(key) => (EncryptionType::Kms, key.clone()),
        Encryption::KmsDsse(key) => (EncryptionType::KmsDsse, key.clone()),
    };
    EncryptionConfiguration::builder().encryption_type(kind).set_kms_key(key).build().map_err(|_| incomplete())
}

/// Never happens for the requests here, because they set all required fields.
fn incomplete() -> EcrErrorKind {
    EcrErrorKind::Answer("an incomplete request")
}

fn detail(detail: Detail) -> Option<ImageDetail> {
    Some(ImageDetail {
        registry_id: detail.registry_id.unwrap_or_default(),
        repository_name: detail.repository_name.unwrap_or_default(),
        digest: detail.image_digest?.parse().ok()?,
        tags: detail.image_tags.unwrap_or_default(),
        size: detail.image_size_in_bytes.and_then(|size| size.try_into().ok()),
        pushed_at: detail.image_pushed_at.and_then(|time| SystemTime::try_from(time).ok()),
        manifest_media_type: detail.image_manifest_media_type,
        artifact_media_type: detail.artifact_media_type,
    })
}

fn not_deleted(failure: &ImageFailure) -> Option<NotDeleted> {
    Some(NotDeleted {
        digest: failure.image_id()?.image_digest()?.parse().ok()?,
        code: failure.failure_code().map(|code| code.as_str().to_owned()).unwrap_or_default(),
        reason: failure.failure_reason().unwrap_or_default().to_owned(),
    })
}
