//! ARCHITECTURE.md and tests/README.md name files, and the pages of invariants and of faults name tests. These tests
//! compare them with the tree.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

/// Two pages. The rest belongs to `docs/contributing`.
const MOST_LINES: usize = 120;

/// The most characters of a test's name (docs/contributing/style.md).
const LONGEST_NAME: usize = 60;

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn architecture() -> String {
    fs::read_to_string(repository().join("ARCHITECTURE.md")).unwrap()
}

fn sources(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path: PathBuf = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push((path.clone(), fs::read_to_string(path).unwrap()));
        }
    }
}

/// Each test of the tree, with the file that it stands in.
fn tests() -> Vec<(PathBuf, String)> {
    let named = r"#\[(?:test|tokio::test[^\]]*)\]\s*(?:#\[[^\]]*\]\s*)*(?:async )?fn ([a-z0-9_]+)\(";
    // A macro of the live tests makes a test for each engine of the functions that it lists.
    let listed = r"on_(?:both_engines|the_graph_engine)!\(([a-z0-9_,\s]+)\)";
    let (one, several) = (Regex::new(named).unwrap(), Regex::new(listed).unwrap());
    let mut code = Vec::new();
    for folder in ["src", "tests"] {
        sources(&repository().join(folder), &mut code);
    }
    let all = code.iter().flat_map(|(path, text)| {
        let lists = several.captures_iter(text).flat_map(|list| list.extract::<1>().1[0].split(','));
        let functions = one.captures_iter(text).map(|found| found.extract::<1>().1[0]);
        let own = functions.chain(lists.map(str::trim).filter(|name| !name.is_empty()));
        own.map(|name| (path.clone(), name.to_owned())).collect::<Vec<_>>()
    });
    all.collect()
}

/// The tests that the last cells of a page's tables name. Each row names one test or more, and all of them exist.
fn named_by_rows(text: &str, tests: &[(PathBuf, String)]) -> BTreeSet<String> {
    let exist: BTreeSet<_> = tests.iter().map(|(_, name)| name.as_str()).collect();
    let is_row = |line: &&str| line.starts_with("| ") && !line.ends_with("| test |") && !line.ends_with("| tests |");
    let mut all = BTreeSet::new();
    for row in text.lines().filter(is_row) {
        let named: Vec<_> = row.rsplit(" | ").next().unwrap().split('`').skip(1).step_by(2).collect();
        let missing: Vec<_> = named.iter().filter(|name| !exist.contains(*name)).collect();
        assert!(!named.is_empty() && missing.is_empty(), "{row}\ntests that do not exist: {missing:?}");
        all.extend(named.into_iter().map(str::to_owned));
    }
    assert!(!all.is_empty());
    all
}

/// The page of the invariants, with a table for each theme.
fn invariants() -> String {
    fs::read_to_string(repository().join("docs/contributing/invariants.md")).unwrap()
}

#[test]
fn every_test_of_an_invariant_exists() {
    named_by_rows(&invariants(), &tests());
}

#[test]
fn fault_pages_name_existing_tests_and_every_fault_test() {
    let tests = tests();
    let pages = ["fault-matrix.md", "advisories.md"].map(|name| repository().join("docs/contributing").join(name));
    let named = pages.iter().flat_map(|page| named_by_rows(&fs::read_to_string(page).unwrap(), &tests));
    let named: BTreeSet<_> = named.collect();
    let is_of_faults = |path: &Path| {
        let path = path.strip_prefix(repository().join("tests")).ok().map(|path| path.with_extension(""));
        path.is_some_and(|path| path.starts_with("faults") || path.starts_with("registry_faults"))
    };
    let faults: Vec<_> = tests.iter().filter(|(path, _)| is_of_faults(path)).collect();
    assert!(faults.len() > 300, "only {} tests of faults were found", faults.len());
    let missing: Vec<_> = faults.iter().filter(|(_, name)| !named.contains(name)).collect();
    assert!(missing.is_empty(), "no row names these tests: {missing:#?}");
}

#[test]
fn test_names_are_short_and_plain() {
    let words = "what|who|nobody|somebody|told|said|adopt[a-z]*|ours|meanwhile|of_which";
    let unclear = Regex::new(&format!("^[a-z]{{1,2}}[0-9]+_|^seed_[0-9]|(^|_)({words})(_|$)")).unwrap();
    let tests = tests();
    assert!(tests.len() > 1200, "only {} tests were found", tests.len());
    let wrong: Vec<_> = tests.iter().filter(|(_, name)| name.len() > LONGEST_NAME || unclear.is_match(name)).collect();
    assert!(wrong.is_empty(), "{} test names are too long or not plain: {wrong:#?}", wrong.len());
}

#[test]
fn every_folder_of_src_is_in_the_rooms_table() {
    let text = fs::read_to_string(repository().join("docs/contributing/rooms.md")).unwrap();
    let named: BTreeSet<_> = text
        .lines()
        .filter_map(|line| line.split('`').nth(1).filter(|_| line.starts_with("| ")))
        .map(str::to_owned)
        .collect();
    let mut rooms = BTreeSet::new();
    let mut folders = vec![repository().join("src")];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.join("mod.rs").is_file() {
                rooms.insert(path.strip_prefix(repository().join("src")).unwrap().to_str().unwrap().to_owned());
                folders.push(path);
            }
        }
    }
    assert_eq!(named, rooms);
}

#[test]
fn architecture_page_is_short() {
    let lines = architecture().lines().count();
    assert!(lines <= MOST_LINES, "{lines} lines");
}

#[test]
fn paths_of_the_architecture_page_exist() {
    let text = architecture();
    let named = Regex::new(r"`([\w./-]+/[\w.-]*)`").unwrap();
    let paths = named.captures_iter(&text).map(|found| found.extract::<1>().1[0]);
    let dead = paths.filter(|path| ["", "src"].iter().all(|folder| !repository().join(folder).join(path).exists()));
    let dead: Vec<_> = dead.collect();
    assert!(dead.is_empty(), "ARCHITECTURE.md names files that do not exist: {dead:#?}");
}

#[test]
fn map_of_the_tests_lists_every_file() {
    let folder = repository().join("tests");
    let map = fs::read_to_string(folder.join("README.md")).unwrap();
    let named = Regex::new(r"(?m)^\| `([^`]+)` \|").unwrap();
    let named: BTreeSet<_> = named.captures_iter(&map).map(|row| row.extract::<1>().1[0].to_owned()).collect();
    let mut files = Vec::new();
    sources(&folder, &mut files);
    let path = |(path, _): &(PathBuf, String)| path.strip_prefix(&folder).unwrap().to_str().unwrap().to_owned();
    let files: BTreeSet<_> = files.iter().map(path).collect();
    assert_eq!(named, files, "tests/README.md has other files than tests");
}
