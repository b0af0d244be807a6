//! The warnings that a plan may silence.

/// A possible danger that does not stop a run. A run prints each warning once, unless the plan silences it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Caution {
    /// A build can escape from this version of the engine.
    VulnerableEngine,
    /// A Dockerfile names a frontend that is not Docker's own.
    ForeignFrontend,
    /// A build argument or a label has the name of a secret.
    SecretNames,
    /// The index under a final tag has annotations that the new one lacks.
    LostAnnotations,
}

impl Caution {
    /// All warnings.
    pub const ALL: [Self; 4] =
        [Self::VulnerableEngine, Self::ForeignFrontend, Self::SecretNames, Self::LostAnnotations];

    /// The name in the plan.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::VulnerableEngine => "vulnerable_engine",
            Self::ForeignFrontend => "foreign_frontend",
            Self::SecretNames => "secret_names",
            Self::LostAnnotations => "lost_annotations",
        }
    }
}
