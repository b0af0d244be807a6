//! Tests with random histories of a repository: some manifests must never be deleted, even if the registry reports
//! little about them.
//!
//! The oracle knows every event of the history. The judge sees only the data that a registry shows. Amazon ECR shows
//! all manifests and the time of their first push. Its clock is coarser than the events. Other registries and the
//! embedded registry show only manifests that their tags lead to.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::keep::{Decision, Keep, Order, Scope};
use super::world::{World, digest, keep};
use crate::aws::TagPattern;

/// Tags that move from one publication to the next.
const MOVING: [&str; 5] = ["latest", "stable", "edge", "1", "1.0"];

/// An event in the history of a repository.
#[derive(Debug, Clone)]
enum Event {
    /// An index of two images was pushed. It got its own tag and the moving tags of `moving`. An earlier index may
    /// have some or all of its images: a cached build, or a build of an older commit.
    Publish { images: [u8; 2], own: Own, moving: Vec<usize> },
    /// A moving tag moved to an earlier publication, or to one of its images.
    Move { tag: usize, to: usize, is_to_image: bool },
    /// A run in progress pushed an image under the arch tag of its future index. The image may be an earlier one.
    Begin { image: u8 },
    /// A third party pushed an index of existing images, with or without a tag.
    Foreign { of: Vec<usize>, is_tagged: bool },
}

/// The tag that belongs to one publication alone.
#[derive(Debug, Clone, Copy)]
enum Own {
    /// The next version.
    Version,
    /// A version below all other versions, of a branch that still gets fixes.
    Patch,
    /// A commit.
    Commit,
    /// No tag: the publication gets only moving tags.
    None,
}

/// An index that was published.
#[derive(Debug, Default)]
struct Published {
    images: [String; 2],
    first_pushed: usize,
    /// The time when the index got its latest own tag.
    latest_own: usize,
    own: BTreeSet<String>,
    versions: BTreeSet<[u64; 3]>,
}

/// A repository after several events.
#[derive(Debug, Default)]
struct History {
    now: usize,
    pushed: BTreeMap<String, usize>,
    published: BTreeMap<String, Published>,
    foreign: BTreeMap<String, Vec<String>>,
    /// The manifest that each tag names.
    tags: BTreeMap<String, String>,
    /// Images that a run in progress will publish.
    begun: BTreeSet<String>,
    versions: u64,
    patches: u64,
}

/// The name of an image. Every third image is imported and has no label.
fn image(number: u8, arch: &str) -> String {
    format!("{}{number}-{arch}", if number % 3 == 2 { "adopted" } else { "built" })
}

impl History {
    fn of(events: &[Event]) -> Self {
        let mut history = Self::default();
        for event in events {
            history.now += 1;
            history.take(event);
        }
        history
    }

    fn push(&mut self, name: &str) {
        self.pushed.entry(name.to_owned()).or_insert(self.now);
    }

    fn tag(&mut self, tag: &str, name: &str) {
        self.tags.insert(tag.to_owned(), name.to_owned());
    }

    fn nth(&self, nth: usize) -> Option<String> {
        self.published.keys().nth(nth % self.published.len().max(1)).cloned()
    }

    fn take(&mut self, event: &Event) {
        match event {
            Event::Publish { images, own, moving } => self.publish(*images, *own, moving),
            Event::Move { tag, to, is_to_image } => {
                let Some(name) = self.nth(*to) else { return };
                let to = if *is_to_image { self.published[&name].images[0].clone() } else { name };
                self.tag(MOVING[tag % MOVING.len()], &to);
            }
            Event::Begin { image: number } => {
                let name = image(*number, "amd64");
                self.push(&name);
                self.tag(&format!("7.7.{}-amd64", self.now), &name);
                self.begun.insert(name);
            }
            Event::Foreign { of, is_tagged } => {
                let all: Vec<_> = self.pushed.keys().cloned().collect();
                let of: BTreeSet<_> = of.iter().filter_map(|nth| all.get(nth % all.len().max(1))).cloned().collect();
                let name = format!("foreign{}", self.now);
                self.push(&name);
                if *is_tagged {
                    self.tag(&format!("foreign-{:07}", self.now), &name);
                }
                self.foreign.insert(name, of.into_iter().collect());
            }
        }
    }

