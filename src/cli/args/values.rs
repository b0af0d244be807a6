//! The values of arguments.

/// The values of `--progress`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum Progress {
    /// A live view on a terminal, plain lines elsewhere
    #[default]
    Auto,
    /// A live view of all platforms
    Tty,
    /// One line for each event, with all logs
    Plain,
    /// One JSON object for each event
    Json,
    /// Only failures
    Quiet,
}

/// The form of the results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum Format {
    /// A line `registry/repo@sha256:…` for each index; with --load, a line `NAME:TAG` for each image
    #[default]
    Text,
    /// One JSON document
    Json,
}

/// The CI system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Matrix {
    /// `strategy: matrix:` of GitHub Actions
    Github,
}
