//! Decides which images `clean` deletes. The input is the content of a repository. The output is a verdict on each
//! manifest. This module sends no requests.
//!
//! A publication is one of two things:
//! - an index of images that polyarch may judge
//! - an image with its own tag that no index lists
//!
//! A manifest with only arch tags, or without tags, is a part of a publication. Or a failed run left it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use super::error::CleanError;
use super::history::{History, Publication, Rank};
use super::keep::{Decision, DeleteReason, Keep, KeepReason, Order};
use super::names::Naming;
use super::names::referred;
use crate::oci::{Digest, Platform, Tag};
use crate::run::images::Overview;
use crate::run::images::{Item, ItemContent};

/// A verdict on each manifest.
#[derive(Debug)]
pub(super) struct Judgement {
    pub(super) verdicts: BTreeMap<Digest, Decision>,
    /// Whether publications must be ordered, and none of them can be.
    pub(super) is_unordered: bool,
}

/// Judges the content of a repository. `unread` are tags whose manifests could not be read.
///
/// # Errors
/// A manifest in the repository cannot be read.
pub(super) fn judge(
    items: &BTreeMap<Digest, Item>,
    unread: &BTreeMap<Tag, String>,
    keep: &Keep,
) -> Result<Judgement, CleanError> {
    all_is_read(items, unread)?;
    let overview = Overview::of(items);
    let tags = items.values().flat_map(|item| &item.tags).filter(|tag| referred(tag).is_none());
    let naming = Naming::of(tags);
    let mut judge = Judge { keep, overview: &overview, naming, verdicts: BTreeMap::new(), is_unordered: false };
    judge.top();
    judge.listed();
    let verdicts = judge.verdicts.into_iter().map(|(digest, verdict)| (digest.clone(), verdict)).collect();
    Ok(Judgement { verdicts, is_unordered: judge.is_unordered })
}

/// Refuses a repository with an unreadable manifest. That manifest may list images that would be deleted.
pub(super) fn all_is_read(items: &BTreeMap<Digest, Item>, unread: &BTreeMap<Tag, String>) -> Result<(), CleanError> {
    if let Some((tag, why)) = unread.first_key_value() {
        return Err(CleanError::Unread { manifest: tag.to_string(), why: why.clone() });
    }
    let mut unread = items.iter().filter_map(|(digest, item)| Some((digest, item.unread()?)));
    match unread.next() {
        None => Ok(()),
        Some((digest, why)) => Err(CleanError::Unread { manifest: digest.to_string(), why: why.to_owned() }),
    }
}

struct Judge<'j, 'a> {
    keep: &'j Keep,
    overview: &'j Overview<'a>,
    naming: Naming,
    verdicts: BTreeMap<&'a Digest, Decision>,
    is_unordered: bool,
}

