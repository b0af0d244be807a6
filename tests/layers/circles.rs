//! Which file imports which, through all re-exports, and which files and folders import each other in a circle.

use std::collections::{BTreeMap, BTreeSet};

use super::module;
use super::source::{Source, Use};

/// The files of the house by module, without those that only declare and re-export.
struct House<'a> {
    modules: BTreeMap<Vec<&'a str>, &'a Source>,
    uses: BTreeMap<&'a str, Vec<Use>>,
    defined: BTreeMap<&'a str, BTreeSet<&'a str>>,
}

/// The files that each file imports.
pub(crate) type Imports<'a> = BTreeMap<&'a str, BTreeSet<&'a str>>;

pub(crate) fn imports(sources: &[Source]) -> Imports<'_> {
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
    fn of(sources: &'a [Source]) -> Self {
        let modules = sources.iter().map(|source| (module(&source.path), source)).collect();
        let uses = sources.iter().map(|source| (source.path.as_str(), source.uses())).collect();
        let defined = sources.iter().map(|source| (source.path.as_str(), source.defined())).collect();
        Self { modules, uses, defined }
    }

    fn imported(&self, source: &'a Source) -> BTreeSet<&'a str> {
        let mut paths: Vec<_> =
            source.paths().iter().filter_map(|path| self.absolute(source, &path.segments)).collect();
        // A module that was imported, and something in it: `use super::fetch; fetch::image()`.
        let modules = self.uses[source.path.as_str()].iter().filter_map(|used| {
            let path = self.absolute(source, &used.segments)?;
            self.modules.contains_key(&segments(&path)).then_some((used.name.clone(), path))
        });
        let modules: BTreeMap<_, _> = modules.collect();
        paths.extend(source.paths().iter().filter_map(|path| {
            let mut within = modules.get(&path.segments[0])?.clone();
            within.extend_from_slice(&path.segments[1..]);
            Some(within)
        }));
        let files = paths.iter().filter_map(|path| self.home(path, 0));
        files.filter(|file| !declares(file) && file.path != source.path).map(|file| file.path.as_str()).collect()
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
                let mut child = own.clone();
                child.push(first);
                (self.modules.contains_key(&child).then_some(&own[..])?, path)
            }
        };
        let rest = rest.iter().filter(|segment| !matches!(segment.as_str(), "self" | "*")).cloned();
        Some(base.iter().map(|segment| (*segment).to_owned()).chain(rest).collect())
    }

    /// The file that defines what a path names, behind all re-exports.
    fn home(&self, path: &[String], depth: usize) -> Option<&'a Source> {
        let path = segments(path);
        let length = (1..=path.len()).rev().find(|length| self.modules.contains_key(&path[..*length]))?;
        let file = self.modules[&path[..length]];
        let Some(name) = path.get(length).filter(|_| depth < 8) else { return Some(file) };
        if self.defined[file.path.as_str()].contains(name) {
            return Some(file);
        }
        let uses = self.uses[file.path.as_str()].iter().filter(|used| used.is_public);
        let (all, named): (Vec<_>, Vec<_>) = uses.partition(|used| used.name == "*");
        let named = named.into_iter().filter(|used| used.name == *name);
        let named = named.filter_map(|used| self.home(&self.absolute(file, &used.segments)?, depth + 1));
        let all = all.into_iter().filter_map(|used| {
            let mut path = self.absolute(file, &used.segments)?;
            path.push((*name).to_owned());
            let home = self.home(&path, depth + 1)?;
            self.defined[home.path.as_str()].contains(name).then_some(home)
        });
        named.chain(all).next().or(Some(file))
    }
}

fn segments(path: &[String]) -> Vec<&str> {
    path.iter().map(String::as_str).collect()
}
