//! What a plan may ask of AWS: `aws.account`, `aws.region`, `aws.registry`.

use std::collections::{BTreeMap, BTreeSet};

use super::access::Ecr;
use super::error::EcrError;
use crate::oci::{EcrHost, RegistryHost};

/// The facts among `wanted` that AWS knows, each or why it is not known. Nobody is asked where none is wanted, and for
/// the region nobody ever is.
///
/// # Errors
/// `aws.registry` is wanted, without which there is no registry, and is not known.
pub async fn aws_facts(
    ecr: &Ecr,
    wanted: &BTreeSet<String>,
) -> Result<BTreeMap<String, Result<String, String>>, EcrError> {
    let wants = |name: &str| wanted.contains(name);
    let mut facts = BTreeMap::new();
    let mut know = |name: &str, fact| drop(facts.insert(name.to_owned(), fact));
    if wants("aws.region") {
        know("aws.region", ecr.region().await.map(|region| region.to_string()).map_err(|error| error.kind.to_string()));
    }
    if !wants("aws.account") && !wants("aws.registry") {
        return Ok(facts);
    }
    let own = ecr.own().await;
    if wants("aws.account") {
        know("aws.account", own.as_ref().map_err(|error| error.kind.to_string()).and_then(account));
    }
    if wants("aws.registry") {
        know("aws.registry", Ok(own?.to_string()));
    }
    Ok(facts)
}

fn account(host: &RegistryHost) -> Result<String, String> {
    match EcrHost::of(host) {
        Some(EcrHost::Private(private)) => Ok(private.account.to_string()),
        Some(EcrHost::Public) | None => Err(format!("AWS calls our registry {host}, which names no account")),
    }
}
