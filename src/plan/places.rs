//! Where a plan says what a build reads, for whoever finds that it is not there.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::oci::Platform;

use super::contexts::ContextName;
use super::error::{Location, Problem, SourceText};
use super::names::ImageName;

/// Where something is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In these bytes of the plan's text.
    Text(Range<usize>),
    /// By a flag of the command line.
    Flag(String),
}

impl Place {
    /// What is wrong with what `source` says here.
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

/// Where the inputs of a build are said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputPlaces {
    /// Where the image is named: whatever is not said is said by that.
    pub image: Place,
    /// `context`.
    pub context: Option<Place>,
    /// `dockerfile`, or its text.
    pub dockerfile: Option<Place>,
    /// `target`.
    pub target: Option<Place>,
    /// Each of `contexts`.
    pub contexts: BTreeMap<ContextName, Place>,
}

/// The places of every build of a plan.
pub type Places = BTreeMap<(ImageName, Platform), InputPlaces>;
