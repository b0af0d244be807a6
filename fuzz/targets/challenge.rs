//! `WWW-Authenticate`, a header a line.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| polyarch::fuzzing::challenge(text.lines()));
