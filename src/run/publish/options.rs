//! The options of the gates.

/// The settings of the gates. The index must also match the plan, which is checked elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Gates {
    /// Whether an index may have fewer platforms than the index that it replaces.
    pub shrinking: AllowShrink,
    /// Whether programs may be for another processor than their image's platform.
    pub programs: ElfCheck,
    /// Whether polyarch warns about annotations of the replaced index that are lost.
    pub annotations: LostAnnotations,
}

/// The decision on a final tag whose current index has platforms that the new index lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AllowShrink {
    /// The tag does not move, and neither do the image's other tags.
    #[default]
    Refuse,
    /// The tag moves (`--allow-shrink`).
    Allow,
}

/// Whether a run warns about the annotations that an index loses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LostAnnotations {
    /// The run warns and lists the annotations.
    #[default]
    Tell,
    /// The plan silences the warning.
    Silence,
}

/// The decision on an image whose programs are for another processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ElfCheck {
    /// polyarch refuses the image.
    #[default]
    Check,
    /// polyarch does not open layers (`--no-elf`).
    Skip,
}