impl<'a> Judge<'_, 'a> {
    /// Judges the manifests that no index lists.
    fn top(&mut self) {
        let (mut tagged, mut untagged, mut left) = (Vec::new(), Vec::new(), Vec::new());
        for (digest, item) in self.overview.items {
            if self.overview.listed(digest).next().is_some() {
                continue;
            }
            let Some(images) = self.images(digest, item) else {
                self.verdicts.insert(digest, Decision::Keep(KeepReason::NotOurs));
                continue;
            };
            let own_tags: Vec<_> = self.own_tags(item).collect();
            let keeping = own_tags.iter().copied().filter(|tag| !self.keep.drops(tag));
            let names = self.naming.read(keeping);
            let publication = Publication { digest, images, pushed_at: item.pushed_at, names };
            match (own_tags.is_empty(), item.entries().is_empty()) {
                (false, _) => tagged.push(publication),
                (true, false) => untagged.push(publication),
                (true, true) => left.push(publication),
            }
        }
        let (main, parts) = main(&tagged, untagged);
        let publications: Vec<_> = tagged.into_iter().chain(main).collect();
        let history = History::of(self.keep.order, self.keep.newest, publications.iter());
        for publication in &publications {
            let verdict = self.publication(publication, &history);
            self.verdicts.insert(publication.digest, verdict);
        }
        for part in &parts {
            let verdict = self.part(part, &publications, &history);
            self.verdicts.insert(part.digest, verdict);
        }
        for image in &left {
            let verdict = self.kept(image.digest).unwrap_or_else(|| self.left(image, &history));
            self.verdicts.insert(image.digest, verdict);
        }
        self.is_unordered = self.is_unordered(&publications);
    }

    /// The images of an index, or the image itself. `None` if polyarch may not judge one of them: then it may not
    /// judge the index either.
    fn images(&self, digest: &'a Digest, item: &'a Item) -> Option<BTreeSet<&'a Digest>> {
        if item.tags.iter().any(|tag| referred(tag).is_some()) {
            return None;
        }
        if item.entries().is_empty() {
            return self.is_judged(item).then(|| BTreeSet::from([digest]));
        }
        let (attestations, images): (Vec<_>, Vec<_>) = item.entries().iter().partition(|entry| entry.is_attestation);
        let images: BTreeSet<_> = images.into_iter().map(|entry| &entry.digest).collect();
        let is_judged = |digest: &&Digest| self.overview.items.get(*digest).is_some_and(|item| self.is_judged(item));
        let is_ours = !images.is_empty()
            && images.iter().all(is_judged)
            && attestations.iter().all(|entry| entry.attests.as_ref().is_some_and(|image| images.contains(image)));
        is_ours.then_some(images)
    }

    /// Whether `item` is an image within the scope of this cleaning.
    fn is_judged(&self, item: &Item) -> bool {
        let ItemContent::Image(image) = &item.inside else { return false };
        let label = item.says().and_then(|says| says.built_as.as_deref());
        image.config.is_image_config() && image.subject.is_none() && self.keep.is_about(label)
    }

    /// The tags that are not arch tags. Every tag of an index with several platforms counts.
    fn own_tags(&self, item: &'a Item) -> impl Iterator<Item = &'a Tag> {
        let images = item.entries().iter().filter(|entry| !entry.is_attestation).collect::<Vec<_>>();
        let platform = match images.as_slice() {
            [] => platform(item),
            [one] => self.overview.items.get(&one.digest).and_then(platform),
            _ => None,
        };
        let is_of_several = images.len() > 1;
        item.tags.iter().filter(move |tag| is_of_several || !tag.names_an_architecture(platform))
    }

    /// The reason why a tag keeps the manifest at any age: the tag is kept by its name, or it is a moving tag.
    fn kept(&self, digest: &Digest) -> Option<Decision> {
        let tags = &self.overview.items.get(digest)?.tags;
        if let Some(tag) = self.keep.names(tags) {
            return Some(Decision::Keep(KeepReason::Kept(tag.clone())));
        }
        let names = self.naming.read(tags.iter().filter(|tag| !self.keep.drops(tag)));
        names.moving.map(|tag| Decision::Keep(KeepReason::Moves(tag.clone())))
    }

    fn publication(&self, publication: &Publication<'a>, history: &History<'_, 'a>) -> Decision {
        self.kept(publication.digest).unwrap_or_else(|| match history.place(publication) {
            Rank::Outdated => Decision::Delete(DeleteReason::Old),
            Rank::Among => Decision::Keep(KeepReason::Newest),
            Rank::Unordered => Decision::Keep(KeepReason::Unordered),
            Rank::Again => Decision::Keep(KeepReason::Again),
        })
    }

    /// Judges an index without its own tag, whose images are also in other publications. It is deleted together with
    /// those publications. An arch tag that belongs to none of them may belong to a publication in progress.
    fn part(&self, part: &Publication<'a>, publications: &[Publication<'a>], history: &History<'_, 'a>) -> Decision {
        let covers: Vec<_> = publications.iter().filter(|cover| part.images.is_subset(&cover.images)).collect();
        let stays = |cover: &&&Publication<'_>| self.verdicts.get(cover.digest).is_none_or(|verdict| !verdict.goes());
        if let Some(cover) = covers.iter().find(stays) {
            return Decision::Keep(KeepReason::PartOf(cover.digest.clone()));
        }
        if let Some(kept) = self.kept(part.digest) {
            return kept;
        }
        let item = self.overview.items.get(part.digest);
        let stray = item.and_then(|item| self.stray_tag(item, covers.iter().map(|cover| cover.digest)));
        match (stray, covers.first()) {
            (Some(tag), _) => Decision::Keep(KeepReason::OwnTag(tag.clone())),
            (None, Some(cover)) if part.pushed_at.is_none() || history.are_later_than(part.pushed_at) => {
                Decision::Delete(DeleteReason::PartOf(cover.digest.clone()))
            }
            (None, _) => Decision::Keep(KeepReason::Recent),
        }
    }

    /// Judges an image that no index lists, and that has only arch tags or no tag.
    fn left(&self, image: &Publication<'a>, history: &History<'_, 'a>) -> Decision {
        let tags = self.overview.items.get(image.digest).map_or(&[][..], |item| &item.tags);
        let is_dropped = !tags.is_empty() && tags.iter().all(|tag| self.keep.drops(tag));
        // An image without a push time may belong to a publication in progress. It is kept even if `newest` is 0.
        if is_dropped || image.pushed_at.is_some() && history.are_later_than(image.pushed_at) {
            Decision::Delete(DeleteReason::Unlisted)
        } else {
            Decision::Keep(KeepReason::Recent)
        }
    }

    /// Judges the manifests that indexes list.
    fn listed(&mut self) {
        for (digest, item) in self.overview.items {
            let mut indexes = self.overview.listed(digest);
            let Some((first, entry)) = indexes.clone().next() else { continue };
            // An index without a verdict is inside another index. polyarch builds no such index, so it keeps the
            // images in it.
            let stays = |index: &Digest| self.verdicts.get(index).is_none_or(|verdict| !verdict.goes());
            let own_tag = || match &item.tags {
                tags if entry.is_attestation => tags.first(),
                _ => {
                    let own = self.own_tags(item).next();
                    own.or_else(|| self.stray_tag(item, self.overview.listed(digest).map(|(index, _)| index)))
                }
            };
            let verdict = if let Some((index, _)) = indexes.find(|(index, _)| stays(index)) {
                Decision::Keep(KeepReason::Listed(index.clone()))
            } else if let Some(tag) = self.keep.names(&item.tags) {
                Decision::Keep(KeepReason::Kept(tag.clone()))
            } else if let Some(tag) = own_tag() {
                Decision::Keep(KeepReason::OwnTag(tag.clone()))
            } else if entry.is_attestation {
                Decision::Delete(DeleteReason::Attests(first.clone()))
            } else {
                Decision::Delete(DeleteReason::Listed(first.clone()))
            };
            self.verdicts.insert(digest, verdict);
        }
    }

    /// A tag that is not an arch tag of any of `indexes`. It may belong to an index in progress.
    fn stray_tag<'i>(&self, item: &'a Item, indexes: impl Iterator<Item = &'i Digest>) -> Option<&'a Tag> {
        let indexes = indexes.filter_map(|index| self.overview.items.get(index));
        let names: Vec<_> = indexes.flat_map(|index| &index.tags).collect();
        let image = item.entries().iter().find(|entry| !entry.is_attestation);
        let platform =
            image.map_or_else(|| platform(item), |one| self.overview.items.get(&one.digest).and_then(platform));
        item.tags.iter().find(|tag| !names.iter().any(|name| tag.is_arch_tag_of(name, platform)))
    }

    /// Whether publications could be outdated, but polyarch cannot order any of them.
    fn is_unordered(&self, publications: &[Publication<'a>]) -> bool {
        let is = |of: &Publication<'_>, wanted: &Decision| self.verdicts.get(of.digest) == Some(wanted);
        let is_ordered = |one: &Publication<'_>| match self.keep.order {
            Order::Push => is(one, &Decision::Delete(DeleteReason::Old)),
            Order::Version => one.names.version().is_some(),
        };
        publications.iter().any(|one| is(one, &Decision::Keep(KeepReason::Unordered)))
            && !publications.iter().any(is_ordered)
    }
}

