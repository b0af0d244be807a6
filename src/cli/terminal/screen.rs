//! The abilities of a terminal.

/// The abilities of stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Screen {
    /// A file or a pipe.
    None,
    /// A terminal without a live view: a CI system's, or a dumb one.
    Lines,
    /// A terminal.
    Live,
}

/// Whether the lines of a log can be folded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Groups {
    None,
    /// With `::group::` (GitHub, "Workflow commands", "Grouping log lines").
    GitHub,
}

/// The treatment of rows that are too wide after the user made the terminal narrower.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Narrowed {
    /// The terminal breaks such a row into several, as nearly all terminals do.
    Broken,
    /// The terminal cuts the row off: xterm, rxvt, GNU screen, the console of Linux.
    Cut,
}

impl Narrowed {
    /// The number of a terminal's rows that a row of this `width` covers.
    pub(crate) fn rows(self, width: usize, columns: usize) -> usize {
        match self {
            Self::Broken => width.div_ceil(columns.max(1)).max(1),
            Self::Cut => 1,
        }
    }
}
