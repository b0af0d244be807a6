//! An account in a region: its repositories, the tokens that it gave out, and what a test told it to do.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::super::scripted_registry::{Reply, Request};
use super::Action;
use super::data::Upload;
use super::refusal::Refusal;
use super::repository::{Mutability, Repository};

pub(super) type Hook = Box<dyn FnMut(Action, &Request) -> Option<Reply> + Send>;

pub(super) struct Account {
    pub(super) id: String,
    pub(super) region: String,
    pub(super) repositories: BTreeMap<String, Repository>,
    pub(super) uploads: HashMap<String, Upload>,
    pub(super) templates: Vec<Value>,
    pub(super) mounts: bool,
    pub(super) page: usize,
    pub(super) patch_status: u16,
    /// Tokens given out, and how many of them have expired.
    issued: usize,
    expired: usize,
    pub(super) token_life: i64,
    pub(super) proxy_endpoint: Option<String>,
    pub(super) expires_at: HashSet<Action>,
    pub(super) denied: HashSet<Action>,
    pub(super) throttled: HashMap<Action, usize>,
    pub(super) failing: HashMap<Action, (&'static str, String)>,
    pub(super) races: HashMap<String, Mutability>,
    pub(super) counts: HashMap<Action, usize>,
    pub(super) hook: Hook,
}

/// What a login is worth.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Login {
    Good,
    Expired,
    None,
}

impl Account {
    pub(super) fn new(id: &str, region: &str) -> Self {
        Self {
            id: id.to_owned(),
            region: region.to_owned(),
            repositories: BTreeMap::new(),
            uploads: HashMap::new(),
            templates: Vec::new(),
            mounts: false,
            page: 1000,
            patch_status: 201,
            issued: 0,
            expired: 0,
            token_life: 12 * 60 * 60,
            proxy_endpoint: None,
            expires_at: HashSet::new(),
            denied: HashSet::new(),
            throttled: HashMap::new(),
            failing: HashMap::new(),
            races: HashMap::new(),
            counts: HashMap::new(),
            hook: Box::new(|_, _| None),
        }
    }

    pub(super) fn host(&self) -> String {
        format!("{}.dkr.ecr.{}.amazonaws.com", self.id, self.region)
    }

    pub(super) fn add(&mut self, name: &str, mutability: Mutability) {
        let was_there = self.repositories.insert(name.to_owned(), Repository::new(mutability));
        assert!(was_there.is_none(), "the repository {name} is there already");
    }

    pub(super) fn arn(&self, repository: &str) -> String {
        format!("arn:aws:ecr:{}:{}:repository/{repository}", self.region, self.id)
    }

    /// A repository as `DescribeRepositories` has it.
    pub(super) fn describe(&self, name: &str, repository: &Repository) -> Value {
        let mut described = json!({
            "repositoryArn": self.arn(name),
            "registryId": self.id,
            "repositoryName": name,
            "repositoryUri": format!("{}/{name}", self.host()),
            "createdAt": 1_700_000_000,
            "imageScanningConfiguration": { "scanOnPush": false },
            "encryptionConfiguration": { "encryptionType": "AES256" },
        });
        for (key, value) in repository.settings.as_object().into_iter().flatten() {
            described[key] = value.clone();
        }
        repository.mutability.describe(&mut described);
        described
    }

    /// The repository of what is pushed, which a template may create.
    pub(super) fn pushed_to(&mut self, name: &str) -> Result<&mut Repository, Refusal> {
        let prefix = |template: &Value| template["prefix"].as_str().unwrap_or_default().to_owned();
        let is_for = |template: &&Value| {
            let on_push = template["appliedFor"].as_array().into_iter().flatten().any(|what| what == "CREATE_ON_PUSH");
            let prefix = prefix(template);
            on_push && (prefix == "ROOT" || name.starts_with(&format!("{}/", prefix.trim_end_matches('/'))))
        };
        // The longest prefix is the one that counts, and ROOT counts least.
        let template = self.templates.iter().filter(is_for).max_by_key(|template| match prefix(template).as_str() {
            "ROOT" => 0,
            prefix => prefix.len(),
        });
        if let Some(template) = template.filter(|_| !self.repositories.contains_key(name)) {
            self.repositories.insert(name.to_owned(), Repository::new(Mutability::parse(template)));
        }
        self.repositories.get_mut(name).ok_or_else(|| Refusal::repository_missing(name, &self.id))
    }

    pub(super) fn repository(&mut self, name: &str) -> Result<&mut Repository, Refusal> {
        self.repositories.get_mut(name).ok_or_else(|| Refusal::repository_missing(name, &self.id))
    }

    /// Counts an action, and does with it what the test said. `resource` is what IAM would name.
    pub(super) fn begin(&mut self, action: Action, resource: &str) -> Result<(), Refusal> {
        if self.denied.contains(&action) {
            return Err(Refusal::denied(action, resource, &self.id));
        }
        if let Some(left @ 1..) = self.throttled.get_mut(&action) {
            *left -= 1;
            return Err(Refusal::throttled());
        }
        Ok(())
    }

    pub(super) fn counted(&mut self, action: Action) {
        *self.counts.entry(action).or_default() += 1;
        if self.expires_at.remove(&action) {
            self.expire_tokens();
        }
    }

    // Tokens.

    pub(super) fn expire_tokens(&mut self) {
        self.expired = self.issued;
    }

    /// Of the last token; it looks like those of ECR, and is far from anything that a test may print by chance.
    pub(super) fn password(&self) -> String {
        format!("eyJwYXlsb2FkIjoi-canary-of-{}-{}-{}", self.id, self.region, self.issued)
    }

    /// A new token: base64 of `AWS:PASSWORD`, and when it ends, in seconds since 1970.
    pub(super) fn issue(&mut self) -> (String, i64) {
        self.issued += 1;
        let token = STANDARD.encode(format!("AWS:{}", self.password()));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        (token, i64::try_from(now).unwrap() + self.token_life)
    }

    /// Looks at `Authorization: Basic …`.
    pub(super) fn login(&self, request: &Request) -> Login {
        let sent = request.header("authorization").and_then(|value| value.strip_prefix("Basic "));
        let decoded =
            sent.and_then(|token| STANDARD.decode(token).ok()).and_then(|login| String::from_utf8(login).ok());
        let own = format!("AWS:eyJwYXlsb2FkIjoi-canary-of-{}-{}-", self.id, self.region);
        let number: Option<usize> = decoded.as_deref().and_then(|login| login.strip_prefix(&own)?.parse().ok());
        match number {
            Some(number) if number > self.issued => Login::None,
            Some(number) if number > self.expired => Login::Good,
            Some(_) => Login::Expired,
            None => Login::None,
        }
    }
}
