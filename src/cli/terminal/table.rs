//! Makes the final table: a row for each platform, under its image's name.

use polyarch::run::{Execution, JobSource, PlatformReport, Report, Status};

use super::grid::{Align, Column, Grid};
use super::line::Line;
use super::style::{Tone, duration, shorten, size};

/// On a terminal the name of an engine is cut to this width.
const ENGINE_WIDTH: usize = 16;

const COLUMNS: [Column; 8] = [
    Column { heading: "platform", align: Align::Left, rank: 0 },
    Column { heading: "engine", align: Align::Left, rank: 5 },
    Column { heading: "runs", align: Align::Left, rank: 3 },
    Column { heading: "built", align: Align::Right, rank: 1 },
    Column { heading: "pushed", align: Align::Right, rank: 2 },
    Column { heading: "size", align: Align::Right, rank: 4 },
    Column { heading: "digest", align: Align::Left, rank: 7 },
    Column { heading: "cached", align: Align::Right, rank: 6 },
];

/// The cells of a platform's row, one for each of the columns.
fn cells(platform: &PlatformReport, width: Option<usize>) -> Vec<String> {
    vec![
        platform.platform.to_string(),
        engine(platform, width),
        runs(platform),
        built(platform),
        pushed(platform),
        platform.bytes.map(size).unwrap_or_default(),
        digest(platform),
        cached(platform),
    ]
}

fn engine(platform: &PlatformReport, width: Option<usize>) -> String {
    match &platform.by {
        JobSource::Engine { engine, .. } => shorten(engine, width.map_or(usize::MAX, |_| ENGINE_WIDTH)),
        JobSource::Copy { .. } => "imported".to_owned(),
    }
}

fn runs(platform: &PlatformReport) -> String {
    match platform.by {
        JobSource::Engine { execution: Execution::Native, .. } => "native".to_owned(),
        JobSource::Engine { execution: Execution::Emulated, .. } => "emulated".to_owned(),
        JobSource::Copy { .. } => String::new(),
    }
}

/// The end of a job, for the column of the phase in which the job ended.
fn end(status: Status) -> &'static str {
    match status {
        Status::Waiting => "not begun",
        Status::Failed => "failed",
        Status::Cancelled => "cancelled",
        _ => "stopped",
    }
}

/// The duration of the build, or its end. Empty for a copy.
pub(crate) fn built(platform: &PlatformReport) -> String {
    if matches!(platform.by, JobSource::Copy { .. }) {
        return String::new();
    }
    platform.build_seconds.map_or_else(|| end(platform.status).to_owned(), duration)
}

/// The duration of the push or the copy, or its end. Empty if the run was to do neither.
pub(crate) fn pushed(platform: &PlatformReport) -> String {
    let imported = matches!(platform.by, JobSource::Copy { .. });
    match (platform.push_seconds, platform.status) {
        (Some(_), Status::Pushed | Status::Confirmed)
            if platform.copied.as_ref().is_some_and(|one| one.manifests == 0) =>
        {
            "exists".to_owned()
        }
        (_, Status::Chosen) => "no".to_owned(),
        (_, status) if imported && !matches!(status, Status::Pushed | Status::Confirmed) => end(status).to_owned(),
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

/// The table's lines; there are none if no platform was planned. The table leaves out columns to fit into `width`.
pub(crate) fn table(report: &Report, width: Option<usize>) -> Vec<Line> {
    let rows: Vec<_> = report.images.iter().flat_map(|image| &image.platforms).map(|one| cells(one, width)).collect();
    if rows.is_empty() {
        return Vec::new();
    }
    let grid = Grid::fitting(&COLUMNS, &rows, width);
    let mut lines = vec![Line::new().toned(Tone::Faint, grid.heading())];
    let mut rows = rows.iter();
    for image in report.images.iter().filter(|image| !image.platforms.is_empty()) {
        lines.push(Line::new().toned(Tone::Strong, shorten(&image.image, width.unwrap_or(usize::MAX))));
        for (platform, cells) in image.platforms.iter().zip(&mut rows) {
            let line = grid.row(cells);
            let failed = platform.status == Status::Failed;
            lines.push(if failed { Line::new().toned(Tone::Error, line) } else { line.into() });
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output::display::script::{Script, failed, plain, report, success};

    fn shown(script: &Script, width: Option<usize>) -> Vec<String> {
        plain(&table(&report(script, None), width))
    }

    #[test]
    fn result_table_fits_80_columns() {
        let lines = shown(&success(), Some(80));
        assert_eq!(lines, shown(&success(), None));
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
    fn result_table_omits_columns_on_a_narrow_terminal() {
        assert_eq!(
            shown(&failed(), Some(40)),
            [
                "  platform     runs       built  pushed",
                "hello",
                "  linux/amd64  native      2.0s    0.3s",
                "  linux/arm64  emulated  failed",
            ]
        );
        for width in 0..100 {
            let lines = shown(&failed(), Some(width));
            let widest = lines.iter().map(|line| line.chars().count()).max().unwrap();
            assert!(widest <= width.max(13), "{width}: {lines:#?}");
        }
    }
}