/// Splits `untagged` into publications and parts. The images of a part are all in another publication. An engine
/// pushes an image with its attestations as a separate index, which is such a part.
fn main<'a>(
    tagged: &[Publication<'a>],
    untagged: Vec<Publication<'a>>,
) -> (Vec<Publication<'a>>, Vec<Publication<'a>>) {
    let order = |one: &Publication<'a>| -> (Option<SystemTime>, &'a Digest) { (one.pushed_at, one.digest) };
    let covers = |one: &Publication<'a>, other: &Publication<'a>| {
        one.images.is_subset(&other.images) && (one.images.len() < other.images.len() || order(one) < order(other))
    };
    let is_main = |one: &Publication<'a>| {
        !tagged.iter().any(|other| one.images.is_subset(&other.images))
            && !untagged.iter().any(|other| covers(one, other))
    };
    let are_main: Vec<_> = untagged.iter().map(is_main).collect();
    let (main, parts): (Vec<_>, Vec<_>) = untagged.into_iter().zip(are_main).partition(|(_, is_main)| *is_main);
    let without = |some: Vec<(Publication<'a>, bool)>| some.into_iter().map(|(one, _)| one).collect();
    (without(main), without(parts))
}

/// The platform that the config of an image specifies.
fn platform(item: &Item) -> Option<&Platform> {
    item.says()?.platform.as_ref()
}

