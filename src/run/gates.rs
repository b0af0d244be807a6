//! What a finished index must pass before a final tag moves to it.

/// What is asked of an index beyond that it is complete and true.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Gates {
    /// An index that has fewer platforms than the one that it replaces.
    pub shrinking: Shrinking,
}

/// What becomes of a final tag whose index has platforms that the new one lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Shrinking {
    /// It stays, and so do the image's other tags.
    #[default]
    Refuse,
    /// It moves (`--allow-shrink`).
    Allow,
}
