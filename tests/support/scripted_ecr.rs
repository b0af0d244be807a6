//! Amazon ECR as far as its rules differ from those of other registries, in memory: for what neither moto nor
//! docker-registry does.
//!
//! ```ignore
//! let ecr = ScriptedEcr::start().await;          // account 123456789012, us-east-1, no repository
//! ecr.has("hello", Mutability::Immutable);       // a repository that is there before
//! ecr.deny(Action::PutImage);                    // AccessDeniedException, or 403 DENIED, which names ecr:PutImage
//! let registry = ecr.host();                     // 127.0.0.1:PORT: /v2/, with the login of GetAuthorizationToken
//! let endpoint = ecr.endpoint();                 // http://127.0.0.1:PORT: AWS_ENDPOINT_URL_ECR and …_STS
//! assert_eq!(ecr.count(Action::GetAuthorizationToken), 1);
//! ```
//!
//! Both planes have the same images. What is asked of the registry is counted, denied and throttled as the [`Action`]
//! that IAM names it; `ecr.registry` and `ecr.control` have the requests themselves. A blob is a redirect to the control
//! plane's address without a login, as it is to S3: a credential that comes along fails the test, as does any request
//! that is not of ECR. Texts, codes and statuses are those that were seen of ECR; not seen by anybody, and only probable,
//! are those of a deletion over `/v2/` that is refused, and of parts that are too small, too large or not in order.
//!
//! `Script::push(ecr.pushes())` makes a scripted engine push here with the login that it was given.

mod account;
mod control;
mod data;
mod engine;
mod refusal;
mod repository;

use std::sync::{Arc, Mutex};

use base64::Engine as _;
use serde_json::Value;

use self::account::Account;
pub(crate) use self::repository::Mutability;
use super::images::{Document, Image};
use super::scripted_registry::{Reply, Request, ScriptedRegistry};

/// What ECR can be asked for, as IAM names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    GetAuthorizationToken,
    DescribeRepositories,
    CreateRepository,
    DescribeRepositoryCreationTemplates,
    PutLifecyclePolicy,
    TagResource,
    DescribeImages,
    ListImages,
    BatchGetImage,
    BatchDeleteImage,
    BatchCheckLayerAvailability,
    GetDownloadUrlForLayer,
    InitiateLayerUpload,
    UploadLayerPart,
    CompleteLayerUpload,
    PutImage,
    /// Of STS, at the same endpoint.
    GetCallerIdentity,
}

impl Action {
    /// `ecr:PutImage`.
    pub(crate) fn iam(self) -> String {
        let service = if self == Self::GetCallerIdentity { "sts" } else { "ecr" };
        format!("{service}:{self:?}")
    }

    fn named(name: &str) -> Option<Self> {
        let all = [
            Self::GetAuthorizationToken,
            Self::DescribeRepositories,
            Self::CreateRepository,
            Self::DescribeRepositoryCreationTemplates,
            Self::PutLifecyclePolicy,
            Self::TagResource,
            Self::DescribeImages,
            Self::ListImages,
            Self::BatchGetImage,
            Self::BatchDeleteImage,
        ];
        all.into_iter().find(|action| format!("{action:?}") == name)
    }
}

/// Account, region, and both planes of it. Dropping it ends it, and fails the test if it was asked what ECR does not have.
pub(crate) struct ScriptedEcr {
    /// The data plane: `/v2/`.
    pub(crate) registry: ScriptedRegistry,
    /// The control plane: JSON 1.1 over `POST /`, STS, and the layers that the data plane leads to.
    pub(crate) control: ScriptedRegistry,
    account: Arc<Mutex<Account>>,
}

impl ScriptedEcr {
    /// Account 123456789012 in us-east-1 without a repository; in clear.
    pub(crate) async fn start() -> Self {
        Self::start_of("123456789012", "us-east-1").await
    }

    /// Another account or region; in clear.
    pub(crate) async fn start_of(account: &str, region: &str) -> Self {
        Self::up(Account::new(account, region), None).await
    }

    /// As [`Self::start`], the data plane over TLS.
    pub(crate) async fn start_tls(acceptor: tokio_rustls::TlsAcceptor) -> Self {
        Self::up(Account::new("123456789012", "us-east-1"), Some(acceptor)).await
    }

    async fn up(account: Account, tls: Option<tokio_rustls::TlsAcceptor>) -> Self {
        let account = Arc::new(Mutex::new(account));
        let of = account.clone();
        let control =
            ScriptedRegistry::stateful(move |request| control::answer(&mut of.lock().unwrap(), request)).await;
        let of = account.clone();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let layers = format!("http://{}", control.host());
        let script = move |request: &Request| data::answer(&mut of.lock().unwrap(), request, scheme, &layers);
        let registry = match tls {
            Some(acceptor) => ScriptedRegistry::stateful_tls(acceptor, script).await,
            None => ScriptedRegistry::stateful(script).await,
        };
        Self { registry, control, account }
    }

    /// The data plane's `127.0.0.1:PORT`.
    pub(crate) fn host(&self) -> String {
        self.registry.host()
    }

