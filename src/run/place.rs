//! Repositories with the registries that they are in: a run may have several.

use super::access::Registry;
use crate::oci::{Repository, Selector, Tag};
use crate::registry::Client;

/// The registries of a plan.
#[derive(Debug, Clone)]
pub struct Registries {
    /// Where images are built to.
    pub first: Registry,
    /// Where they are copied to, in the plan's order.
    pub copies: Vec<Registry>,
}

/// A repository, and its registry.
#[derive(Debug, Clone)]
pub struct Place {
    /// The registry.
    pub registry: Registry,
    /// The repository.
    pub repository: Repository,
}

/// What is to be read, and where.
#[derive(Debug, Clone)]
pub struct Source {
    /// Where it is.
    pub place: Place,
    /// What of it.
    pub selector: Selector,
}

/// The tags of one repository that are to be put.
#[derive(Debug, Clone)]
pub struct FinalTags {
    /// Where they are.
    pub place: Place,
    /// The tags, in the order in which they are put.
    pub tags: Vec<Tag>,
}

impl From<Registry> for Registries {
    fn from(first: Registry) -> Self {
        Self { first, copies: Vec::new() }
    }
}

impl Registries {
    /// All of them, the one that images are built to first.
    pub fn all(&self) -> impl Iterator<Item = &Registry> {
        std::iter::once(&self.first).chain(&self.copies)
    }
}

impl Place {
    pub(super) fn client(&self) -> &Client {
        self.registry.client()
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let repository = &self.place.repository;
        match &self.selector {
            Selector::Tag(tag) => repository.tag(tag.clone()).fmt(f),
            Selector::Digest(digest) => repository.digest(digest.clone()).fmt(f),
        }
    }
}