    fn publish(&mut self, [amd64, arm64]: [u8; 2], own: Own, moving: &[usize]) {
        let images = [image(amd64, "amd64"), image(arm64, "arm64")];
        let name = format!("published {amd64} {arm64}");
        let tag = self.own_tag(&name, own);
        let moving: Vec<_> = moving.iter().map(|nth| MOVING[nth % MOVING.len()]).collect();
        let tags: Vec<_> = tag.as_deref().into_iter().chain(moving).collect();
        for (image, arch) in images.iter().zip(["amd64", "arm64"]) {
            self.push(image);
            if let Some(first) = tags.first() {
                self.tag(&format!("{first}-{arch}"), image);
            }
        }
        self.push(&name);
        for tag in tags {
            self.tag(tag, &name);
        }
        let now = self.now;
        let new = || Published { first_pushed: now, latest_own: now, ..Published::default() };
        let published = self.published.entry(name).or_insert_with(new);
        published.images = images;
        if let Some(tag) = tag {
            published.latest_own = now;
            let version: Vec<_> = tag.split('.').filter_map(|number| number.parse().ok()).collect();
            published.versions.extend(<[u64; 3]>::try_from(version));
            published.own.insert(tag);
        }
    }

    /// The own tag for an index. An index that was pushed earlier gets a tag of the same kind, or the highest
    /// version. Some later tags leave no trace anywhere: a lower version, the first commit, or a tag that moved
    /// since.
    fn own_tag(&mut self, name: &str, own: Own) -> Option<String> {
        let earlier = self.published.get(name).map(|one| one.own.len() > one.versions.len());
        let [major, minor, patch] = match (own, earlier) {
            (Own::None, _) => return None,
            (Own::Commit, None | Some(true)) if self.has_commits_alone(name) => {
                return Some(format!("c0ffee{:02}", self.now));
            }
            (Own::Patch, None) => {
                self.patches += 1;
                [0, 0, self.patches]
            }
            _ => self.next_version(),
        };
        Some(format!("{major}.{minor}.{patch}"))
    }

    fn has_commits_alone(&self, name: &str) -> bool {
        self.published.get(name).is_none_or(|one| one.versions.is_empty())
    }

    fn next_version(&mut self) -> [u64; 3] {
        self.versions += 1;
        // Reaches ten, which must rank above nine.
        [1, 0, self.versions]
    }

    fn lists(&self, name: &str) -> Vec<String> {
        let published = self.published.get(name).map(|published| published.images.to_vec());
        published.or_else(|| self.foreign.get(name).cloned()).unwrap_or_default()
    }

    /// All manifests that tags lead to.
    fn reached(&self) -> BTreeSet<String> {
        let (mut reached, mut next) = (BTreeSet::new(), self.tags.values().cloned().collect::<Vec<_>>());
        while let Some(name) = next.pop() {
            next.extend(self.lists(&name));
            reached.insert(name);
        }
        reached
    }

    /// The manifests that a registry shows.
    fn shown(&self, kind: Kind) -> World {
        let seen = match kind {
            Kind::Ecr => self.pushed.keys().cloned().collect(),
            Kind::Registry => self.reached(),
        };
        seen.iter().fold(World::default(), |world, name| {
            let tags = self.tags.iter().filter(|(_, named)| *named == name).map(|(tag, _)| tag.as_str());
            let tags = tags.collect::<Vec<_>>().join(" ");
            let time = match kind {
                Kind::Ecr => 1 + self.pushed[name] as u64 / 2,
                Kind::Registry => 0,
            };
            let lists = self.lists(name);
            if self.published.contains_key(name) || self.foreign.contains_key(name) {
                world.index(name, &lists.iter().map(String::as_str).collect::<Vec<_>>(), time, &tags)
            } else {
                world.image(name, name.starts_with("built").then_some("hello"), time, &tags)
            }
        })
    }