#[cfg(test)]
mod tests {
    use super::super::keep::{PlanImage, Scope};
    use super::super::world::{World, digest, keep};
    use super::*;
    use crate::aws::TagPattern;

    const NOT_OURS: Decision = Decision::Keep(KeepReason::NotOurs);
    const NEWEST: Decision = Decision::Keep(KeepReason::Newest);
    const OLD: Decision = Decision::Delete(DeleteReason::Old);

    fn moves(tag: &str) -> Decision {
        Decision::Keep(KeepReason::Moves(tag.parse().unwrap()))
    }

    fn patterns(texts: &[&str]) -> Vec<TagPattern> {
        texts.iter().map(|text| TagPattern::new((*text).to_owned())).collect()
    }

    #[test]
    fn clean_keeps_the_newest_publications_and_shared_images() {
        let world = World::default()
            .publication("1.0", 10, "1.0")
            .publication("1.1", 20, "1.1")
            .publication("1.2", 30, "1.2")
            .publication("1.3", 40, "1.3")
            .index("shares", &["1.0-amd64", "1.2-arm64"], 25, "abc1234");
        let all = ["1.0", "1.0-amd64", "1.0-arm64", "1.1", "1.1-amd64", "1.1-arm64", "1.2", "1.2-amd64", "shares"];
        assert_eq!(world.going(4, &all), Vec::<&str>::new());
        assert_eq!(world.going(usize::MAX, &all), Vec::<&str>::new());
        assert_eq!(world.going(3, &all), ["1.0", "1.0-arm64"]);
        let listed = Decision::Keep(KeepReason::Listed(digest("shares")));
        assert_eq!(world.verdict(3, "1.0-amd64"), listed);
        assert_eq!(world.verdict(3, "shares"), NEWEST, "only two publications are newer");
        assert_eq!(world.going(2, &all), all[..6].iter().chain(&["shares"]).copied().collect::<Vec<_>>());
        assert_eq!(world.verdict(2, "1.1-amd64"), Decision::Delete(DeleteReason::Listed(digest("1.1"))));
        assert_eq!(world.verdict(2, "1.2"), NEWEST);
        assert_eq!(world.going(0, &all), all);
    }

