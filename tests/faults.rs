//! The whole program against engines and registries that fail. Names begin with the row of the fault matrix that
//! they hold; every one of them asserts that no final tag moved, unless it is about those that did.

mod adopting;
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