    /// The published indexes among the newest `count`, in the order of `key`. Third-party indexes count too.
    fn newest_indexes(&self, count: usize, key: impl Fn(&Published) -> usize) -> Vec<&String> {
        let foreign = self.foreign.iter().filter(|(_, lists)| !lists.is_empty());
        let foreign = foreign.map(|(name, _)| (self.pushed[name], name));
        let mut keyed: Vec<_> = self.published.iter().map(|(name, one)| (key(one), name)).chain(foreign).collect();
        keyed.sort_by(|one, other| other.cmp(one));
        keyed.into_iter().take(count).map(|(_, name)| name).filter(|name| self.published.contains_key(*name)).collect()
    }

    /// The newest `count` of the published indexes, in the order of `key`.
    fn newest<K: Ord>(&self, count: usize, key: impl Fn(&Published) -> Option<K>) -> Vec<&String> {
        let mut keyed: Vec<_> = self.published.iter().filter_map(|(name, one)| Some((key(one)?, name))).collect();
        keyed.sort_by(|one, other| other.0.cmp(&one.0));
        keyed.into_iter().take(count).map(|(_, name)| name).collect()
    }
}

/// The kinds of registries, by the data that they show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// All manifests, with the time of their first push.
    Ecr,
    /// The manifests that tags lead to. The embedded registry shows these.
    Registry,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let images = || prop::array::uniform2(0_u8..4);
    let own = prop::sample::select(vec![Own::Version, Own::Version, Own::Patch, Own::Commit, Own::None]);
    let moving = prop::collection::vec(0..MOVING.len(), 0..3);
    let publish = (images(), own, moving).prop_map(|(images, own, moving)| Event::Publish { images, own, moving });
    let moved = (0..MOVING.len(), 0_usize..20, prop::bool::weighted(0.2));
    let moved = moved.prop_map(|(tag, to, is_to_image)| Event::Move { tag, to, is_to_image });
    let begin = (0_u8..4).prop_map(|image| Event::Begin { image });
    let foreign = (prop::collection::vec(0_usize..40, 0..3), any::<bool>());
    let foreign = foreign.prop_map(|(of, is_tagged)| Event::Foreign { of, is_tagged });
    let event = prop_oneof![8 => publish, 2 => moved, 1 => begin, 1 => foreign];
    // The first version has three numbers, so `1` and `1.0` are moving tags.
    let first = Event::Publish { images: [9, 9], own: Own::Version, moving: vec![] };
    prop::collection::vec(event, 0..24).prop_map(move |events| [vec![first.clone()], events].concat())
}

fn keeps() -> impl Strategy<Value = Keep> {
    let scope = prop::sample::select(vec![Scope::Built, Scope::All]);
    let order = prop::sample::select(vec![Order::Push, Order::Version]);
    let kept = prop::sample::select(vec![None, Some("1.0.*"), Some("c0ffee*")]);
    (0_usize..5, scope, order, kept).prop_map(|(newest, scope, order, kept)| {
        let tags = kept.map(|pattern| TagPattern::new(pattern.to_owned())).into_iter().collect();
        Keep { order, tags, scope, ..keep(newest) }
    })
}

