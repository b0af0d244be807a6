//! Checks images that are built on other images of the plan. Each base must exist with the same platforms, and no
//! image may depend on itself.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::oci::Platform;

use super::image::{LeftOut, ReadImage};
use super::model::names::ImageName;
use super::read::node::Origin;
use super::read::reader::Reader;
use super::read::suggest::suggest;

/// A job: the index of its image, and its index in that image.
type JobPosition = (usize, usize);

/// The jobs that a job builds on, each with the place in the plan that names it.
type Edges<'a> = HashMap<JobPosition, Vec<(JobPosition, &'a Origin)>>;

/// Refuses bases that the plan does not have, and images that depend on themselves. `names` are the names of all
/// images of the plan. `images` may lack some of them, because the
/// reader could not read them. `unwanted` are the images that this run does not have.
pub(super) fn check(reader: &mut Reader<'_>, images: &[ReadImage], unwanted: &[LeftOut], names: &BTreeSet<&str>) {
    let edges = edges(reader, images, unwanted, names);
    let mut open = open(images, &edges);
    while let Some(first) = open.first().copied() {
        let cycle = walk(first, &edges, &mut open);
        if let [(_, origin), ..] = cycle[..] {
            let mut chain: Vec<&str> = cycle.iter().map(|((image, _), _)| images[*image].image.name.as_str()).collect();
            chain.push(chain[0]);
            reader.problem(origin, format!("images depend on each other in a cycle: {}", chain.join(" → ")), None);
        }
    }
}

fn edges<'a>(
    reader: &mut Reader<'_>,
    images: &'a [ReadImage],
    unwanted: &[LeftOut],
    names: &BTreeSet<&str>,
) -> Edges<'a> {
    let by_name: HashMap<&ImageName, usize> =
        images.iter().enumerate().map(|(at, read)| (&read.image.name, at)).collect();
    let mut edges = Edges::new();
    for (image, read) in images.iter().enumerate() {
        for (nth, (job, bases)) in read.image.jobs.iter().zip(&read.bases).enumerate() {
            for (base, origin) in bases {
                let Some(&at) = by_name.get(base) else {
                    if let Some(LeftOut { when, .. }) = unwanted.iter().find(|image| image.name == *base) {
                        let message = format!("the image `{base}` is not in this run: it has `when: {when}`");
                        let hint = format!("give `{}` the same `when`, or remove it from `{base}`", read.image.name);
                        reader.problem(origin, message, Some(hint));
                    } else if !names.contains(base.as_str()) {
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
    let hint = format!("add the platform to `{}`, or remove it here", base.image.name);
    reader.problem(origin, format!("the image `{}` has no platform {platform}", base.image.name), Some(hint));
}

/// The jobs that are part of a cycle or that depend on one. The function repeatedly removes jobs without open bases;
/// the rest is the result.
fn open(images: &[ReadImage], edges: &Edges<'_>) -> BTreeSet<JobPosition> {
    let mut dependants: HashMap<JobPosition, Vec<JobPosition>> = HashMap::new();
    for (job, bases) in edges {
        for (base, _) in bases {
            dependants.entry(*base).or_default().push(*job);
        }
    }
    let mut waits: HashMap<JobPosition, usize> = edges.iter().map(|(job, bases)| (*job, bases.len())).collect();
    let all = images.iter().enumerate().flat_map(|(at, read)| (0..read.image.jobs.len()).map(move |nth| (at, nth)));
    let mut done: Vec<JobPosition> = all.filter(|job| !edges.contains_key(job)).collect();
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

/// Follows the bases of a job until a job repeats, and removes the visited jobs from `open`. Returns the jobs of the
/// cycle, each with the place that names its base. The result is empty if the way ended in a known cycle.
fn walk<'a>(first: JobPosition, edges: &Edges<'a>, open: &mut BTreeSet<JobPosition>) -> Vec<(JobPosition, &'a Origin)> {
    let (mut way, mut seen, mut at) = (Vec::new(), HashSet::new(), first);
    while seen.insert(at) {
        if !open.remove(&at) {
            return Vec::new();
        }
        let onward = |(base, _): &&(JobPosition, &'a Origin)| open.contains(base) || seen.contains(base);
        let Some((base, origin)) = edges.get(&at).into_iter().flatten().find(onward) else { return Vec::new() };
        way.push((at, *origin));
        at = *base;
    }
    let begins = way.iter().position(|(job, _)| *job == at).unwrap_or(0);
    way.split_off(begins)
}
