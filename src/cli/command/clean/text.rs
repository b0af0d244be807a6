//! Makes a table for each repository, with the fate of an image in each row.

use std::collections::BTreeMap;
use std::time::SystemTime;

use polyarch::oci::Digest;
use polyarch::run::RepositoryImage;
use polyarch::run::clean::{Decision, DeleteReason, Keep, KeepReason, Order, Outcome, Scope};

use super::outcome::{CleanOutcome, Cleaned};
use crate::cli::command::images::cells;
use crate::cli::terminal::grid::{Align, Column, Grid};

const COLUMNS: [Column; 6] = [
    Column { heading: "", align: Align::Left, rank: 0 },
    Column { heading: "tags", align: Align::Left, rank: 1 },
    Column { heading: "digest", align: Align::Left, rank: 4 },
    Column { heading: "platform", align: Align::Left, rank: 3 },
    Column { heading: "age", align: Align::Left, rank: 5 },
    Column { heading: "why", align: Align::Left, rank: 2 },
];

pub(crate) fn lines(asked: &[CleanOutcome], now: SystemTime, width: Option<usize>) -> Vec<String> {
    let tables = asked.iter().filter_map(|one| one.cleaned.as_ref().ok()).map(|cleaned| table(cleaned, now, width));
    tables.collect::<Vec<_>>().join(&String::new())
}

fn table(cleaned: &Cleaned, now: SystemTime, width: Option<usize>) -> Vec<String> {
    let mut lines = vec![cleaned.repository.clone()];
    if cleaned.judged.images.is_empty() {
        lines.push("  no images".to_owned());
        return lines;
    }
    let is_applied = cleaned.outcomes.is_some();
    let row = |(image, word, why)| cells(image, shown(word, is_applied), why, now, width);
    let rows: Vec<_> = told(cleaned).map(row).collect();
    let grid = Grid::fitting(&COLUMNS, &rows, width);
    lines.push(grid.heading());
    lines.extend(rows.iter().map(|cells| grid.row(cells)));
    lines
}

fn cells(image: &RepositoryImage, word: &str, why: String, now: SystemTime, width: Option<usize>) -> Vec<String> {
    vec![
        word.to_owned(),
        cells::tags(image, width),
        image.digest.short().to_owned(),
        cells::platform(&image.kind),
        cells::age(image, now),
        why,
    ]
}

/// The word for people in place of a word of the JSON document.
fn shown(word: &'static str, is_applied: bool) -> &'static str {
    match word {
        "goes" => "delete",
        "stays" if is_applied => "kept",
        "stays" => "keep",
        word => word,
    }
}

/// Each image, the word of the JSON document for its fate, and the reason.
pub(crate) fn told(cleaned: &Cleaned) -> impl Iterator<Item = (&RepositoryImage, &'static str, String)> {
    let names: BTreeMap<_, _> =
        cleaned.judged.images.iter().map(|(image, _)| (&image.digest, cells::name(image))).collect();
    cleaned.judged.images.iter().map(move |(image, verdict)| {
        let outcome = cleaned.outcomes.as_ref().and_then(|outcomes| outcomes.get(&image.digest));
        let (word, why) = match (outcome, verdict) {
            (Some(Outcome::Kept(why)), _) => ("stays", why.to_string()),
            (Some(Outcome::Failed(why)), _) => ("failed", why.to_string()),
            (Some(Outcome::Deleted), Decision::Delete(why)) => ("deleted", goes(why, &cleaned.keep, &names)),
            (_, Decision::Delete(why)) => ("goes", goes(why, &cleaned.keep, &names)),
            (_, Decision::Keep(why)) => ("stays", stays(why, &cleaned.keep, &names)),
        };
        (image, word, why)
    })
}

fn goes(why: &DeleteReason, keep: &Keep, names: &BTreeMap<&Digest, String>) -> String {
    match why {
        DeleteReason::Old if keep.newest == 0 => "no publication is kept".to_owned(),
        DeleteReason::Old => format!("not {}", newest(keep)),
        DeleteReason::Listed(index) => format!("only in {}", named(index, names)),
        DeleteReason::Attests(index) => format!("attests an image of {}", named(index, names)),
        DeleteReason::PartOf(index) => format!("{} has the same images", named(index, names)),
        DeleteReason::Unlisted => "in no index".to_owned(),
    }
}

fn stays(why: &KeepReason, keep: &Keep, names: &BTreeMap<&Digest, String>) -> String {
    match why {
        KeepReason::NotOurs if keep.scope == Scope::All => "not an image, or incomplete".to_owned(),
        KeepReason::NotOurs if keep.image.is_some() => "not built as this image".to_owned(),
        KeepReason::NotOurs => "not built by polyarch".to_owned(),
        KeepReason::Newest => newest(keep),
        KeepReason::Unordered if keep.order == Order::Version => "has no version".to_owned(),
        KeepReason::Unordered => "time of the push is unknown".to_owned(),
        KeepReason::Again => "published again at an unknown time".to_owned(),
        KeepReason::Kept(tag) if keep.image.as_ref().is_some_and(|image| image.tags.contains(tag)) => {
            format!("{tag} is a tag of your plan")
        }
        KeepReason::Kept(tag) => format!("--keep-tag keeps {tag}"),
        KeepReason::Moves(tag) => format!("{tag} may move"),
        KeepReason::Listed(index) => format!("in {}, which is kept", named(index, names)),
        KeepReason::PartOf(index) => format!("{}, which is kept, has the same images", named(index, names)),
        KeepReason::OwnTag(tag) => format!("has its own tag {tag}"),
        KeepReason::Recent => "recent, and a join may still need it".to_owned(),
    }
}

fn newest(keep: &Keep) -> String {
    if keep.newest == 1 { "the newest".to_owned() } else { format!("one of the {} newest", keep.newest) }
}

fn named(digest: &Digest, names: &BTreeMap<&Digest, String>) -> String {
    names.get(digest).cloned().unwrap_or_else(|| digest.short().to_owned())
}
