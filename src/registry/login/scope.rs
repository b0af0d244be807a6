//! The scopes of logins.

use crate::oci::RepositoryPath;

/// The scope of a token (distribution, "Token scope").
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::registry) struct Scope {
    pub(in crate::registry) repository: RepositoryPath,
    access: Access,
    /// Another repository, whose blobs the registry mounts into this one. The token must allow to pull there.
    from: Option<RepositoryPath>,
}

/// The permitted actions in the repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Access {
    Pull,
    Push,
    Delete,
}

impl Scope {
    /// Read access to a repository.
    pub(in crate::registry) fn pull(repository: &RepositoryPath) -> Self {
        Self { repository: repository.clone(), access: Access::Pull, from: None }
    }

    /// Read and write access.
    pub(in crate::registry) fn push(repository: &RepositoryPath) -> Self {
        Self { repository: repository.clone(), access: Access::Push, from: None }
    }

    /// Read, write and delete access.
    pub(in crate::registry) fn delete(repository: &RepositoryPath) -> Self {
        Self { access: Access::Delete, ..Self::push(repository) }
    }

    /// Write access, with mounts from another repository.
    pub(in crate::registry) fn mount(repository: &RepositoryPath, from: &RepositoryPath) -> Self {
        Self { from: Some(from.clone()), ..Self::push(repository) }
    }

    /// The form for token servers. The repository to write is first, because some servers read only one.
    pub(super) fn words(&self) -> Vec<String> {
        let actions = match self.access {
            Access::Pull => "pull",
            Access::Push => "pull,push",
            Access::Delete => "pull,push,delete",
        };
        let own = format!("repository:{}:{actions}", self.repository);
        std::iter::once(own).chain(self.from.iter().map(|from| format!("repository:{from}:pull"))).collect()
    }
}
