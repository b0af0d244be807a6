//! Reads caches in storage services: `type: s3`, `azblob` and `gha`, with the attributes of buildx.

use std::collections::BTreeMap;

use crate::plan::model::cache_service::{CacheService, HiddenText, ServiceCache};
use crate::plan::read::keys::{CACHE_AZBLOB, CACHE_GHA, CACHE_S3, Keys};
use crate::plan::read::node::{Map, Node, Value, get};
use crate::plan::read::reader::{Late, Read, Reader};

/// The service of a cache with these fields.
pub(super) fn service(fields: &Map) -> Option<CacheService> {
    let (Value::Text(kind) | Value::Flag(kind)) = &get(fields, "type")?.value.value else { return None };
    CacheService::ALL.into_iter().find(|service| service.as_str() == kind)
}

fn keys(service: CacheService) -> &'static Keys {
    match service {
        CacheService::S3 => &CACHE_S3,
        CacheService::Azblob => &CACHE_AZBLOB,
        CacheService::Gha => &CACHE_GHA,
    }
}

/// Reads the attributes. Variables of the environment fill the missing ones, as in buildx. `mode` is only for exports.
pub(super) fn read(
    reader: &mut Reader<'_>,
    node: &Node,
    fields: &Map,
    service: CacheService,
    late: Late<'_>,
) -> Read<(ServiceCache, Option<Node>)> {
    let mut all: BTreeMap<String, String> = BTreeMap::new();
    let mut mode = None;
    for entry in fields.iter() {
        let key = &*entry.key.name;
        reader.key(&entry.key.origin, key, keys(service))?;
        match key {
            "type" => {}
            "mode" => mode = Some(entry.value.clone()),
            _ => {
                let text = attribute(reader, &entry.value, key, late)?;
                all.insert(key.to_owned(), text);
            }
        }
    }
    fill(&mut all, service, reader);
    if let Some((key, hint)) = missing(service, &all) {
        let message = format!("the cache of `type: {}` has no `{key}`", service.as_str());
        return Err(reader.problem(&node.origin, message, Some(hint.to_owned())));
    }
    let is_hidden = |key: &str| service.hidden().contains(&key);
    let (hidden, attributes): (BTreeMap<_, _>, BTreeMap<_, _>) = all.into_iter().partition(|(key, _)| is_hidden(key));
    let hidden = hidden.into_iter().map(|(key, text)| (key, HiddenText::new(text))).collect();
    Ok((ServiceCache { service, attributes, hidden }, mode))
}

/// A switch or a number may be written without quotes.
fn attribute(reader: &mut Reader<'_>, node: &Node, key: &str, late: Late<'_>) -> Read<String> {
    match &node.value {
        Value::Bool(value) => Ok(value.to_string()),
        Value::Number(text) => Ok(text.clone()),
        _ => reader.text(node, &format!("`{key}`"), late),
    }
}

fn fill(all: &mut BTreeMap<String, String>, service: CacheService, reader: &Reader<'_>) {
    let environment = reader.environment();
    let set = |name: &&str| environment.get(*name).filter(|value| !value.is_empty());
    // The parts of one identity belong together.
    let is_said = ["access_key_id", "secret_access_key"].iter().any(|key| all.contains_key(*key));
    if service == CacheService::S3 && is_said {
        return;
    }
    for (key, variables) in service.variables() {
        let is_new = *key == "url_v2";
        let is_wanted = !is_new || environment.get("ACTIONS_CACHE_SERVICE_V2").is_some_and(|value| is_true(value));
        if let Some(value) = variables.iter().find_map(set).filter(|_| is_wanted) {
            all.entry((*key).to_owned()).or_insert_with(|| value.clone());
        }
    }
}

/// The texts that Go reads as true (`strconv.ParseBool`).
fn is_true(text: &str) -> bool {
    ["1", "t", "T", "TRUE", "true", "True"].contains(&text)
}

