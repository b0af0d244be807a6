//! Makes a table for each repository.

use std::collections::BTreeMap;
use std::time::SystemTime;

use polyarch::oci::Digest;
use polyarch::run::{ImageKind, RepositoryImage, RepositoryImages};

use super::cells;
use super::outcome::ListOutcome;
use crate::cli::terminal::grid::{Align, Column, Grid};
use crate::cli::terminal::style::size;

const PUSHED: [Column; 6] = columns("pushed");
const CREATED: [Column; 6] = columns("created");

const fn columns(when: &'static str) -> [Column; 6] {
    [
        Column { heading: "tags", align: Align::Left, rank: 0 },
        Column { heading: "digest", align: Align::Left, rank: 2 },
        Column { heading: "platform", align: Align::Left, rank: 1 },
        Column { heading: "size", align: Align::Right, rank: 5 },
        Column { heading: when, align: Align::Left, rank: 4 },
        Column { heading: "in", align: Align::Left, rank: 3 },
    ]
}

pub(crate) fn lines(asked: &[ListOutcome], now: SystemTime, width: Option<usize>) -> Vec<String> {
    let tables = asked.iter().filter_map(|one| one.images.as_ref().ok()).map(|images| table(images, now, width));
    tables.collect::<Vec<_>>().join(&String::new())
}

fn table(listed: &RepositoryImages, now: SystemTime, width: Option<usize>) -> Vec<String> {
    let mut lines = vec![listed.repository.to_string()];
    if listed.images.is_empty() {
        lines.push("  no images".to_owned());
        return lines;
    }
    let names: BTreeMap<_, _> = listed.images.iter().map(|image| (&image.digest, cells::name(image))).collect();
    let rows: Vec<_> = listed.images.iter().map(|image| cells(image, &names, now, width)).collect();
    let is_pushed = listed.images.iter().any(|image| image.pushed_at.is_some());
    let grid = Grid::fitting(if is_pushed { &PUSHED } else { &CREATED }, &rows, width);
    lines.push(grid.heading());
    lines.extend(rows.iter().map(|cells| grid.row(cells)));
    lines
}

fn cells(
    image: &RepositoryImage,
    names: &BTreeMap<&Digest, String>,
    now: SystemTime,
    width: Option<usize>,
) -> Vec<String> {
    vec![
        cells::tags(image, width),
        image.digest.short().to_owned(),
        cells::platform(&image.kind),
        image.size.map(size).unwrap_or_default(),
        cells::age(image, now),
        within(image, names, width),
    ]
}

/// The indexes that list the image.
fn within(image: &RepositoryImage, names: &BTreeMap<&Digest, String>, width: Option<usize>) -> String {
    let indexes: Vec<_> = image.indexes.iter().filter_map(|index| names.get(index)).map(String::as_str).collect();
    match (&image.kind, indexes.as_slice()) {
        (ImageKind::Index(_), []) => String::new(),
        (_, []) => "no index".to_owned(),
        (_, indexes) => cells::several(indexes, width),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use polyarch::oci::Tag;
    use polyarch::run::ListedBy;

    use super::*;

    fn image(kind: ImageKind, tags: &[&str], indexes: &[&[u8]]) -> RepositoryImage {
        RepositoryImage {
            digest: Digest::of(tags.concat().as_bytes()),
            tags: tags.iter().map(|tag| tag.parse::<Tag>().unwrap()).collect(),
            media_type: None,
            artifact_type: None,
            kind,
            size: Some(12_345_678),
            pushed_at: Some(SystemTime::UNIX_EPOCH),
            created: None,
            account: None,
            indexes: indexes.iter().map(|name| Digest::of(name)).collect(),
            depth: indexes.len().min(1),
        }
    }

    fn shown(width: Option<usize>) -> Vec<String> {
        let platform = |name: &str| ImageKind::Image(name.parse().unwrap());
        let many = ["2.0.0-with-a-name", "2.0.0-of-some-length", "2.0", "2"];
        let images = vec![
            image(ImageKind::Index(2), &many, &[]),
            image(platform("linux/amd64"), &["2.0-amd64"], &[many.concat().as_bytes(), b"1.0"]),
            image(ImageKind::Attestation(None), &[], &[many.concat().as_bytes()]),
            image(ImageKind::Index(1), &["1.0"], &[]),
            RepositoryImage { size: None, pushed_at: None, ..image(platform("linux/arm/v7"), &["left"], &[]) },
        ];
        let (repository, unread) = ("a.io/web".parse().unwrap(), BTreeMap::new());
        let images = RepositoryImages { repository, listed_by: ListedBy::Ecr, images, unread };
        let asked = [ListOutcome { repository: "a.io/web".into(), images: Ok(images) }];
        lines(&asked, SystemTime::UNIX_EPOCH + Duration::from_hours(50), width)
    }

    #[test]
    fn images_table_lists_images_below_their_index() {
        assert_eq!(
            shown(Some(120)),
            [
                "a.io/web",
                "  tags                   digest        platform         size  pushed      in",
                "  2.0.0-with-a-name, +3  5aaeaa70d0ff  2 images      12.3 MB  2 days ago",
                "    2.0-amd64            f6ddaebb7eb8  linux/amd64   12.3 MB  2 days ago  2.0.0-with-a-name, 1.0",
                "    <none>               e3b0c44298fc  attestation   12.3 MB  2 days ago  2.0.0-with-a-name",
                "  1.0                    d0ff5974b6aa  1 image       12.3 MB  2 days ago",
                "  left                   360f84035942  linux/arm/v7                       no index",
            ]
        );
    }

    #[test]
    fn images_table_names_all_tags_without_a_terminal() {
        let all = "2.0.0-with-a-name, 2.0.0-of-some-length, 2.0, 2";
        assert!(shown(None)[2].contains(all) && !shown(Some(200))[2].contains(all), "{:#?}", shown(None));
    }

    #[test]
    fn images_table_omits_columns_on_a_narrow_terminal() {
        for width in 0..120 {
            let widest = shown(Some(width)).iter().map(|line| line.chars().count()).max().unwrap();
            assert!(widest <= width.max(25), "{width}: {:#?}", shown(Some(width)));
        }
    }
}
