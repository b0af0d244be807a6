//! The report of a run: its result, or every failure. `polyarch build --report` writes the same report as JSON.

pub use crate::run::{
    FailureOf, ImageReport, IndexReport, Leftover, LeftoverKind, LeftoverName, LoadedReport, NotCheckedReport, Outcome,
    PlatformReport, REPORT_SCHEMA, REPORT_VERSION, Report, Run, Status, TagReport, TagState,
};
