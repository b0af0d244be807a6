//! ARCHITECTURE.md says what is true: each test that it names is there, and each room.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

/// Without its tables: one row is looked up, and there is one for each invariant.
const MOST_LINES: usize = 100;

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn architecture() -> String {
    fs::read_to_string(repository().join("ARCHITECTURE.md")).unwrap()
}

fn section<'a>(text: &'a str, heading: &str) -> &'a str {
    text.split(&format!("\n## {heading}\n")).nth(1).unwrap().split("\n## ").next().unwrap()
}

fn sources(folder: &Path, found: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path: PathBuf = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn every_test_that_it_names_is_there() {
    let mut code = String::new();
    for folder in ["src", "tests"] {
        sources(&repository().join(folder), &mut code);
    }
    let named = Regex::new(r"#\[(?:test|tokio::test[^\]]*)\]\s*(?:#\[[^\]]*\]\s*)*(?:async )?fn ([a-z0-9_]+)\(");
    let mut there: BTreeSet<_> = named.unwrap().captures_iter(&code).map(|found| found[1].to_owned()).collect();
    // The live tests' macro makes a test for each engine of the functions that it is given.
    let lists = Regex::new(r"on_both_engines!\(([a-z0-9_,\s]+)\)").unwrap();
    let listed = lists.captures_iter(&code).flat_map(|list| list.extract::<1>().1[0].split(','));
    there.extend(listed.map(|name| name.trim().to_owned()));
    let text = architecture();
    let rows = section(&text, "What always holds").lines().filter(|line| line.starts_with("| ")).skip(1);
    for row in rows {
        let held = row.rsplit(" | ").next().unwrap().split('`').skip(1).step_by(2);
        let missing: Vec<_> = held.clone().filter(|name| !there.contains(*name)).collect();
        assert!(held.count() > 0 && missing.is_empty(), "{row}\nnot there: {missing:?}");
    }
}

#[test]
fn every_room_is_in_its_table() {
    let text = architecture();
    let named: BTreeSet<_> = section(&text, "The rooms")
        .lines()
        .filter_map(|line| line.split('`').nth(1).filter(|_| line.starts_with("| ")))
        .map(str::to_owned)
        .collect();
    let rooms = fs::read_dir(repository().join("src")).unwrap().map(|entry| entry.unwrap().path());
    let rooms = rooms.filter(|path| path.is_dir()).map(|path| path.file_name().unwrap().to_str().unwrap().to_owned());
    assert_eq!(named, rooms.collect());
}

#[test]
fn it_is_short() {
    let lines = architecture().lines().filter(|line| !line.starts_with('|')).count();
    assert!(lines <= MOST_LINES, "{lines} lines");
}
