//! The limits for a walk through nested indexes.

use super::error::ConfirmError;

/// The most levels of manifests below a reference. Deeper indexes are refused.
const MOST_LEVELS: usize = 4;
/// The most manifests below one reference, and the most bytes of them.
const MOST_MANIFESTS: usize = 1000;
const MOST_BYTES: u64 = 64 << 20;
/// The number of manifests that polyarch fetches at once.
pub(in crate::run) const AT_ONCE: usize = 8;

/// A walk through the manifests below one reference, level by level. The bytes are the sizes in their entries.
#[derive(Debug, Default)]
pub(in crate::run) struct Walk {
    levels: usize,
    count: usize,
    bytes: u64,
}

impl Walk {
    /// A walk that reads indexes only. The images in them are one more level.
    pub(in crate::run) fn of_indexes() -> Self {
        Self { levels: 1, ..Self::default() }
    }

    /// Enters the next level before its manifests, which have these sizes, are read.
    ///
    /// # Errors
    /// The level is too deep, or the manifests so far exceed the limits.
    pub(in crate::run) fn enter(&mut self, sizes: impl IntoIterator<Item = u64>) -> Result<(), ConfirmError> {
        self.levels += 1;
        if self.levels > MOST_LEVELS {
            return Err(ConfirmError::Deep);
        }
        for size in sizes {
            self.count += 1;
            self.bytes = self.bytes.saturating_add(size);
        }
        let Self { count, bytes, .. } = *self;
        if count > MOST_MANIFESTS || bytes > MOST_BYTES { Err(ConfirmError::Large { count, bytes }) } else { Ok(()) }
    }
}
