//! Reads the settings of Amazon ECR: `ecr` of an image, and a registry of `type: ecr`.

use std::collections::BTreeMap;
use std::path::Path;

use crate::aws::{AwsRegion, EcrHost, Mutability, PrivateEcr, TagPattern};
use crate::oci::RegistryHost;
use crate::plan::model::ecr::{ENCRYPTIONS, EcrControl, EcrCreation, Encryption, OWN_REGISTRY};
use crate::plan::read::keys::{ECR, ECR_ENCRYPTION, ECR_IMMUTABLE};
use crate::plan::read::node::{Map, Node, Origin, Value, get};
use crate::plan::read::paths;
use crate::plan::read::reader::{Late, Read, Reader};
use crate::plan::read::suggest::suggest;

/// The most patterns that ECR accepts for one repository (Amazon ECR, "Image tag mutability").
const MOST_PATTERNS: usize = 5;
/// The longest pattern, in bytes.
const LONGEST_PATTERN: usize = 128;

/// Whether polyarch must find the registry of the account: `ecr`, `ecr/NAMESPACE`, or a map with `type: ecr` and
/// without `host`.
pub(in crate::plan) fn is_own(node: &Node) -> bool {
    let own = |text: &str| text == "ecr" || text.starts_with("ecr/");
    match &node.value {
        Value::Text(text) | Value::Flag(text) => own(text),
        Value::List(items) => items.iter().any(is_own),
        Value::Map(map) => get(map, "type").is_some() && get(map, "host").is_none(),
        _ => false,
    }
}

/// The region of the first registry that [`is_own`], if each of them has a region of its own.
pub(in crate::plan) fn region_of_own(node: &Node) -> Option<AwsRegion> {
    let region = |node: &Node| match &node.value {
        Value::Map(map) => match &get(map, "region")?.value.value {
            Value::Text(region) => region.parse().ok(),
            _ => None,
        },
        _ => None,
    };
    let all = match &node.value {
        Value::List(items) => items.iter().filter(|item| is_own(item)).map(region).collect(),
        _ => vec![region(node)],
    };
    all.into_iter().collect::<Option<Vec<AwsRegion>>>()?.into_iter().next()
}

/// The host of the account's registry. If `region` is given, the host is in that region.
pub(super) fn own_host(reader: &mut Reader<'_>, origin: &Origin, region: Option<&AwsRegion>) -> Read<RegistryHost> {
    let hint = || Some("name the host of the registry: ACCOUNT.dkr.ecr.REGION.amazonaws.com".to_owned());
    let found = match reader.fact(OWN_REGISTRY) {
        Ok(host) => host,
        Err(reason) => {
            return Err(reader.problem(
                origin,
                format!(
                    "polyarch cannot find the ECR registry of your AWS \
                account: {reason}"
                ),
                hint(),
            ));
        }
    };
    let host = found.parse::<RegistryHost>();
    let Some(region) = region else {
        let bad = |_| {
            reader.problem(
                origin,
                format!(
                    "AWS reports `{}` as your ECR registry, which is not the \
            name of a registry",
                    found.escape_debug()
                ),
                hint(),
            )
        };
        return host.map_err(bad);
    };
    let elsewhere = host.ok().and_then(|host| match EcrHost::of(&host) {
        Some(EcrHost::Private(PrivateEcr { account, .. })) => PrivateEcr::new(account, region.clone()).host().ok(),
        Some(EcrHost::Public) | None => None,
    });
    elsewhere.ok_or_else(|| {
        let message =
            format!("AWS reports `{}` as your ECR registry, and this name contains no account", found.escape_debug());
        reader.problem(origin, message, hint())
    })
}

/// Reads `region` and `endpoint` of a registry.
pub(in crate::plan) fn control(reader: &mut Reader<'_>, map: &Map) -> Read<EcrControl> {
    let region = get(map, "region").map(|entry| reader.parsed(&entry.value, "the region", Late::default()));
    let endpoint = get(map, "endpoint").map(|entry| endpoint(reader, &entry.value));
    Ok(EcrControl { region: region.transpose()?, endpoint: endpoint.transpose()? })
}

/// `https://HOST[:PORT]`, or `http://` on loopback.
fn endpoint(reader: &mut Reader<'_>, node: &Node) -> Read<String> {
    let text = reader.text(node, "`endpoint`", Late::default())?;
    let hint = || Some("write a URL such as https://vpce-0123-abcd.api.ecr.eu-central-1.vpce.amazonaws.com".to_owned());
    let host = |url: &str| url.trim_end_matches('/').parse::<RegistryHost>().ok();
    let message = match (text.strip_prefix("https://").map(host), text.strip_prefix("http://").map(host)) {
        (Some(Some(_)), _) => return Ok(text),
        (_, Some(Some(host))) if host.is_loopback() => return Ok(text),
        (_, Some(Some(_))) => "`endpoint` is unencrypted: anyone on the network could read the logins that it sends",
        _ => "`endpoint` is not the URL of a host",
    };
    Err(reader.problem(&node.origin, message, hint()))
}

