//! One ECR registry.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex as SyncMutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio::sync::{Mutex, OnceCell};
use tokio::time::Instant;

use super::control::{Control, Sdk};
use super::value::{
    Created, EcrError, EcrErrorKind, Endpoint, Identity, ImageDetail, NotDeleted, RepositoryFacts, Token,
};
use crate::auth::Credential;
use crate::aws::{AwsAccount, EcrPlace};
use crate::oci::{Digest, RegistryHost, RepositoryPath, Tag};
use crate::plan::EcrCreation;

/// An ECR registry: the registry of an account in a region, or the public gallery. Clones of its [`Arc`] share its
/// login.
///
/// The SDK tries a call three times, within 15 s.
pub struct EcrRegistry {
    host: RegistryHost,
    /// The account that owns the registry, if the host contains it.
    account: Option<AwsAccount>,
    endpoint: Endpoint,
    sdk: Arc<Sdk>,
    control: OnceCell<Control>,
    token: SyncMutex<Option<Token>>,
    /// Locked while a caller requests a new token. Other callers wait, and get the same token.
    asking: Mutex<()>,
    /// The facts about repositories so far.
    known: SyncMutex<HashMap<RepositoryPath, RepositoryFacts>>,
}

impl EcrRegistry {
    pub(super) fn new(host: RegistryHost, account: Option<AwsAccount>, endpoint: Endpoint, sdk: Arc<Sdk>) -> Self {
        let (control, asking) = (OnceCell::new(), Mutex::default());
        let (token, known) = (SyncMutex::default(), SyncMutex::default());
        Self { host, account, endpoint, sdk, control, token, asking, known }
    }

    /// Whether the calls of this registry go to `endpoint`.
    pub(super) fn is_at(&self, endpoint: &Endpoint) -> bool {
        self.endpoint == *endpoint
    }

    /// Takes the login of `other`, which is the same registry.
    pub(super) fn with_login_of(self, other: &Self) -> Self {
        self.kept().clone_from(&other.kept());
        self
    }

    /// Its host.
    #[must_use]
    pub fn host(&self) -> &RegistryHost {
        &self.host
    }

    /// The location of the registry, as messages and the AWS CLI show it.
    #[must_use]
    pub fn place(&self) -> EcrPlace {
        match &self.endpoint {
            Endpoint::Region(region, _) | Endpoint::Url(region, _) => {
                EcrPlace::Private { account: self.account.clone(), region: Some(region.clone()) }
            }
            Endpoint::Gallery => EcrPlace::Gallery,
        }
    }

    /// The login, which lasts up to twelve hours. polyarch uses the latest one until 80 % of its lifetime has passed.
    /// Callers that ask at the same time share one request.
    ///
    /// # Errors
    /// There are no AWS credentials, or AWS refuses them or cannot be reached.
    pub async fn login(&self) -> Result<Credential, EcrError> {
        self.token().await.map(|token| token.credential)
    }

    /// The host of the registry that AWS names for the login.
    ///
    /// # Errors
    /// As for [`Self::login`]; or AWS names no registry.
    pub async fn named_by_aws(&self) -> Result<RegistryHost, EcrError> {
        let registry = self.token().await?.registry;
        registry.ok_or_else(|| self.failed("find the registry's host", EcrErrorKind::Answer("no registry")))
    }

    async fn token(&self) -> Result<Token, EcrError> {
        let _asking = self.asking.lock().await;
        if let Some(token) = self.kept().as_ref().filter(|token| token.spent_at > Instant::now()) {
            return Ok(token.clone());
        }
        let failed = |kind| self.failed("log in", kind);
        let given = self.control().await.map_err(failed)?.token().await.map_err(failed)?;
        let token = Token::read(&given, SystemTime::now()).map_err(failed)?;
        *self.kept() = Some(token.clone());
        Ok(token)
    }

    /// Forgets the login if it is `credential`, which the registry refused.
    pub fn forget(&self, credential: &Credential) {
        self.kept().take_if(|token| token.is(credential));
    }

    /// The time from which polyarch should request a new login.
    #[must_use]
    pub fn spent_at(&self) -> Option<Instant> {
        self.kept().as_ref().map(|token| token.spent_at)
    }

