//! Replaces ECR's API and the AWS SDK in a program that was built without them.
#![expect(clippy::unused_async, reason = "it is awaited where there is an API")]

use super::value::{
    AuthorizationData, Created, EcrErrorKind, Endpoint, Identity, ImageDetail, NotDeleted, RepositoryFacts,
};
use crate::aws::{AwsAccount, AwsRegion};
use crate::oci::{Digest, RepositoryPath};
use crate::plan::EcrCreation;

/// An empty stand-in for the SDK's settings.
#[derive(Debug)]
pub(super) struct Sdk;

impl Sdk {
    pub(super) fn new(_: EcrErrorKind) -> Self {
        Self
    }

    pub(super) async fn default_region() -> Result<AwsRegion, EcrErrorKind> {
        Err(EcrErrorKind::NotBuiltIn)
    }
}

/// No value of this type exists, because every call ends before.
#[derive(Debug)]
pub(super) enum Control {}

impl Control {
    pub(super) async fn open(_: &Sdk, _: &Endpoint) -> Result<Self, EcrErrorKind> {
        Err(EcrErrorKind::NotBuiltIn)
    }

    pub(super) async fn token(&self) -> Result<AuthorizationData, EcrErrorKind> {
        match *self {}
    }

    pub(super) async fn repository(
        &self,
        _: Option<&AwsAccount>,
        _: &RepositoryPath,
    ) -> Result<Option<RepositoryFacts>, EcrErrorKind> {
        match *self {}
    }

    pub(super) async fn template(
        &self,
        _: Option<&AwsAccount>,
        _: &RepositoryPath,
    ) -> Result<Option<String>, EcrErrorKind> {
        match *self {}
    }

    pub(super) async fn create(
        &self,
        _: Option<&AwsAccount>,
        _: &RepositoryPath,
        _: &EcrCreation,
    ) -> Result<Created, EcrErrorKind> {
        match *self {}
    }

    pub(super) async fn put_lifecycle(
        &self,
        _: Option<&AwsAccount>,
        _: &RepositoryPath,
        _: &str,
    ) -> Result<(), EcrErrorKind> {
        match *self {}
    }

    pub(super) async fn images(
        &self,
        _: Option<&AwsAccount>,
        _: &RepositoryPath,
    ) -> Result<Vec<ImageDetail>, EcrErrorKind> {
        match *self {}
    }

    pub(super) async fn delete(
        &self,
        _: Option<&AwsAccount>,
        _: &RepositoryPath,
        _: &[Digest],
    ) -> Result<Vec<NotDeleted>, EcrErrorKind> {
        match *self {}
    }

    pub(super) async fn identity(&self) -> Result<Identity, EcrErrorKind> {
        match *self {}
    }
}
