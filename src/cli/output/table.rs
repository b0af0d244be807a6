//! The final table: a row a platform, under its image's name.

use polyarch::run::{By, Execution, PlatformReport, Report, Status};

use super::style::{Color, Tone, duration, shorten, size};

/// A column: its heading, which side its cells stand on, and its rank (those of the highest go first when the
/// terminal is too narrow).
struct Column {
    heading: &'static str,
    align: Align,
    rank: u8,
    cell: fn(&PlatformReport) -> String,
}

#[derive(Clone, Copy)]
enum Align {
    Left,
    Right,
}

const GAP: &str = "  ";
/// Names of engines are cut here.
const ENGINE_WIDTH: usize = 16;

const COLUMNS: [Column; 8] = [
    Column { heading: "platform", align: Align::Left, rank: 0, cell: |p| p.platform.to_string() },
    Column { heading: "engine", align: Align::Left, rank: 5, cell: engine },
    Column { heading: "runs", align: Align::Left, rank: 3, cell: runs },
    Column { heading: "built", align: Align::Right, rank: 1, cell: built },
    Column { heading: "pushed", align: Align::Right, rank: 2, cell: pushed },
    Column { heading: "size", align: Align::Right, rank: 4, cell: |p| p.bytes.map(size).unwrap_or_default() },
    Column { heading: "digest", align: Align::Left, rank: 7, cell: digest },
    Column { heading: "cached", align: Align::Right, rank: 6, cell: cached },
];

fn engine(platform: &PlatformReport) -> String {
    match &platform.by {
        By::Engine { engine, .. } => shorten(engine, ENGINE_WIDTH),
        By::Copy { .. } => "adopted".to_owned(),
    }
}

fn runs(platform: &PlatformReport) -> String {
    match platform.by {
        By::Engine { execution: Execution::Native, .. } => "native".to_owned(),
        By::Engine { execution: Execution::Emulated, .. } => "emulated".to_owned(),
        By::Copy { .. } => String::new(),
    }
}

/// How it ended, in the column of the phase in which it did.
fn end(status: Status) -> &'static str {
    match status {
        Status::Waiting => "not begun",
        Status::Failed => "failed",
        Status::Cancelled => "cancelled",
        _ => "stopped",
    }
}

fn built(platform: &PlatformReport) -> String {
    if matches!(platform.by, By::Copy { .. }) {
        return String::new();
    }
    platform.build_seconds.map_or_else(|| end(platform.status).to_owned(), duration)
}

fn pushed(platform: &PlatformReport) -> String {
    let adopted = matches!(platform.by, By::Copy { .. });
    match (platform.push_seconds, platform.status) {
        (Some(_), Status::Pushed | Status::Confirmed)
            if platform.copied.as_ref().is_some_and(|one| one.manifests == 0) =>
        {
            "there".to_owned()
        }
        (_, Status::Chosen) => "no".to_owned(),
        (_, status) if adopted && !matches!(status, Status::Pushed | Status::Confirmed) => end(status).to_owned(),
        (Some(seconds), Status::Pushed | Status::Confirmed) => duration(seconds),
        (_, Status::Built) => "no".to_owned(),
        (_, status) if platform.build_seconds.is_some() && status != Status::Confirmed => end(status).to_owned(),
        _ => String::new(),
    }
}

fn digest(platform: &PlatformReport) -> String {
    platform.reference.as_ref().map(|reference| reference.digest.short().to_owned()).unwrap_or_default()
}

fn cached(platform: &PlatformReport) -> String {
    if platform.build_seconds.is_none() || platform.steps == 0 {
        return String::new();
    }
    format!("{}/{}", platform.cached_steps, platform.steps)
}

/// The table's lines; none where no platform was planned. Fits `width` columns, if given, by leaving columns out.
pub(crate) fn table(report: &Report, color: Color, width: Option<usize>) -> Vec<String> {
    let platforms: Vec<&PlatformReport> = report.images.iter().flat_map(|image| &image.platforms).collect();
    if platforms.is_empty() {
        return Vec::new();
    }
    let columns = fitting(&platforms, width);
    let heading: Vec<String> = columns.iter().map(|(column, _)| column.heading.to_owned()).collect();
    let mut lines = vec![color.paint(Tone::Faint, &row(&columns, &heading))];
    for image in report.images.iter().filter(|image| !image.platforms.is_empty()) {
        lines.push(color.paint(Tone::Strong, &shorten(&image.image, width.unwrap_or(usize::MAX))));
        for platform in &image.platforms {
            let cells: Vec<String> = columns.iter().map(|(column, _)| (column.cell)(platform)).collect();
            let line = row(&columns, &cells);
            let failed = platform.status == Status::Failed;
            lines.push(if failed { color.paint(Tone::Error, &line) } else { line });
        }
    }
    lines
}

/// The columns that fit, each with its width.
fn fitting(platforms: &[&PlatformReport], width: Option<usize>) -> Vec<(&'static Column, usize)> {
    let measure = |column: &'static Column| {
        let cells = platforms.iter().map(|platform| (column.cell)(platform).chars().count());
        (column, cells.max().unwrap_or(0).max(column.heading.len()))
    };
    let mut columns: Vec<_> = COLUMNS.iter().map(measure).collect();
    let total = |columns: &[(&Column, usize)]| columns.iter().map(|(_, width)| GAP.len() + width).sum::<usize>();
    while columns.len() > 1 && width.is_some_and(|width| total(&columns) > width) {
        let worst = columns.iter().map(|(column, _)| column.rank).max();
        columns.retain(|(column, _)| Some(column.rank) != worst);
    }
    columns
}

fn row(columns: &[(&Column, usize)], cells: &[String]) -> String {
    let mut line = String::new();
    for ((column, width), cell) in columns.iter().zip(cells) {
        line.push_str(GAP);
        let cell = match column.align {
            Align::Left => format!("{cell:<width$}"),
            Align::Right => format!("{cell:>width$}"),
        };
        line.push_str(&cell);
    }
    line.truncate(line.trim_end().len());
    line
}

#[cfg(test)]
mod tests {
    use super::super::script::{failed, report, success};
    use super::*;

    #[test]
    fn fits_an_ordinary_terminal_whole() {
        let lines = table(&report(&success(), None), Color::Off, Some(80));
        assert_eq!(lines, table(&report(&success(), None), Color::Off, None));
        assert_eq!(
            lines,
            [
                "  platform     engine   runs      built  pushed     size  digest        cached",
                "hello",
                "  linux/amd64  default  native     2.0s    0.3s  12.3 MB  5861314d7fcc     1/3",
                "  linux/arm64  default  emulated  1m02s    0.3s  12.3 MB  f69162950f23     0/3",
            ]
        );
    }

    #[test]
    fn leaves_columns_out_where_it_is_narrow() {
        assert_eq!(
            table(&report(&failed(), None), Color::Off, Some(40)),
            [
                "  platform     runs       built  pushed",
                "hello",
                "  linux/amd64  native      2.0s    0.3s",
                "  linux/arm64  emulated  failed",
            ]
        );
        for width in 0..100 {
            let lines = table(&report(&failed(), None), Color::Off, Some(width));
            let widest = lines.iter().map(|line| line.chars().count()).max().unwrap();
            assert!(widest <= width.max(13), "{width}: {lines:#?}");
        }
    }
}
