//! Checks across images: names that clash in a registry, and children that clash in an index.

use std::collections::{HashMap, HashSet};

use crate::oci::{Reference, Selector};

use super::image::ReadImage;
use super::model::plan::{Job, NamedRegistry};
use super::model::spec::{CacheExport, CachePlace};
use super::read::node::Origin;
use super::read::reader::Reader;

/// The image or the job that uses a tag.
enum Owner<'a> {
    Final(&'a ReadImage),
    Arch(&'a ReadImage, usize),
}

/// Refuses a tag that two images or jobs are published under, and an index with two equal entries. `registries` are
/// the named registries of the plan.
pub(super) fn check(reader: &mut Reader<'_>, images: &[ReadImage], registries: &[NamedRegistry]) {
    let mut owners: HashMap<(&str, &str), Owner<'_>> = HashMap::new();
    for read in images {
        check_entries(reader, read);
        for (tag, origin) in read.image.tags.iter().zip(&read.tags) {
            let key = (read.image.repository.as_str(), tag.as_str());
            if let Some(Owner::Final(other)) = owners.get(&key) {
                let message = format!("the image `{}` is also published as {}:{}", other.image.name, key.0, key.1);
                reader.problem(
                    origin,
                    message,
                    Some("give one of the two images another tag or repository".to_owned()),
                );
            }
            owners.entry(key).or_insert(Owner::Final(read));
        }
    }
    for read in images {
        for (nth, (job, origin)) in read.image.jobs.iter().zip(&read.arch_tags).enumerate() {
            if !job.arch_tags.are_pushed() {
                continue;
            }
            let key = (read.image.repository.as_str(), job.arch_tag.as_str());
            if let Some(owner) = owners.get(&key) {
                clash(reader, origin, read, nth, owner);
            } else {
                owners.insert(key, Owner::Arch(read, nth));
            }
        }
    }
    check_caches(reader, images, registries, &owners);
    check_cache_directories(reader, images);
}

/// Refuses a cache that would overwrite an image or another cache.
fn check_caches(
    reader: &mut Reader<'_>,
    images: &[ReadImage],
    registries: &[NamedRegistry],
    owners: &HashMap<(&str, &str), Owner<'_>>,
) {
    let mut caches = HashMap::new();
    for read in images {
        for (job, origin) in read.image.jobs.iter().zip(&read.caches) {
            let (Some(CacheExport::Registry { place, .. }), Some(origin)) = (exported(job), origin) else {
                continue;
            };
            // If the repository is in a registry of the plan: the index of that registry, and the name behind its
            // namespace.
            let of_plan =
                |repository| registries.iter().enumerate().find_map(|(nth, known)| Some((nth, known.own(repository)?)));
            let (registry, nth, repository, tag) = match place {
                CachePlace::Own(tag) => (None, 0, read.image.repository.as_str(), tag),
                CachePlace::Reference(Reference { repository, selector: Selector::Tag(tag) }) => {
                    match of_plan(repository) {
                        Some((nth, own)) => (None, nth, own, tag),
                        None => (Some(repository.host()), 0, repository.path().as_str(), tag),
                    }
                }
                CachePlace::Reference(_) => continue,
            };
            let subject = format!("{} {}", read.image.name, job.platform);
            let owner = owners.get(&(repository, tag.as_str())).filter(|_| registry.is_none());
            if let Some(owner) = owner {
                let theirs = match owner {
                    Owner::Final(theirs) => format!("a final tag of the image `{}`", theirs.image.name),
                    Owner::Arch(theirs, at) => {
                        format!("the arch tag of {} {}", theirs.image.name, theirs.image.jobs[*at].platform)
                    }
                };
                let message = format!("the cache of {subject} would overwrite {repository}:{tag}, which is {theirs}");
                reader.problem(origin, message, Some(OWN_TAG.to_owned()));
            }
            if let Some(other) = caches.insert((registry, nth, repository, tag), subject.clone()) {
                let message =
                    format!("the caches of {other} and {subject} would both be exported to {repository}:{tag}");
                reader.problem(origin, message, Some(OWN_TAG.to_owned()));
            }
        }
    }
}

fn exported(job: &Job) -> Option<&CacheExport> {
    job.build()?.spec.cache.to.as_ref()
}

/// The hint for a cache that would overwrite something.
const OWN_TAG: &str = "give each cache its own tag: to: { type: registry, ref: \":buildcache-${name}-${arch}\" }";

/// Refuses two caches that are exported to the same directory.
fn check_cache_directories(reader: &mut Reader<'_>, images: &[ReadImage]) {
    let mut directories = HashMap::new();
    for read in images {
        for (job, origin) in read.image.jobs.iter().zip(&read.caches) {
            let (Some(CacheExport::Directory { path, .. }), Some(origin)) = (exported(job), origin) else {
                continue;
            };
            let subject = format!("{} {}", read.image.name, job.platform);
            if let Some(other) = directories.insert(path, subject.clone()) {
                let message =
                    format!("the caches of {other} and {subject} would both be exported to {}", path.display());
                reader.problem(origin, message, Some(OWN_DIRECTORY.to_owned()));
            }
        }
    }
}

const OWN_DIRECTORY: &str = "give each cache its own directory: to: { type: local, dest: \".cache/${name}-${arch}\" }";

fn clash(reader: &mut Reader<'_>, origin: &Origin, read: &ReadImage, nth: usize, owner: &Owner<'_>) {
    let (job, name) = (&read.image.jobs[nth], &read.image.name);
    let tag = format!("{}:{}", read.image.repository, job.arch_tag);
    let platform = &job.platform;
    match owner {
        Owner::Final(other) if other.image.name == *name => {
            let message = format!("{platform} is pushed as {tag}, which is a final tag of the image");
            reader.problem(origin, message, Some("set another arch_tag, such as \"${tag}-${arch}\"".to_owned()));
        }
        Owner::Final(other) => {
            let message =
                format!("{platform} is pushed as {tag}, which is a final tag of the image `{}`", other.image.name);
            reader.problem(origin, message, Some("give one of the two images another tag or repository".to_owned()));
        }
        Owner::Arch(other, at) if other.image.name == *name => {
            let message = format!("{} and {platform} are both pushed as {tag}", other.image.jobs[*at].platform);
            let hint = "use ${arch}, ${variant} or ${os} in arch_tag".to_owned();
            reader.problem(origin, message, Some(hint));
        }
        Owner::Arch(other, at) => {
            let theirs = &other.image.jobs[*at].platform;
            let message =
                format!("{platform} is pushed as {tag}, and so is {theirs} of the image `{}`", other.image.name);
            reader.problem(origin, message, Some("give one of the two images another tag or repository".to_owned()));
        }
    }
}

/// Refuses two index entries with the same platform: a client would pull either of them by chance.
fn check_entries(reader: &mut Reader<'_>, read: &ReadImage) {
    let mut seen = HashSet::new();
    for job in &read.image.jobs {
        let platform = job.entry.over(&job.platform);
        if !seen.insert(platform.clone()) {
            let message = format!("two entries of the image index have the platform {platform}");
            reader.problem(&read.name, message, Some("change the `entry` of one of the two platforms".to_owned()));
        }
    }
}
