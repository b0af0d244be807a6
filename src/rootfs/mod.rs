//! Reads the layers of an image to find the program that the image starts, and the processor of that program.
//!
//! This room does no network I/O. `decode` and `tar` read layers as bytes, the topmost first. `files` stores only
//! names, links and the first bytes of programs. All sizes are bounded.

mod decode;
mod files;
mod search;
mod tar;

pub use decode::{MAX_WINDOW, is_zstd};
pub use search::{Answer, Search};
