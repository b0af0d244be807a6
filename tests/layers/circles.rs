//! Which file imports which, through all re-exports, and which files and folders import each other in a circle.

use std::collections::{BTreeMap, BTreeSet};

use super::module;
use super::source::{Source, Use};

/// The files of the house by module. `#[path]` gives a module a second file.
struct House<'a> {
    modules: BTreeMap<Vec<String>, Vec<&'a Source>>,
}

/// The files that each file imports.
pub(crate) type Imports<'a> = BTreeMap<&'a str, BTreeSet<&'a str>>;

pub(crate) fn imports<'a>(sources: &[&'a Source]) -> Imports<'a> {
    let house = House::of(sources);
    let files = sources.iter().filter(|source| !declares(source));
    files.map(|source| (source.path.as_str(), house.imported(source))).collect()
}

/// The same between folders.
pub(crate) fn between_folders<'a>(imports: &Imports<'a>) -> Imports<'a> {
    let mut folders = Imports::new();
    for (file, imported) in imports {
        let others = imported.iter().map(|other| folder(other)).filter(|other| *other != folder(file));
        folders.entry(folder(file)).or_default().extend(others);
    }
    folders
}

/// All that can be reached from itself, with the others of its circle.
pub(crate) fn circles<'a>(imports: &Imports<'a>) -> Vec<BTreeSet<&'a str>> {
    let reached: BTreeMap<_, _> = imports.keys().map(|from| (*from, reach(imports, from))).collect();
    let mut found = Vec::new();
    for (from, there) in &reached {
        let circle: BTreeSet<_> = there.iter().copied().filter(|to| reached[to].contains(from)).collect();
        if !circle.is_empty() && !found.contains(&circle) {
            found.push(circle);
        }
    }
    found
}

pub(crate) fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

fn reach<'a>(imports: &Imports<'a>, from: &str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<_> = imports[from].iter().copied().collect();
    while let Some(file) = next.pop() {
        if reached.insert(file) {
            next.extend(&imports[file]);
        }
    }
    reached
}

fn declares(source: &Source) -> bool {
    source.path.ends_with("/mod.rs") || source.path == "src/lib.rs"
}

impl<'a> House<'a> {
    fn of(sources: &[&'a Source]) -> Self {
        let mut house = Self { modules: BTreeMap::new() };
        for source in sources {
            house.modules.entry(names(module(&source.path))).or_default().push(source);
            for (name, file) in &source.renamed_modules {
                let file = format!("{}/{file}", folder(&source.path));
                let file = sources.iter().find(|source| source.path == file);
                let module = names(module(&source.path).into_iter().chain([&**name]));
                house.modules.entry(module).or_default().extend(file);
            }
        }
        house
    }

    fn imported(&self, source: &'a Source) -> BTreeSet<&'a str> {
        let used = source.uses.iter().filter_map(|used| self.absolute(source, &used.path.segments));
        let files = used.map(|path| self.homes(&path, 0));
        let paths: BTreeSet<_> = source.paths.iter().map(|path| &path.segments).collect();
        let files = files.chain(paths.into_iter().map(|path| self.behind(source, path, 0)));
        let files = files.flatten().filter(|file| !declares(file) && file.path != source.path);
        files.map(|file| file.path.as_str()).collect()
    }

    /// The path from the root of the crate, if it is one of the crate.
    fn absolute(&self, source: &Source, path: &[String]) -> Option<Vec<String>> {
        let own = module(&source.path);
        let ups = path.iter().take_while(|segment| *segment == "super").count();
        let (base, rest) = match path[0].as_str() {
            "crate" | "polyarch" => (&own[..0], &path[1..]),
            "self" => (&own[..], &path[1..]),
            "super" => (&own[..own.len().saturating_sub(ups)], &path[ups..]),
            first => {
                let child = names(own.iter().copied().chain([first]));
                (self.modules.contains_key(&child).then_some(&own[..])?, path)
            }
        };
        let rest = rest.iter().map(String::as_str).filter(|segment| *segment != "*");
        Some(names(base.iter().copied().chain(rest)))
    }

    /// The files that define what a path from the root of the crate names, behind all re-exports.
    fn homes(&self, path: &[String], depth: usize) -> Vec<&'a Source> {
        let Some(length) = (1..=path.len()).rev().find(|length| self.modules.contains_key(&path[..*length])) else {
            return Vec::new();
        };
        let rest = &path[length..];
        let homes = |file: &&'a Source| {
            let homes = if rest.is_empty() { Vec::new() } else { self.behind(file, rest, depth) };
            if homes.is_empty() { vec![*file] } else { homes }
        };
        self.modules[&path[..length]].iter().flat_map(homes).collect()
    }

    /// The files that define what a path in a file names.
    fn behind(&self, file: &'a Source, path: &[String], depth: usize) -> Vec<&'a Source> {
        if depth > 8 || file.defined.contains(&path[0]) {
            return vec![file];
        }
        // One word alone is a module of the same name only in a `use`.
        if let Some(path) = self.absolute(file, path).filter(|_| path.len() > 1) {
            return self.homes(&path, depth + 1);
        }
        let (all, named): (Vec<_>, Vec<_>) =
            file.uses.iter().filter(|used| used.name == path[0] || used.name == "*").partition(|used| used.name == "*");
        let through = |used: &Use, rest: &[String]| {
            let path = self.absolute(file, &used.path.segments).map(|path| [&path, rest].concat());
            path.map_or_else(Vec::new, |path| self.homes(&path, depth + 1))
        };
        let mut homes: Vec<_> = named.into_iter().flat_map(|used| through(used, &path[1..])).collect();
        if homes.is_empty() {
            homes = all.into_iter().flat_map(|used| through(used, path)).collect();
            homes.retain(|home| home.defined.contains(&path[0]));
        }
        homes
    }
}

fn names<'n>(segments: impl IntoIterator<Item = &'n str>) -> Vec<String> {
    segments.into_iter().map(str::to_owned).collect()
}
