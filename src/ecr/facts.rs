//! The facts about AWS that a plan may use: `aws.account`, `aws.region`, `aws.registry`.

use std::collections::{BTreeMap, BTreeSet};

use super::access::Ecr;
use super::value::EcrError;
use crate::aws::{AwsRegion, EcrHost};
use crate::oci::RegistryHost;

/// The AWS facts among `wanted`. Each is a value, or the reason why it is unknown. If no fact is wanted, polyarch sends
/// no request. For the region it never sends one. `fallback` is the region of the registry if no other one is known.
///
/// # Errors
/// `aws.registry` is wanted but unknown. Without this fact there is no registry to use.
pub async fn aws_facts(
    ecr: &Ecr,
    wanted: &BTreeSet<String>,
    fallback: Option<&AwsRegion>,
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
    let own = ecr.own(fallback).await;
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
        Some(EcrHost::Public) | None => Err(format!("AWS reports the registry {host}, whose name contains no account")),
    }
}