/// An attribute without which BuildKit cannot find the cache, and the next step.
fn missing(service: CacheService, all: &BTreeMap<String, String>) -> Option<(&'static str, &'static str)> {
    const OF_GITHUB: &str =
        "pass ACTIONS_RUNTIME_TOKEN and ACTIONS_RESULTS_URL to polyarch, as crazy-max/ghaction-github-runtime does";
    let needed: &[(&str, &str)] = match service {
        CacheService::S3 => &[("bucket", "name the bucket: { type: s3, region: eu-west-1, bucket: my-caches }")],
        CacheService::Azblob => &[("account_url", "name the account: account_url: https://NAME.blob.core.windows.net")],
        CacheService::Gha => &[("token", OF_GITHUB), ("url", OF_GITHUB)],
    };
    needed.iter().find(|(key, _)| !all.contains_key(*key)).copied()
}

#[cfg(test)]
mod tests {
    use crate::plan::{self, CacheExport, Environment, Facts, Overrides, SourceText};

    /// The exported cache of a plan with `to`, and the plan as `polyarch plan` prints it.
    fn exported(to: &str, environment: &[(&str, &str)]) -> Result<(String, String), String> {
        let text =
            format!("{{version: 1, images: {{a: {{tags: [x], platforms: [linux/amd64], cache: {{to: {to}}}}}}}}}");
        let source = SourceText { path: "build.yaml".into(), text };
        let environment: Environment =
            environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let plan = plan::resolve(&source, &environment, &Facts::new(), &Overrides::default());
        let plan = plan.map_err(|errors| errors.problems[0].message.clone())?;
        let shown = format!("{plan:?} {}", serde_json::to_string(&plan).unwrap());
        let Some(CacheExport::Service { cache, .. }) = &plan.images[0].jobs[0].build().unwrap().spec.cache.to else {
            panic!("{shown}");
        };
        let hidden = cache.hidden.iter().map(|(key, text)| format!("{key}={}", text.expose()));
        let all: Vec<_> = cache.attributes.iter().map(|(key, value)| format!("{key}={value}")).chain(hidden).collect();
        Ok((all.join(" "), shown))
    }

    #[test]
    fn secrets_of_a_cache_come_from_the_environment_unseen() {
        let aws = [
            ("AWS_ACCESS_KEY_ID", "id-canary"),
            ("AWS_SECRET_ACCESS_KEY", "key-canary"),
            ("AWS_SESSION_TOKEN", "s-canary"),
        ];
        let (sent, shown) = exported("{type: s3, bucket: b}", &aws).unwrap();
        assert_eq!(sent, "bucket=b access_key_id=id-canary secret_access_key=key-canary session_token=s-canary");
        assert!(!shown.contains("canary"), "{shown}");
        // The parts of one identity belong together.
        let own = "{type: s3, bucket: b, access_key_id: '${MINE}', secret_access_key: '${MINE}'}";
        let (sent, shown) = exported(own, &[&aws[..], &[("MINE", "own-canary")]].concat()).unwrap();
        assert_eq!(sent, "bucket=b access_key_id=own-canary secret_access_key=own-canary");
        assert!(!shown.contains("canary"), "{shown}");
        let github = [("ACTIONS_RUNTIME_TOKEN", "t-canary"), ("ACTIONS_RESULTS_URL", "https://r/")];
        assert_eq!(exported("{type: gha}", &github).unwrap().0, "url=https://r/ token=t-canary");
        let v2 = [&github[..], &[("ACTIONS_CACHE_SERVICE_V2", "True")]].concat();
        assert_eq!(exported("{type: gha}", &v2).unwrap().0, "url=https://r/ url_v2=https://r/ token=t-canary");
    }

    #[test]
    fn cache_in_a_service_without_its_place_is_refused() {
        for (to, message) in [
            ("{type: gha}", "the cache of `type: gha` has no `token`"),
            ("{type: s3}", "the cache of `type: s3` has no `bucket`"),
            ("{type: azblob}", "the cache of `type: azblob` has no `account_url`"),
            ("{type: s3, bucket: b, scope: a}", "a cache of `type: s3` has no key `scope`"),
        ] {
            assert_eq!(exported(to, &[]).unwrap_err(), message);
        }
    }
}
