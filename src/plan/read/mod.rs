//! Reads a plan into a tree with places, and typed values from the tree.

pub(super) mod certificates;
pub(super) mod distinct;
pub(super) mod forms;
pub(super) mod import;
pub(super) mod interpolate;
pub(super) mod keys;
pub(super) mod node;
pub(super) mod pairs;
pub(super) mod paths;
pub(super) mod raw;
pub(super) mod reader;
pub(super) mod set;
pub(super) mod suggest;