    #[test]
    fn clean_keeps_images_of_moving_tags_unless_dropped() {
        let world = World::default()
            .publication("1.0.0", 10, "1.0.0 stable")
            .publication("1.0.1", 20, "1.0.1 1.0")
            .publication("1.1.0", 30, "1.1.0 1.1 1 latest")
            .publication("1.2.0", 40, "1.2.0");
        let all = ["1.0.0", "1.0.1", "1.1.0", "1.2.0"];
        assert_eq!(world.going(0, &all), ["1.2.0"], "it has no moving tag");
        assert_eq!(world.going(1, &all), Vec::<&str>::new());
        assert_eq!([world.verdict(1, "1.0.0"), world.verdict(1, "1.0.1")], [moves("stable"), moves("1.0")]);
        assert_eq!(world.verdict(1, "1.0.0-amd64"), Decision::Keep(KeepReason::Listed(digest("1.0.0"))));
        let dropping = |texts: &[&str], newest| Keep { dropped: patterns(texts), ..keep(newest) };
        assert_eq!(world.verdicts(&dropping(&["stable"], 1), &all)[..2], [OLD, moves("1.0")]);
        assert_eq!(world.verdicts(&dropping(&["stable", "1*", "latest"], 1), &all), [OLD, OLD, OLD, NEWEST]);
        assert_eq!(world.verdicts(&dropping(&["*"], 0), &all), [OLD, OLD, OLD, OLD]);
    }

    #[test]
    fn clean_keeps_republished_images_of_unknown_age() {
        let world = World::default()
            .publication("back", 10, "abc1111 abc3333")
            .publication("again", 11, "1.1.0 1.3.0")
            .publication("promoted", 12, "abc4444 1.4.0")
            .publication("once", 13, "abc5555 1.0.0 20260131")
            .publication("between", 20, "abc2222 1.2.0");
        let all = ["back", "again", "promoted", "once", "between"];
        let again = || Decision::Keep(KeepReason::Again);
        assert_eq!(world.verdicts(&keep(1), &all), [again(), again(), NEWEST, OLD, NEWEST]);
        let named = Keep { dropped: patterns(&["abc*"]), ..keep(1) };
        assert_eq!(world.verdicts(&named, &all), [OLD, again(), NEWEST, OLD, NEWEST]);
        let by_version = Keep { order: Order::Version, ..keep(1) };
        let unordered = Decision::Keep(KeepReason::Unordered);
        assert_eq!(world.verdicts(&by_version, &all), [unordered, OLD, NEWEST, OLD, OLD]);
    }

    #[test]
    fn clean_keeps_third_party_images_without_all() {
        let world = World::default()
            .publication("1.0", 10, "1.0")
            .publication("1.1", 20, "1.1")
            .image("foreign-amd64", None, 1, "0.1")
            .image("untagged-amd64", None, 1, "")
            .image("nobody-amd64", Some(""), 1, "0.2")
            .image("ours-arm64", Some("hello"), 1, "")
            .image("signed-amd64", None, 1, &format!("sha256-{}.sig", &digest("1.0").as_str()[7..]))
            .artifact("chart", 1, "0.3")
            .index("mixed", &["foreign-amd64", "ours-arm64"], 2, "0.4")
            .index("adopted", &["adopted-amd64"], 3, "0.5")
            .image("adopted-amd64", None, 1, "0.5-amd64")
            .index("lacking", &["ours-arm64", "not-there"], 2, "")
            .index("empty", &[], 2, "")
            .index("index-nested", &["1.0-amd64"], 3, "")
            .index("top", &["index-nested"], 3, "0.6");
        let never = ["lacking", "empty", "top", "signed-amd64", "chart"];
        for name in never.iter().chain(&["mixed", "adopted", "untagged-amd64", "nobody-amd64"]) {
            assert_eq!(world.verdict(0, name), NOT_OURS, "{name}");
        }
        for name in ["foreign-amd64", "ours-arm64", "index-nested", "1.0-amd64"] {
            assert!(matches!(world.verdict(0, name), Decision::Keep(KeepReason::Listed(_))), "{name}");
        }
        assert_eq!(world.going(1, &["1.0", "1.0-amd64", "1.0-arm64", "1.1"]), ["1.0", "1.0-arm64"]);
        let all = Keep { scope: Scope::All, ..keep(1) };
        for name in never {
            assert_eq!(world.verdicts(&all, &[name]), [NOT_OURS], "{name}");
        }
        let judged = ["mixed", "adopted", "adopted-amd64", "nobody-amd64", "untagged-amd64", "1.0", "1.1"];
        let going = world.verdicts(&all, &judged).iter().filter(|verdict| verdict.goes()).count();
        assert_eq!(going, judged.len() - 1);
        let of_plan = PlanImage { built_as: BTreeSet::from(["other".to_owned()]), tags: BTreeSet::new() };
        let of_other = Keep { image: Some(of_plan), ..all };
        let verdicts = world.verdicts(&of_other, &["1.0", "adopted"]);
        assert_eq!(verdicts, [NOT_OURS, NEWEST], "an image with the label of another image is kept");
    }

