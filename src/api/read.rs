//! Reads and verifies an image or an index.

use futures::FutureExt as _;
use tokio::sync::mpsc;

use super::access::Access;
use super::setters::setters;
use crate::oci::{EntryOverride, LocatedReference, Platform};
use crate::run::{self, ElfCheck, Expected, Failure, Inspected, Phase, Source, VerifiedIndex, VerifyError};
use crate::text::chain;

/// Reads an image or an index, with every manifest that it lists. It reads no layers.
#[must_use]
pub struct Inspect {
    reference: LocatedReference,
    access: Access,
}

impl Inspect {
    /// Reads `reference`, in a registry or a layout.
    pub fn new(reference: LocatedReference) -> Self {
        Self { reference, access: Access::new() }
    }

    setters!(access);

    /// Reads. Faults of listed manifests are a part of the result.
    ///
    /// # Errors
    /// The registry does not return the content, or the content lists more than polyarch reads.
    pub async fn run(self) -> Result<Inspected, Vec<Failure>> {
        let source = open(self.access, self.reference).await?;
        let inspected = run::inspect(&source.storage, &source.selector).boxed().await;
        inspected.map_err(|error| failures(&source, error))
    }
}

/// Verifies an image or an index as a client reads it. polyarch hashes every byte that it reads, and checks that every
/// layer exists.
#[must_use]
pub struct Verify {
    reference: LocatedReference,
    access: Access,
    expected: Expected,
}

impl Verify {
    /// Verifies `reference`, in a registry or a layout.
    pub fn new(reference: LocatedReference) -> Self {
        Self { reference, access: Access::new(), expected: Expected::default() }
    }

    /// The index must have exactly these platforms, in this order. By default it may have any.
    pub fn platforms(mut self, platforms: impl IntoIterator<Item = Platform>) -> Self {
        let platforms = platforms.into_iter().map(|platform| (platform, EntryOverride::default()));
        self.expected.platforms = Some(platforms.collect());
        self
    }

    /// Whether polyarch reads layers, to check that programs are for the processor of their platform. By default it
    /// checks.
    pub fn programs(mut self, programs: ElfCheck) -> Self {
        self.expected.programs = programs;
        self
    }

    setters!(access);

    /// Verifies.
    ///
    /// # Errors
    /// Every fault of the content, or the reason why the registry does not return it.
    pub async fn run(self) -> Result<VerifiedIndex, Vec<Failure>> {
        let source = open(self.access, self.reference).await?;
        let verified = run::verify(&source.storage, &source.selector, &self.expected).boxed().await;
        verified.map_err(|error| failures(&source, error))
    }
}

async fn open(access: Access, reference: LocatedReference) -> Result<Source, Vec<Failure>> {
    // A run that only reads has no events, so its notices are dropped.
    let (notices, _) = mpsc::unbounded_channel();
    access.reporting(notices).source(reference).await.map_err(|failure| vec![failure])
}

fn failures(source: &Source, error: VerifyError) -> Vec<Failure> {
    match error {
        VerifyError::Storage(error) => {
            let answered = error.is_not_found() || error.is_refusal();
            let phase = if answered { Phase::Verify } else { Phase::Preflight };
            let (message, hint) = (format!("{source}: {}", chain(&error)).into(), error.hint().map(Into::into));
            vec![Failure::new(phase, message, hint).because(&error)]
        }
        VerifyError::Untrue { faults, .. } => faults.into_iter().map(|fault| fault.failure).collect(),
    }
}
