//! `.dockerignore`: the first line is a path, the other lines are the file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use polyarch::context::{Patterns, parse_ignore_file};

fuzz_target!(|bytes: &[u8]| {
    let mut lines = bytes.splitn(2, |byte| *byte == b'\n');
    let (path, file) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let path = String::from_utf8_lossy(path);
    let Ok(lines) = parse_ignore_file(file) else { return };
    let Ok(patterns) = Patterns::new(lines) else { return };
    patterns.verdict(&path);
    patterns.matches_or_parent_matches(&path);
    let (_, parent) = patterns.matches_using_parent(&path, None);
    patterns.matches_using_parent(&format!("{path}/x"), Some(&parent));
});