/// Reads `ecr` of an image. `None`: polyarch does not create the repository.
pub(in crate::plan) fn creation(
    reader: &mut Reader<'_>,
    settings: &Map,
    late: Late<'_>,
    directory: &Path,
) -> Read<Option<EcrCreation>> {
    let Some(said) = get(settings, "ecr") else { return Ok(None) };
    let map = reader.map(&said.value, "`ecr`", &ECR)?;
    let flag = |reader: &mut Reader<'_>, key: &str| {
        get(&map, key).map_or(Ok(false), |entry| reader.boolean(&entry.value, &format!("`{key}`")))
    };
    let (create, scan_on_push) = (flag(reader, "create"), flag(reader, "scan_on_push"));
    let mutability = get(&map, "immutable").map(|entry| mutability(reader, &entry.value, late));
    let encryption = get(&map, "encryption").map(|entry| encryption(reader, &entry.value, late));
    let tags = get(&map, "tags").map(|entry| tags(reader, &entry.value, late));
    let lifecycle = get(&map, "lifecycle").map(|entry| file(reader, &entry.value, late));
    let mutability = mutability.unwrap_or(Ok(Mutability::Mutable(Vec::new())))?;
    let (encryption, tags) = (encryption.transpose()?, tags.transpose()?.unwrap_or_default());
    let lifecycle = lifecycle.transpose()?.map(|path| paths::join(directory, &path));
    let creation = EcrCreation { mutability, scan_on_push: scan_on_push?, encryption, tags, lifecycle };
    Ok(create?.then_some(creation))
}

/// `true`, `false`, `[PATTERN…]` for only these tags, or `{ except: [PATTERN…] }`.
fn mutability(reader: &mut Reader<'_>, node: &Node, late: Late<'_>) -> Read<Mutability> {
    match &node.value {
        Value::List(_) => patterns(reader, node, late).map(Mutability::Mutable),
        Value::Map(_) => {
            let map = reader.map(node, "`immutable`", &ECR_IMMUTABLE)?;
            let Some(except) = get(&map, "except") else {
                let hint = "write { except: [latest, \"dev-*\"] }, or true for all tags".to_owned();
                return Err(reader.problem(&node.origin, "`immutable` is a map without `except`", Some(hint)));
            };
            patterns(reader, &except.value, late).map(Mutability::Immutable)
        }
        _ if reader.boolean(node, "`immutable`")? => Ok(Mutability::Immutable(Vec::new())),
        _ => Ok(Mutability::Mutable(Vec::new())),
    }
}

fn file(reader: &mut Reader<'_>, node: &Node, late: Late<'_>) -> Read<String> {
    let path = reader.text(node, "`lifecycle`", late)?;
    if path.is_empty() { Err(reader.problem(&node.origin, "`lifecycle` is empty", None)) } else { Ok(path) }
}

fn patterns(reader: &mut Reader<'_>, node: &Node, late: Late<'_>) -> Read<Vec<TagPattern>> {
    let items = reader.list(node, "the patterns")?;
    if items.is_empty() || items.len() > MOST_PATTERNS {
        let message = format!("the list has {} patterns, and ECR accepts 1 to {MOST_PATTERNS}", items.len());
        return Err(reader.problem(&node.origin, message, None));
    }
    let mut patterns = Vec::with_capacity(items.len());
    for item in items.iter() {
        let text = reader.text(item, "a pattern", late)?;
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._*-".contains(&byte);
        if text.is_empty() || text.len() > LONGEST_PATTERN || !text.bytes().all(allowed) {
            let message = format!("`{}` is not a tag pattern", text.escape_debug());
            return Err(reader.problem(
                &item.origin,
                message,
                Some(
                    "use letters, digits, `.`, `_`, `-`, and `*` \
                for any characters: dev-*"
                        .into(),
                ),
            ));
        }
        patterns.push(TagPattern::new(text));
    }
    Ok(patterns)
}

/// `AES256`, `KMS`, `KMS_DSSE`, or `{ type: KMS, key: ARN }`.
fn encryption(reader: &mut Reader<'_>, node: &Node, late: Late<'_>) -> Read<Encryption> {
    let (kind, key) = match &node.value {
        Value::Map(_) => {
            let map = reader.map(node, "`encryption`", &ECR_ENCRYPTION)?;
            let key = get(&map, "key").map(|entry| reader.text(&entry.value, "`key`", late)).transpose();
            let Some(kind) = get(&map, "type") else {
                let hint = "write { type: KMS, key: alias/ecr }".to_owned();
                return Err(reader.problem(&node.origin, "`encryption` has no `type`", Some(hint)));
            };
            (kind.value.clone(), key?)
        }
        _ => (node.clone(), None),
    };
    let text = reader.text(&kind, "`encryption`", late)?;
    match (&*text, key) {
        ("AES256", None) => Ok(Encryption::Aes256),
        ("AES256", Some(_)) => {
            Err(reader.problem(&node.origin, "`AES256` takes no `key`, because ECR owns that key", None))
        }
        ("KMS", key) => Ok(Encryption::Kms(key)),
        ("KMS_DSSE", key) => Ok(Encryption::KmsDsse(key)),
        (other, _) => {
            let message = format!("`{}` is not an encryption type of ECR", other.escape_debug());
            Err(reader.problem(&kind.origin, message, suggest(other, ENCRYPTIONS)))
        }
    }
}

fn tags(reader: &mut Reader<'_>, node: &Node, late: Late<'_>) -> Read<BTreeMap<String, String>> {
    let map = reader.any_map(node, "`tags` of a repository")?;
    let mut tags = BTreeMap::new();
    for entry in map.iter() {
        let value = reader.text(&entry.value, "a tag of the repository", late)?;
        tags.insert(entry.key.name.to_string(), value);
    }
    Ok(tags)
}
