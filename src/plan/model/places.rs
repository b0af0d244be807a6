//! The places in a plan that name the inputs of builds, for errors about missing inputs.

use std::collections::BTreeMap;
use std::ops::Range;

use super::error::{Location, Problem, SourceText};
use super::names::ContextName;
use super::names::ImageName;
use crate::oci::Platform;

/// A place in the plan or on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Position {
    /// These bytes of the plan's text.
    Text(Range<usize>),
    /// A flag of the command line.
    Flag(String),
}

impl Position {
    /// A problem of `source` at this place.
    #[must_use]
    pub fn problem(&self, source: &SourceText, message: &str, hint: Option<String>) -> Problem {
        match self {
            Self::Text(range) => {
                let span = Some(Location::of(&source.text, range.clone()));
                Problem { span, message: message.to_owned(), hint }
            }
            Self::Flag(flag) => Problem { span: None, message: format!("{flag}: {message}"), hint },
        }
    }
}

/// The places of a build's inputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputPlaces {
    /// The name of the image. Errors about inputs with default values point here.
    pub image: Position,
    /// `context`.
    pub context: Option<Position>,
    /// `dockerfile` or `dockerfile_inline`.
    pub dockerfile: Option<Position>,
    /// `target`.
    pub target: Option<Position>,
    /// The entries of `contexts`.
    pub contexts: BTreeMap<ContextName, Position>,
}

/// The places of every build of a plan.
pub type Places = BTreeMap<(ImageName, Platform), InputPlaces>;