    /// The control plane's `http://127.0.0.1:PORT`.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.control.host())
    }

    /// `123456789012.dkr.ecr.us-east-1.amazonaws.com`: what it would be called.
    pub(crate) fn real_host(&self) -> String {
        self.of(|account| account.host())
    }

    /// How often an action was asked for, refused or not, over both planes.
    pub(crate) fn count(&self, action: Action) -> usize {
        self.of(|account| account.counts.get(&action).copied().unwrap_or_default())
    }

    // What is there.

    /// Has a repository.
    pub(crate) fn has(&self, repository: &str, mutability: Mutability) {
        self.of(|account| account.add(repository, mutability));
    }

    /// Has an image with its blobs under a tag, or under its digest alone.
    pub(crate) fn keep(&self, repository: &str, tag: Option<&str>, image: &Image) {
        self.of(|account| {
            let repository = account.repositories.get_mut(repository).expect("a repository that is there");
            for blob in image.blobs() {
                repository.keep_blob(&blob.digest(), blob.bytes.clone());
            }
            repository.keep(tag, image.manifest.clone());
        });
    }

    /// Has an index, or any other manifest, under a tag, or under its digest alone. What it names is not looked for.
    pub(crate) fn keep_manifest(&self, repository: &str, tag: Option<&str>, manifest: &Document) {
        self.of(|account| {
            account.repositories.get_mut(repository).expect("a repository that is there").keep(tag, manifest.clone());
        });
    }

    /// Has a creation template: with AWS's keys, `prefix` and `appliedFor` among them. What is pushed to a repository that
    /// is missing creates it, if a template with `CREATE_ON_PUSH` is for it.
    pub(crate) fn has_template(&self, template: Value) {
        self.of(|account| account.templates.push(template));
    }

    /// Lets blobs be mounted from other repositories; ECR does not by default.
    pub(crate) fn mounts_blobs(&self) {
        self.of(|account| account.mounts = true);
    }

    /// What a tag or a digest names.
    pub(crate) fn get(&self, repository: &str, reference: &str) -> Option<Document> {
        self.of(|account| account.repositories.get(repository)?.get(reference).cloned())
    }

    /// The tags of a repository, sorted.
    pub(crate) fn tags(&self, repository: &str) -> Vec<String> {
        self.of(|account| account.repositories.get(repository).map(repository::Repository::tags).unwrap_or_default())
    }

    /// The repositories, sorted.
    pub(crate) fn repositories(&self) -> Vec<String> {
        self.of(|account| account.repositories.keys().cloned().collect())
    }

    /// A repository as `DescribeRepositories` has it, and as `tags` and `lifecyclePolicyText` what else was said of it.
    pub(crate) fn settings(&self, repository: &str) -> Option<Value> {
        self.of(|account| {
            let found = account.repositories.get(repository)?;
            let mut settings = account.describe(repository, found);
            settings["tags"] = found.resource_tags.clone();
            settings["lifecyclePolicyText"] = found.lifecycle.clone().map_or(Value::Null, Value::String);
            Some(settings)
        })
    }

    /// How large the bodies of the requests were that carry blobs here, in their order, in bytes.
    pub(crate) fn part_sizes(&self) -> Vec<usize> {
        let requests = self.registry.requests().into_iter();
        let carries = |request: &Request| request.target.contains("/blobs/uploads/") && !request.body.is_empty();
        requests.filter(carries).map(|request| request.body.len()).collect()
    }

    // Logins.

    /// How long tokens live from now on, in seconds; with less than none they have ended when they are given out, and are
    /// taken all the same, as moto's are.
    pub(crate) fn token_life(&self, seconds: i64) {
        self.of(|account| account.token_life = seconds);
    }

    /// What `GetAuthorizationToken` calls the registry: `https://` and [`Self::real_host`] if this is not said.
    pub(crate) fn proxy_endpoint(&self, url: &str) {
        self.of(|account| account.proxy_endpoint = Some(url.to_owned()));
    }

    /// Tokens that were given out so far are not taken any more.
    pub(crate) fn expire_tokens(&self) {
        self.of(Account::expire_tokens);
    }

    /// Tokens that were given out by then are not taken any more when an action is next asked for.
    pub(crate) fn expire_tokens_at(&self, action: Action) {
        self.of(|account| account.expires_at.insert(action));
    }

    /// The password of the last token: what must be seen nowhere.
    pub(crate) fn password(&self) -> String {
        self.of(|account| account.password())
    }

    /// The value of `Authorization` that the last token makes.
    pub(crate) fn authorization(&self) -> String {
        let login = format!("AWS:{}", self.password());
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(login))
    }

    // Refusals.

    /// Whoever asks may not: `AccessDeniedException` of the API, 403 DENIED of the registry.
    pub(crate) fn deny(&self, action: Action) {
        self.of(|account| account.denied.insert(action));
    }

    /// The next `times` are too many: `ThrottlingException` of the API, 429 TOOMANYREQUESTS of the registry.
    pub(crate) fn throttle(&self, action: Action, times: usize) {
        self.of(|account| account.throttled.insert(action, times));
    }

    /// The API always answers with an exception: `ExpiredTokenException`, `The security token … is expired`.
    pub(crate) fn fail(&self, action: Action, exception: &'static str, message: &str) {
        self.of(|account| account.failing.insert(action, (exception, message.to_owned())));
    }

    /// Somebody else creates this repository just before `CreateRepository` does.
    pub(crate) fn lose_the_race(&self, repository: &str, mutability: Mutability) {
        self.of(|account| account.races.insert(repository.to_owned(), mutability));
    }

    /// How many images or repositories a page has at most: 1,000 if this is not said.
    pub(crate) fn page(&self, size: usize) {
        self.of(|account| account.page = size);
    }

    /// What `PATCH` is answered with: 201, as ECR does, if this is not said.
    pub(crate) fn patch_status(&self, status: u16) {
        self.of(|account| account.patch_status = status);
    }

    /// Answers of its own, to requests with a good login, before anything else is looked at; `None` goes on.
    pub(crate) fn answers(&self, hook: impl FnMut(Action, &Request) -> Option<Reply> + Send + 'static) {
        self.of(|account| account.hook = Box::new(hook));
    }

    fn of<T>(&self, work: impl FnOnce(&mut Account) -> T) -> T {
        work(&mut self.account.lock().unwrap())
    }
}
