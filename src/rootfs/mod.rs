//! The files of an image, as far as its layers were read: which program it starts, and for which processor that is.
//!
//! Nothing here speaks to anybody: a layer is bytes that are read (`decode`, `tar`), the topmost first; what is kept
//! of them is names, links and the heads of programs (`files`). All of it is bounded.

mod decode;
mod files;
mod search;
mod tar;

pub use decode::{MAX_WINDOW, is_zstd};
pub use search::{Answer, Search};
