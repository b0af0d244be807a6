//! The registries of Amazon ECR that this process uses.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;

use super::control::Sdk;
use super::registry::EcrRegistry;
use super::value::{EcrError, EcrErrorKind, Endpoint};
use crate::aws::{AwsRegion, EcrEndpoint, EcrHost};
use crate::oci::RegistryHost;
use crate::plan::{EcrControl, NamedRegistry};

/// The variables with the keys of AWS. One key is of no use without the other.
const KEYS: [&str; 2] = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];

/// The AWS identity, and the ECR registries that were named. There is one value in a process, so that all users of a
/// registry share its login.
#[derive(Debug)]
pub struct Ecr {
    sdk: Arc<Sdk>,
    known: Mutex<HashMap<RegistryHost, Arc<EcrRegistry>>>,
    own: OnceCell<RegistryHost>,
}

impl Ecr {
    /// No registry yet. `environment` is the environment of this process.
    #[must_use]
    pub fn new(environment: &BTreeMap<String, String>) -> Self {
        let is_set = |name: &str| environment.get(name).is_some_and(|value| !value.trim().is_empty());
        let none = match KEYS.map(is_set) {
            [true, false] => EcrErrorKind::HalfOfKeys { set: KEYS[0], missing: KEYS[1] },
            [false, true] => EcrErrorKind::HalfOfKeys { set: KEYS[1], missing: KEYS[0] },
            _ => EcrErrorKind::NoCredentials,
        };
        Self { sdk: Arc::new(Sdk::new(none)), known: Mutex::default(), own: OnceCell::new() }
    }

    /// Records the settings of the plan for an ECR registry, before any code asks for that registry. Other registries
    /// are ignored.
    ///
    /// # Errors
    /// polyarch does not know the region of the registry.
    #[doc(hidden)]
    pub async fn declare(&self, registry: &NamedRegistry) -> Result<(), EcrError> {
        let Some(control) = &registry.ecr else { return Ok(()) };
        let host = EcrHost::of(&registry.host);
        let account = match &host {
            Some(EcrHost::Private(private)) => Some(private.account.clone()),
            Some(EcrHost::Public) | None => None,
        };
        let endpoint = match (&control.endpoint, &host) {
            (Some(url), _) => Endpoint::Url(region(control, host.as_ref(), &registry.host).await?, url.clone()),
            (None, Some(host)) => Self::endpoint(host),
            (None, None) => Endpoint::Region(region(control, None, &registry.host).await?, EcrEndpoint::Standard),
        };
        let mut known = self.known();
        // A registry that is known keeps its login and its other state.
        if known.get(&registry.host).is_none_or(|known| !known.is_at(&endpoint)) {
            let declared = EcrRegistry::new(registry.host.clone(), account, endpoint, self.sdk.clone());
            known.insert(registry.host.clone(), Arc::new(declared));
        }
        Ok(())
    }

    /// The registry at `host`, or `None` if it is not an ECR registry.
    #[doc(hidden)]
    #[must_use]
    pub fn registry(&self, host: &RegistryHost) -> Option<Arc<EcrRegistry>> {
        let mut known = self.known();
        if let Some(registry) = known.get(host) {
            return Some(registry.clone());
        }
        let named = EcrHost::of(host)?;
        let account = match &named {
            EcrHost::Private(private) => Some(private.account.clone()),
            EcrHost::Public => None,
        };
        let registry = EcrRegistry::new(host.clone(), account, Self::endpoint(&named), self.sdk.clone());
        Some(known.entry(host.clone()).or_insert(Arc::new(registry)).clone())
    }

    /// The user's region. polyarch makes no request for it.
    ///
    /// # Errors
    /// Neither the environment nor the profile names a region.
    #[doc(hidden)]
    pub async fn region(&self) -> Result<AwsRegion, EcrError> {
        let failed = |kind| EcrError { doing: "find the AWS region".into(), kind };
        Sdk::default_region().await.map_err(failed)
    }

    /// The registry of the user's own account in the user's region, or else in `fallback`. polyarch asks AWS once.
    ///
    /// # Errors
    /// No region is known, there are no AWS credentials, or AWS refuses them or cannot be reached.
    #[doc(hidden)]
    pub async fn own(&self, fallback: Option<&AwsRegion>) -> Result<RegistryHost, EcrError> {
        self.own.get_or_try_init(|| self.find_own(fallback)).await.cloned()
    }

    async fn find_own(&self, fallback: Option<&AwsRegion>) -> Result<RegistryHost, EcrError> {
        let failed = |kind| EcrError { doing: "find the registry of this account (Amazon ECR)".into(), kind };
        let region = match (Sdk::default_region().await, fallback) {
            (Err(EcrErrorKind::NoRegion), Some(fallback)) => fallback.clone(),
            (region, _) => region.map_err(failed)?,
        };
        // AWS's answer contains the host, so the request starts with a placeholder.
        let nameless: RegistryHost = "localhost".parse().map_err(|_| failed(EcrErrorKind::NoRegion))?;
        let endpoint = Endpoint::Region(region, EcrEndpoint::Standard);
        let found = EcrRegistry::new(nameless, None, endpoint.clone(), self.sdk.clone());
        let host = found.named_by_aws().await?;
        let account = match EcrHost::of(&host) {
            Some(EcrHost::Private(private)) => Some(private.account),
            Some(EcrHost::Public) | None => None,
        };
        let own = EcrRegistry::new(host.clone(), account, endpoint, self.sdk.clone()).with_login_of(&found);
        self.known().insert(host.clone(), Arc::new(own));
        Ok(host)
    }

    fn endpoint(host: &EcrHost) -> Endpoint {
        match host {
            EcrHost::Private(private) => Endpoint::Region(private.region.clone(), private.endpoint),
            EcrHost::Public => Endpoint::Gallery,
        }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<RegistryHost, Arc<EcrRegistry>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn region(control: &EcrControl, host: Option<&EcrHost>, name: &RegistryHost) -> Result<AwsRegion, EcrError> {
    let of_host = match host {
        Some(EcrHost::Private(private)) => Some(private.region.clone()),
        Some(EcrHost::Public) | None => None,
    };
    let failed = |kind| EcrError { doing: format!("find the region of {name}"), kind };
    match control.region.clone().or(of_host) {
        Some(region) => Ok(region),
        None => Sdk::default_region().await.map_err(failed),
    }
}