    #[test]
    fn clean_of_a_planned_image_keeps_its_current_tags() {
        let world = World::default()
            .publication("1.0", 10, "1.0")
            .publication("1.1", 20, "1.1")
            .publication("1.2", 30, "1.2")
            .image("other-amd64", Some("other"), 5, "0.9");
        let built_as = BTreeSet::from(["hello".to_owned()]);
        let tags = BTreeSet::from(["1.0".parse().unwrap()]);
        let of_plan = Keep { image: Some(PlanImage { built_as, tags }), ..keep(1) };
        let names = ["1.0", "1.0-amd64", "1.1", "1.2", "other-amd64"];
        let kept = Decision::Keep(KeepReason::Kept("1.0".parse().unwrap()));
        let listed = Decision::Keep(KeepReason::Listed(digest("1.0")));
        assert_eq!(world.verdicts(&of_plan, &names), [kept.clone(), listed.clone(), OLD, NEWEST, NOT_OURS]);
        let none = Keep { newest: 0, dropped: patterns(&["*"]), ..of_plan };
        assert_eq!(
            world.verdicts(&none, &names),
            [kept, listed, OLD, OLD, NOT_OURS],
            "a current tag of the plan always keeps its image"
        );
        let by_pattern = Keep { tags: patterns(&["*.1"]), ..keep(1) };
        let verdicts = world.verdicts(&by_pattern, &["1.1", "1.0", "other-amd64"]);
        assert_eq!(verdicts, [Decision::Keep(KeepReason::Kept("1.1".parse().unwrap())), OLD, OLD]);
    }

    #[test]
    fn publication_is_outdated_only_by_equally_well_tagged_ones() {
        let world = World::default()
            .publication("release", 10, "1.0.0")
            .publication("candidate", 15, "1.1.0-rc.1")
            .publication("nightly1", 20, "")
            .publication("nightly2", 30, "")
            .publication("commit", 35, "abc1234")
            .publication("nightly3", 40, "latest");
        let all = ["release", "candidate", "nightly1", "nightly2", "commit", "nightly3"];
        assert_eq!(world.going(1, &all), ["nightly1", "nightly2", "commit"]);
        assert_eq!(world.going(2, &all), ["nightly1", "nightly2"]);
        assert_eq!(world.going(3, &all), ["nightly1"]);
        assert_eq!(world.going(4, &all), Vec::<&str>::new());
        let untagged = World::default().publication("one", 1, "").publication("two", 2, "").publication("three", 3, "");
        assert_eq!(untagged.going(1, &["one", "two", "three"]), ["one", "two"]);
    }

