//! What no image can check alone: names that clash in the registry, and children that clash in an index.

use std::collections::{HashMap, HashSet};

use super::image::ReadImage;
use super::node::Origin;
use super::reader::Reader;

/// Who has a tag.
enum Owner<'a> {
    Final(&'a ReadImage),
    Arch(&'a ReadImage, usize),
}

/// Refuses a tag of a repository that two things are published under, and an index with two equal entries.
pub(super) fn check(reader: &mut Reader<'_>, images: &[ReadImage]) {
    let mut owners: HashMap<(&str, &str), Owner<'_>> = HashMap::new();
    for read in images {
        check_entries(reader, read);
        for (tag, origin) in read.image.tags.iter().zip(&read.tags) {
            let key = (read.image.repository.as_str(), tag.as_str());
            if let Some(Owner::Final(other)) = owners.get(&key) {
                let message = format!("the image `{}` is published as {}:{} too", other.image.name, key.0, key.1);
                reader.problem(origin, message, Some("give one of them another tag or repository".to_owned()));
            }
            owners.entry(key).or_insert(Owner::Final(read));
        }
    }
    for read in images {
        for (nth, (job, origin)) in read.image.jobs.iter().zip(&read.arch_tags).enumerate() {
            let key = (read.image.repository.as_str(), job.arch_tag.as_str());
            if let Some(owner) = owners.get(&key) {
                clash(reader, origin, read, nth, owner);
            } else {
                owners.insert(key, Owner::Arch(read, nth));
            }
        }
    }
}

fn clash(reader: &mut Reader<'_>, origin: &Origin, read: &ReadImage, nth: usize, owner: &Owner<'_>) {
    let (job, name) = (&read.image.jobs[nth], &read.image.name);
    let tag = format!("{}:{}", read.image.repository, job.arch_tag);
    let platform = &job.platform;
    match owner {
        Owner::Final(other) if other.image.name == *name => {
            let message = format!("{platform} is pushed as {tag}, which is a final tag of the image");
            reader.problem(origin, message, Some("give it another arch_tag, as \"${tag}-${arch}\"".to_owned()));
        }
        Owner::Final(other) => {
            let message =
                format!("{platform} is pushed as {tag}, which is a final tag of the image `{}`", other.image.name);
            reader.problem(origin, message, Some("give one of them another tag or repository".to_owned()));
        }
        Owner::Arch(other, at) if other.image.name == *name => {
            let message = format!("{} and {platform} are both pushed as {tag}", other.image.jobs[*at].platform);
            let hint = "put ${arch}, ${variant} or ${os} into arch_tag".to_owned();
            reader.problem(origin, message, Some(hint));
        }
        Owner::Arch(other, at) => {
            let theirs = &other.image.jobs[*at].platform;
            let message =
                format!("{platform} is pushed as {tag}, and so is {theirs} of the image `{}`", other.image.name);
            reader.problem(origin, message, Some("give one of them another tag or repository".to_owned()));
        }
    }
}

/// Two entries of an index that say the same of themselves: who pulls gets one of them by chance.
fn check_entries(reader: &mut Reader<'_>, read: &ReadImage) {
    let mut seen = HashSet::new();
    for job in &read.image.jobs {
        let platform = job.entry.platform.as_ref().unwrap_or(&job.platform);
        if !seen.insert((platform, &job.entry.os_version, &job.entry.os_features)) {
            let message = format!("two entries of the image's index are {platform}");
            reader.problem(&read.name, message, Some("change the `entry` of one of them".to_owned()));
        }
    }
}
