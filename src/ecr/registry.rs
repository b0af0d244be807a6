//! One registry of ECR.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex as SyncMutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use tokio::sync::{Mutex, OnceCell};
use tokio::time::Instant;

use super::control::{Control, Endpoint};
use super::error::{EcrError, EcrErrorKind};
use super::identity::Identity;
use super::image::{ImageDetail, NotDeleted};
use super::sdk::Sdk;
use super::token::Token;
use crate::auth::Credential;
use crate::oci::{AwsAccount, Digest, EcrPlace, Mutability, RegistryHost, RepositoryPath, Tag};
use crate::plan::EcrCreation;

/// What is known of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryFacts {
    /// Which of its tags may move.
    pub mutability: Mutability,
}

/// Who created a repository that was not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// We did.
    Now,
    /// Somebody else did meanwhile.
    ByAnother,
}

/// A registry of ECR: an account's in a region, or the public gallery. Clones of its [`Arc`] share its login.
///
/// Calls are tried three times by the SDK, and take 15 s at most.
pub struct EcrRegistry {
    host: RegistryHost,
    /// Whose it is, where its host says it.
    account: Option<AwsAccount>,
    endpoint: Endpoint,
    sdk: Arc<Sdk>,
    control: OnceCell<Control>,
    token: SyncMutex<Option<Token>>,
    /// Held while another one is asked for: who comes meanwhile waits, and gets that.
    asking: Mutex<()>,
    /// What was found out about repositories.
    known: SyncMutex<HashMap<RepositoryPath, RepositoryFacts>>,
}

impl EcrRegistry {
    pub(super) fn new(host: RegistryHost, account: Option<AwsAccount>, endpoint: Endpoint, sdk: Arc<Sdk>) -> Self {
        let (control, asking) = (OnceCell::new(), Mutex::default());
        let (token, known) = (SyncMutex::default(), SyncMutex::default());
        Self { host, account, endpoint, sdk, control, token, asking, known }
    }

    /// Whether its calls go there.
    pub(super) fn is_at(&self, endpoint: &Endpoint) -> bool {
        self.endpoint == *endpoint
    }

    /// Takes over the login of `other`, which is this registry too.
    pub(super) fn with_login_of(self, other: &Self) -> Self {
        self.kept().clone_from(&other.kept());
        self
    }

    /// Its host.
    #[must_use]
    pub fn host(&self) -> &RegistryHost {
        &self.host
    }

    /// Where it is, as people and the AWS CLI are told.
    #[must_use]
    pub fn place(&self) -> EcrPlace {
        match &self.endpoint {
            Endpoint::Region(region, _) | Endpoint::Url(region, _) => {
                EcrPlace::Private { account: self.account.clone(), region: Some(region.clone()) }
            }
            Endpoint::Gallery => EcrPlace::Gallery,
        }
    }

    /// Our login, which lasts up to twelve hours: the one that was given out last, unless it has lived four fifths of its
    /// life. Those who ask at once share one request.
    ///
    /// # Errors
    /// There are no AWS credentials, or AWS refuses them or cannot be reached.
    pub async fn login(&self) -> Result<Credential, EcrError> {
        self.token().await.map(|token| token.credential)
    }

    /// The host of the registry that AWS says the login is for.
    ///
    /// # Errors
    /// As for [`Self::login`]; or AWS names none.
    pub async fn named_by_aws(&self) -> Result<RegistryHost, EcrError> {
        let registry = self.token().await?.registry;
        registry.ok_or_else(|| self.failed("find its registry", EcrErrorKind::Answer("no registry")))
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

    /// From when on the login that was given out last should be asked for anew.
    #[must_use]
    pub fn spent_at(&self) -> Option<Instant> {
        self.kept().as_ref().map(|token| token.spent_at)
    }

    fn kept(&self) -> MutexGuard<'_, Option<Token>> {
        self.token.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of `path`; `None`: it is not there.
    ///
    /// # Errors
    /// AWS cannot be asked, or the role may not ask ([`EcrError::is_denied`]).
    pub async fn repository(&self, path: &RepositoryPath) -> Result<Option<RepositoryFacts>, EcrError> {
        let failed = |kind| self.failed(&format!("look for repository {path}"), kind);
        let control = self.control().await.map_err(failed)?;
        let found = control.repository(self.account.as_ref(), path).await.map_err(failed)?;
        if let Some(facts) = &found {
            self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(path.clone(), facts.clone());
        }
        Ok(found)
    }

    /// Whether `tag` of `path`, once it names an image, names it for ever, as far as [`Self::repository`] found out.
    #[must_use]
    pub fn fixes(&self, path: &RepositoryPath, tag: &Tag) -> bool {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(path).is_some_and(|facts| facts.mutability.fixes(tag))
    }

    /// The prefix of the creation template by which ECR creates `path` itself when it is first pushed to; `None`: it
    /// does not.
    ///
    /// # Errors
    /// As for [`Self::repository`].
    pub async fn template(&self, path: &RepositoryPath) -> Result<Option<String>, EcrError> {
        let failed = |kind| self.failed("read the repository creation templates", kind);
        self.control().await.map_err(failed)?.template(self.account.as_ref(), path).await.map_err(failed)
    }

    /// Creates `path`, with the lifecycle policy (JSON) `lifecycle`. Somebody else who does so at the same time is no
    /// error.
    ///
    /// # Errors
    /// AWS refuses; if it was the policy that it refused, the repository is there.
    pub async fn create(
        &self,
        path: &RepositoryPath,
        creation: &EcrCreation,
        lifecycle: Option<&str>,
    ) -> Result<Created, EcrError> {
        let (failed, account) = (|kind| self.failed(&format!("create repository {path}"), kind), self.account.as_ref());
        let control = self.control().await.map_err(failed)?;
        let created = control.create(account, path, creation).await.map_err(failed)?;
        // Whoever created it also says how it is.
        if let (Created::Now, Some(policy)) = (created, lifecycle) {
            let failed =
                |kind| self.failed(&format!("give repository {path}, which is created, its lifecycle policy"), kind);
            control.put_lifecycle(account, path, policy).await.map_err(failed)?;
        }
        Ok(created)
    }

    /// All images, indexes and artifacts of `path`, at most 100,000, in AWS's order.
    ///
    /// # Errors
    /// There is no such repository, or as for [`Self::repository`]. The public gallery is not asked so.
    pub async fn images(&self, path: &RepositoryPath) -> Result<Vec<ImageDetail>, EcrError> {
        let failed = |kind| self.failed(&format!("list the images of {path}"), kind);
        self.control().await.map_err(failed)?.images(self.account.as_ref(), path).await.map_err(failed)
    }

    /// Deletes what `digests` name, with all its tags; what ECR did not delete is returned.
    ///
    /// # Errors
    /// AWS refuses the call; what calls before it deleted (a hundred each) is gone.
    pub async fn delete(&self, path: &RepositoryPath, digests: &[Digest]) -> Result<Vec<NotDeleted>, EcrError> {
        let failed = |kind| self.failed(&format!("delete images of {path}"), kind);
        self.control().await.map_err(failed)?.delete(self.account.as_ref(), path, digests).await.map_err(failed)
    }

    /// Who AWS takes us for.
    ///
    /// # Errors
    /// There are no AWS credentials, or AWS refuses them or cannot be reached.
    pub async fn identity(&self) -> Result<Identity, EcrError> {
        let failed = |kind| self.failed("ask who we are", kind);
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
