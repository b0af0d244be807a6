//! The whole program against engines and registries that fail. Each test asserts that no final tag moved, unless the
//! test is about a tag that did. `docs/contributing/fault-matrix.md` and `advisories.md` list the faults.

mod artifacts;
mod atomic;
mod bases;
mod bounds;
mod builds;
mod cautions;
mod ci;
mod common;
mod copies;
mod ecr;
mod editing;
mod engines;
mod expiring;
mod gates;
mod images;
mod importing;
mod inputs;
mod lacking;
mod logins;
mod nested;
mod output;
mod publishing;
mod pushes;
mod registries;
mod secrets;
mod shown;
mod ssh;
mod stopping;
mod terminal;
mod timers;
mod together;
mod untagging;
mod waiting;
mod windows;
mod words;
pub(crate) mod world;