    #[test]
    fn clean_deletes_leftovers_older_than_the_kept_publications() {
        let world = World::default()
            .publication("1.0", 10, "1.0")
            .publication("1.1", 20, "1.1")
            .image("old-amd64", Some("hello"), 5, "0.9-amd64")
            .image("gone-amd64", Some("hello"), 5, "")
            .image("moved-amd64", Some("hello"), 5, "latest-amd64")
            .image("new-amd64", Some("hello"), 50, "1.2-amd64")
            .image("when-amd64", Some("hello"), 0, "1.2-amd64")
            .image("named-amd64", Some("hello"), 6, "0.1");
        for newest in [1, 2] {
            assert_eq!(world.verdict(newest, "old-amd64"), Decision::Delete(DeleteReason::Unlisted));
            assert_eq!(world.verdict(newest, "gone-amd64"), Decision::Delete(DeleteReason::Unlisted));
        }
        let recent = Decision::Keep(KeepReason::Recent);
        for (newest, name) in [(1, "new-amd64"), (1, "when-amd64"), (4, "old-amd64"), (4, "gone-amd64")] {
            assert_eq!(world.verdict(newest, name), recent, "{newest} {name}");
        }
        assert_eq!(world.verdict(0, "new-amd64"), Decision::Delete(DeleteReason::Unlisted), "no publication is kept");
        assert_eq!(world.verdict(0, "when-amd64"), recent, "it may belong to a publication in progress");
        assert_eq!(world.verdict(0, "moved-amd64"), moves("latest-amd64"));
        let dropping = Keep { dropped: patterns(&["1.2-*"]), ..keep(1) };
        assert_eq!(
            world.verdicts(&dropping, &["when-amd64"]),
            [Decision::Delete(DeleteReason::Unlisted)],
            "its tag is dropped"
        );
        // An own tag makes the image a publication.
        assert_eq!([world.verdict(3, "named-amd64"), world.verdict(2, "named-amd64")], [NEWEST, OLD]);
        let nothing = World::default().image("old-amd64", Some("hello"), 5, "0.9-amd64");
        assert_eq!(nothing.verdict(1, "old-amd64"), recent, "no publication is newer");
    }

    #[test]
    fn clean_keeps_images_whose_age_is_ambiguous() {
        let world = World::default()
            .publication("1.0", 10, "1.0")
            .publication("1.1", 10, "1.1")
            .publication("0.9", 9, "0.9")
            .index("when", &["1.0-amd64"], 0, "0.1");
        let verdicts = world.verdicts(&keep(1), &["1.0", "1.1", "0.9", "when"]);
        assert_eq!(verdicts, [NEWEST, NEWEST, OLD, Decision::Keep(KeepReason::Unordered)]);
    }

    #[test]
    fn clean_without_push_times_judges_only_by_version() {
        let world = World::default()
            .publication("1.0.0", 0, "1.0.0 abc1111")
            .publication("1.9.0", 0, "1.9.0")
            .publication("1.10.0", 0, "1.10.0")
            .publication("candidate", 0, "1.11.0-rc.1")
            .publication("commit", 0, "abc1234")
            .publication("moving", 0, "latest")
            .image("left-amd64", Some("hello"), 0, "0.9.0-amd64");
        let unordered = Decision::Keep(KeepReason::Unordered);
        let all = ["1.0.0", "1.9.0", "1.10.0", "candidate", "commit", "moving"];
        let by_push = world.judged(&keep(2)).unwrap();
        assert!(by_push.is_unordered && !by_push.verdicts.values().any(Decision::goes));
        assert_eq!(by_push.verdicts[&digest("1.0.0")], unordered);
        let enough = world.judged(&keep(6)).unwrap();
        assert!(!enough.is_unordered, "the repository has only as many publications as are kept");
        let by_version = |newest| Keep { order: Order::Version, ..keep(newest) };
        let expected = [OLD, OLD, NEWEST, NEWEST, unordered, moves("latest")];
        assert_eq!(world.verdicts(&by_version(1), &all), expected);
        assert_eq!(world.verdicts(&by_version(1), &["left-amd64"]), [Decision::Keep(KeepReason::Recent)]);
        assert!(!world.judged(&by_version(1)).unwrap().is_unordered);
        assert_eq!(world.verdicts(&by_version(2), &all)[..2], [OLD, NEWEST]);
        assert_eq!(world.going(0, &all), all[..5], "keeping no publication needs no order");
        let commits = World::default().publication("one", 0, "abc1111").publication("two", 0, "abc2222");
        assert!(commits.judged(&by_version(1)).unwrap().is_unordered, "no tag is a version");
    }

