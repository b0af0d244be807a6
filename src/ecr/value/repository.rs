//! Repositories, as AWS describes them.

use crate::aws::Mutability;

/// The facts about a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryFacts {
    /// The tags that may move.
    pub mutability: Mutability,
}

/// The creator of a repository that did not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// polyarch created it.
    Now,
    /// Another program created it at the same time.
    ByAnother,
}