    fn kept(&self) -> MutexGuard<'_, Option<Token>> {
        self.token.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The facts about `path`, or `None` if the repository does not exist.
    ///
    /// # Errors
    /// polyarch cannot ask AWS, or the role may not ask ([`EcrError::is_denied`]).
    pub async fn repository(&self, path: &RepositoryPath) -> Result<Option<RepositoryFacts>, EcrError> {
        let failed = |kind| self.failed(&format!("look for repository {path}"), kind);
        let control = self.control().await.map_err(failed)?;
        let found = control.repository(self.account.as_ref(), path).await.map_err(failed)?;
        if let Some(facts) = &found {
            self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(path.clone(), facts.clone());
        }
        Ok(found)
    }

    /// Whether `tag` of `path` never moves again once it names an image. The answer uses the facts that
    /// [`Self::repository`] found.
    #[must_use]
    pub fn fixes(&self, path: &RepositoryPath, tag: &Tag) -> bool {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(path).is_some_and(|facts| facts.mutability.fixes(tag))
    }

    /// The prefix of the creation template that lets ECR create `path` at the first push. `None` means that ECR does
    /// not create the repository.
    ///
    /// # Errors
    /// As for [`Self::repository`].
    pub async fn template(&self, path: &RepositoryPath) -> Result<Option<String>, EcrError> {
        let failed = |kind| self.failed("read the repository creation templates", kind);
        self.control().await.map_err(failed)?.template(self.account.as_ref(), path).await.map_err(failed)
    }

    /// Creates `path` with the lifecycle policy `lifecycle` (JSON). If another program creates it at the same time,
    /// this is not an error.
    ///
    /// # Errors
    /// AWS refuses. If AWS refused only the policy, the repository exists.
    pub async fn create(
        &self,
        path: &RepositoryPath,
        creation: &EcrCreation,
        lifecycle: Option<&str>,
    ) -> Result<Created, EcrError> {
        let (failed, account) = (|kind| self.failed(&format!("create repository {path}"), kind), self.account.as_ref());
        let control = self.control().await.map_err(failed)?;
        let created = control.create(account, path, creation).await.map_err(failed)?;
        // The program that created the repository also decides on its settings.
        if let (Created::Now, Some(policy)) = (created, lifecycle) {
            let failed = |kind| self.failed(&format!("set the lifecycle policy of the new repository {path}"), kind);
            control.put_lifecycle(account, path, policy).await.map_err(failed)?;
        }
        Ok(created)
    }

    /// All images, indexes and artifacts of `path`, at most 100,000, in AWS's order.
    ///
    /// # Errors
    /// The repository does not exist, or as for [`Self::repository`]. The public gallery does not support this call.
    pub async fn images(&self, path: &RepositoryPath) -> Result<Vec<ImageDetail>, EcrError> {
        let failed = |kind| self.failed(&format!("list the images of {path}"), kind);
        self.control().await.map_err(failed)?.images(self.account.as_ref(), path).await.map_err(failed)
    }

    /// Deletes the images of `digests` with all their tags. Returns the images that ECR did not delete.
    ///
    /// # Errors
    /// AWS refuses a call. The images of earlier calls (a hundred each) are deleted.
    pub async fn delete(&self, path: &RepositoryPath, digests: &[Digest]) -> Result<Vec<NotDeleted>, EcrError> {
        let failed = |kind| self.failed(&format!("delete images of {path}"), kind);
        self.control().await.map_err(failed)?.delete(self.account.as_ref(), path, digests).await.map_err(failed)
    }

    /// The AWS identity of the user.
    ///
    /// # Errors
    /// There are no AWS credentials, or AWS refuses them or cannot be reached.
    pub async fn identity(&self) -> Result<Identity, EcrError> {
        let failed = |kind| self.failed("ask for the AWS identity", kind);
        self.control().await.map_err(failed)?.identity().await.map_err(failed)
    }

    async fn control(&self) -> Result<&Control, EcrErrorKind> {
        self.control.get_or_try_init(|| Control::open(&self.sdk, &self.endpoint)).await
    }

    fn failed(&self, doing: &str, kind: EcrErrorKind) -> EcrError {
        EcrError { doing: format!("{doing} (Amazon ECR, {})", self.place()), kind }
    }
}

impl fmt::Debug for EcrRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EcrRegistry")
            .field("host", &self.host)
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}