    #[test]
    fn clean_deletes_arch_tag_indexes_with_their_publication() {
        let attested = |world: World, version: &str, time: u64, tags: &str| {
            let [amd64, arm64] = ["amd64", "arm64"].map(|arch| format!("{version}-{arch}"));
            let [of_amd64, of_arm64] = [&amd64, &arm64].map(|image| format!("att:{image}"));
            let mut world = world;
            for (image, attestation) in [(&amd64, &of_amd64), (&arm64, &of_arm64)] {
                world = world.image(image, Some("hello"), time, "").image(attestation, None, time, "");
                world = world.index(&format!("{image}+"), &[image, attestation], time, image);
            }
            let after = if time == 0 { 0 } else { time + 1 };
            world.index(version, &[&amd64, &arm64, &of_amd64, &of_arm64], after, tags)
        };
        let of = ["1.0", "1.0-amd64", "1.0-amd64+", "att:1.0-amd64", "1.1", "1.1-amd64", "1.1-amd64+", "att:1.1-amd64"];
        let by_version = Keep { order: Order::Version, ..keep(1) };
        for (first, second, keep_one) in [(10, 20, keep(1)), (0, 0, by_version)] {
            let world = attested(World::default(), "1.0", first, "1.0");
            let world = attested(world, "1.1", second, "1.1");
            let keep_two = Keep { newest: 2, ..keep_one.clone() };
            assert!(world.verdicts(&keep_two, &of).iter().all(|verdict| !verdict.goes()));
            let part = world.verdicts(&keep_two, &["1.0-amd64+"]);
            assert_eq!(part, [Decision::Keep(KeepReason::PartOf(digest("1.0")))]);
            let verdicts = world.verdicts(&keep_one, &of);
            assert_eq!(verdicts.iter().map(Decision::goes).collect::<Vec<_>>(), [[true; 4], [false; 4]].concat());
            let attests = world.verdicts(&keep_one, &["att:1.0-arm64"]);
            assert!(matches!(attests[..], [Decision::Delete(DeleteReason::Attests(_))]), "{attests:?}");
        }
        let world = attested(attested(World::default(), "1.0", 10, "1.0"), "1.1", 20, "1.1");
        // A run in progress pushed the same image under another arch tag.
        let again = world.index("1.2-amd64+", &["1.0-amd64", "att:1.0-amd64"], 11, "1.2-amd64");
        assert_eq!(again.verdict(1, "1.2-amd64+"), Decision::Keep(KeepReason::OwnTag("1.2-amd64".parse().unwrap())));
        assert!(!again.verdict(1, "1.0-amd64").goes());
        // A failed run left these: only its own index lists its images.
        let left = again.image("0.9-amd64", Some("hello"), 5, "").index("0.9-amd64+", &["0.9-amd64"], 5, "0.9-amd64");
        assert_eq!([left.verdict(2, "0.9-amd64+"), left.verdict(3, "0.9-amd64+")], [OLD, NEWEST]);
        let foreign = left.index("odd", &["0.9-amd64", "att:somebody"], 3, "0.1");
        assert_eq!(foreign.verdict(0, "odd"), NOT_OURS, "it attests an image that it does not list");
    }

    #[test]
    fn clean_keeps_an_image_with_a_tag_of_another_index() {
        let world = World::default()
            .image("1.0-amd64", Some("hello"), 1, "1.0-amd64 1.1-amd64")
            .image("1.0-arm64", Some("hello"), 1, "1.0-arm64 lambda")
            .image("1.0-s390x", Some("hello"), 1, "1.0-s390x 1.0-rc1-s390x")
            .image("1.0-riscv64", Some("hello"), 1, "riscv64-1.0")
            .index("1.0", &["1.0-amd64", "1.0-arm64", "1.0-s390x", "1.0-riscv64"], 2, "1.0")
            .publication("2.0", 10, "2.0");
        let verdict = |name| world.verdict(1, name);
        let tag = |tag: &str| Decision::Keep(KeepReason::OwnTag(tag.parse().unwrap()));
        assert_eq!(verdict("1.0"), OLD);
        assert_eq!(verdict("1.0-amd64"), tag("1.1-amd64"), "a run in progress publishes it again");
        assert_eq!(verdict("1.0-s390x"), tag("1.0-rc1-s390x"), "a run in progress publishes it again");
        assert_eq!(verdict("1.0-arm64"), tag("lambda"));
        assert_eq!(verdict("1.0-riscv64"), Decision::Delete(DeleteReason::Listed(digest("1.0"))));
    }
}