/// The names of the manifests that are deleted.
fn going(history: &History, world: &World, keep: &Keep) -> BTreeSet<String> {
    let judged = world.judged(keep).unwrap();
    let names = history.pushed.keys().filter(|name| judged.verdicts.get(&digest(name)).is_some_and(Decision::goes));
    let going: BTreeSet<_> = names.cloned().collect();
    if judged.is_unordered { BTreeSet::new() } else { going }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn clean_never_deletes_newest_moving_or_listed_images(
        events in events(), keep in keeps(), kind in prop::sample::select(vec![Kind::Ecr, Kind::Registry]),
    ) {
        let history = History::of(&events);
        let world = history.shown(kind);
        let going = going(&history, &world, &keep);
        let stays = |name: &String| !going.contains(name);
        for tag in MOVING.iter().flat_map(|tag| ["", "-amd64", "-arm64"].map(|arch| format!("{tag}{arch}"))) {
            let shown = history.tags.get(&tag);
            let all = shown.into_iter().flat_map(|name| history.lists(name).into_iter().chain([name.clone()]));
            for name in all {
                prop_assert!(stays(&name), "{tag} names {name}");
            }
        }
        let seen = history.shown(kind).items;
        for name in history.pushed.keys().filter(|name| stays(name) && seen.contains_key(&digest(name))) {
            for listed in history.lists(name) {
                prop_assert!(stays(&listed), "{name} is kept and lists {listed}");
            }
        }
        for begun in &history.begun {
            // A third-party index counts as a publication too.
            let indexes = history.published.keys().chain(history.foreign.keys()).map(|name| history.pushed[name]);
            let later = indexes.filter(|pushed| *pushed > history.pushed[begun]).count();
            prop_assert!(stays(begun) || kind == Kind::Ecr && later >= keep.newest, "{begun} belongs to a run in progress");
        }
        let newest = keep.newest;
        match keep.order {
            Order::Push => {
                let by_push = history.newest_indexes(newest, |one| one.first_pushed);
                let by_publication = history.newest_indexes(newest, |one| one.latest_own);
                let releases = history.newest(newest, |one| (!one.versions.is_empty()).then_some(one.first_pushed));
                for name in by_push.into_iter().chain(by_publication).chain(releases) {
                    prop_assert!(stays(name), "{name} is among the {newest} newest");
                }
                prop_assert!(kind == Kind::Ecr || newest == 0 || going.is_empty(), "the registry reports no push times");
            }
            Order::Version => {
                for name in history.newest(newest, |one| one.versions.last().copied()) {
                    prop_assert!(stays(name), "{name} is among the {newest} highest");
                }
            }
        }
        for (name, published) in &history.published {
            let is_kept = |tag: &String| keep.tags.iter().any(|pattern| pattern.fits(&tag.parse().unwrap()));
            prop_assert!(!published.own.iter().any(is_kept) || stays(name), "{name} is kept by its tag");
        }
        let is_adopted = |name: &String| name.starts_with("adopted");
        let is_ours = |name: &String| keep.scope == Scope::All || !is_adopted(name);
        for name in &going {
            prop_assert!(is_ours(name) && history.lists(name).iter().all(is_ours), "{name} is outside the scope");
        }
    }

    #[test]
    fn clean_refuses_any_history_with_an_unreadable_index(
        events in events(), keep in keeps(), kind in prop::sample::select(vec![Kind::Ecr, Kind::Registry]), has_digest: bool,
    ) {
        let mut world = History::of(&events).shown(kind);
        if has_digest {
            world = world.unreadable("unreadable", 1, "odd");
        } else {
            world.unread.insert("odd".parse().unwrap(), "odd".into());
        }
        let refused = world.judged(&keep).unwrap_err();
        prop_assert!(refused.to_string().contains("may list images that would be deleted"), "{refused}");
    }

    #[test]
    fn clean_keeps_exactly_as_many_versions_as_wanted(publications in 0_u8..15, newest in 1_usize..15) {
        // Another event comes between the two publications, so that their times differ.
        let between = || Event::Foreign { of: vec![], is_tagged: false };
        let publish = |number: u8| Event::Publish { images: [3 * number, 3 * number], own: Own::Version, moving: vec![] };
        let events: Vec<_> = (0..publications).flat_map(|number| [publish(number), between()]).collect();
        let history = History::of(&events);
        for (kind, order) in [(Kind::Ecr, Order::Push), (Kind::Ecr, Order::Version), (Kind::Registry, Order::Version)] {
            let going = going(&history, &history.shown(kind), &Keep { order, ..keep(newest) });
            let old = usize::from(publications).saturating_sub(newest);
            prop_assert_eq!(going.len(), 3 * old, "{:?} {:?}", kind, order);
        }
    }
}
