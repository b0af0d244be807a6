//! What is built on what: images that others build on must be there, for the same platforms, and in no circle.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::oci::Platform;

use super::image::ReadImage;
use super::names::ImageName;
use super::node::Origin;
use super::reader::Reader;
use super::suggest::suggest;

/// A job, by the places of its image and of itself in that image.
type Place = (usize, usize);

/// The jobs that a job builds on, and where that is said.
type Edges<'a> = HashMap<Place, Vec<(Place, &'a Origin)>>;

/// Refuses images that build on what the plan does not have, or on themselves. `names` are those of all its images,
/// of which some could perhaps not be read.
pub(super) fn check(reader: &mut Reader<'_>, images: &[ReadImage], names: &BTreeSet<&str>) {
    let edges = edges(reader, images, names);
    let mut open = open(images, &edges);
    while let Some(first) = open.first().copied() {
        let cycle = walk(first, &edges, &mut open);
        if let [(_, origin), ..] = cycle[..] {
            let mut chain: Vec<&str> = cycle.iter().map(|((image, _), _)| images[*image].image.name.as_str()).collect();
            chain.push(chain[0]);
            reader.problem(origin, format!("images build on each other: {}", chain.join(" → ")), None);
        }
    }
}

fn edges<'a>(reader: &mut Reader<'_>, images: &'a [ReadImage], names: &BTreeSet<&str>) -> Edges<'a> {
    let by_name: HashMap<&ImageName, usize> =
        images.iter().enumerate().map(|(at, read)| (&read.image.name, at)).collect();
    let mut edges = Edges::new();
    for (image, read) in images.iter().enumerate() {
        for (nth, (job, bases)) in read.image.jobs.iter().zip(&read.bases).enumerate() {
            for (base, origin) in bases {
                let Some(&at) = by_name.get(base) else {
                    if !names.contains(base.as_str()) {
                        let hint = suggest(base.as_str(), names.iter().copied());
                        reader.problem(origin, format!("there is no image `{base}` in the plan"), hint);
                    }
                    continue;
                };
                match images[at].image.jobs.iter().position(|other| other.platform == job.platform) {
                    Some(same) => edges.entry((image, nth)).or_default().push(((at, same), origin)),
                    None => lacks(reader, &images[at], &job.platform, origin),
                }
            }
        }
    }
    edges
}

fn lacks(reader: &mut Reader<'_>, base: &ReadImage, platform: &Platform, origin: &Origin) {
    let hint = format!("add it to the platforms of `{}`, or leave it out here", base.image.name);
    reader.problem(origin, format!("the image `{}` has no platform {platform}", base.image.name), Some(hint));
}

/// The jobs that are part of a circle or build on one: what is left when those are taken away again and again that
/// build on nothing that is left.
fn open(images: &[ReadImage], edges: &Edges<'_>) -> BTreeSet<Place> {
    let mut dependants: HashMap<Place, Vec<Place>> = HashMap::new();
    for (job, bases) in edges {
        for (base, _) in bases {
            dependants.entry(*base).or_default().push(*job);
        }
    }
    let mut waits: HashMap<Place, usize> = edges.iter().map(|(job, bases)| (*job, bases.len())).collect();
    let all = images.iter().enumerate().flat_map(|(at, read)| (0..read.image.jobs.len()).map(move |nth| (at, nth)));
    let mut done: Vec<Place> = all.filter(|job| !edges.contains_key(job)).collect();
    while let Some(job) = done.pop() {
        for dependant in dependants.get(&job).into_iter().flatten() {
            if let Some(left) = waits.get_mut(dependant) {
                *left -= 1;
                if *left == 0 {
                    waits.remove(dependant);
                    done.push(*dependant);
                }
            }
        }
    }
    waits.into_keys().collect()
}

/// Goes from job to base until it comes back, and takes from `open` what it passed. The circle, each job with where
/// it says what it builds on; empty where the way ended in one that is known.
fn walk<'a>(first: Place, edges: &Edges<'a>, open: &mut BTreeSet<Place>) -> Vec<(Place, &'a Origin)> {
    let (mut way, mut seen, mut at) = (Vec::new(), HashSet::new(), first);
    while seen.insert(at) {
        if !open.remove(&at) {
            return Vec::new();
        }
        let onward = |(base, _): &&(Place, &'a Origin)| open.contains(base) || seen.contains(base);
        let Some((base, origin)) = edges.get(&at).into_iter().flatten().find(onward) else { return Vec::new() };
        way.push((at, *origin));
        at = *base;
    }
    let begins = way.iter().position(|(job, _)| *job == at).unwrap_or(0);
    way.split_off(begins)
}
