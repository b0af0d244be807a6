//! Makes the ending of a run: the table, the results, warnings, leftovers, and failures with their logs.

use polyarch::run::{Failure, ImageReport, LeftoverKind, LoadedReport, Outcome, PlatformReport, Report, TagState};

use super::lines::warning;
use crate::cli::terminal::diagnostic;
use crate::cli::terminal::excerpt::excerpt;
use crate::cli::terminal::line::Line;
use crate::cli::terminal::style::{Tone, count, duration, short_digests};
use crate::cli::terminal::table::table;

/// The whole ending, for a terminal of `width` columns, or else for a log.
pub(crate) fn ending(report: &Report, width: Option<usize>) -> Vec<Line> {
    let sections = [
        table(report, width),
        report
            .images
            .iter()
            .flat_map(results)
            .map(|line| match width {
                // stdout has the whole digest.
                Some(_) => line.map(short_digests),
                None => line,
            })
            .collect(),
        warnings(report),
        left(report),
        errors(report, width),
        vec![last_line(report)],
    ];
    // An empty line stands between two sections, and before the first one if lines of the run stand above it.
    let mut shown: Vec<Vec<Line>> = sections.into_iter().filter(|section| !section.is_empty()).collect();
    if !report.images.is_empty() {
        shown.insert(0, Vec::new());
    }
    shown.join(&Line::new())
}

/// The ending of a quiet run: no line, if nothing failed.
pub(crate) fn failures(report: &Report) -> Vec<Line> {
    // No failure contains the reason why a run was stopped.
    let stopped = report.run.stopped.iter().map(|_| last_line(report)).collect();
    [left(report), errors(report, None), stopped].concat()
}

/// The end of a failed platform's log.
fn tail(platform: &PlatformReport) -> Vec<Line> {
    let said = platform.log_tail.iter().rposition(|line| !line.is_empty()).map_or(0, |last| last + 1);
    if said == 0 {
        return Vec::new();
    }
    let heading = format!("the last {} of the log:", count(said, "line"));
    let lines = platform.log_tail.iter().take(said).map(|line| Line::from(format!("  {line}")));
    std::iter::once(Line::new().toned(Tone::Strong, heading)).chain(lines).collect()
}

/// The result of an image: its index, and its tags, grouped by their state.
fn results(image: &ImageReport) -> Vec<Line> {
    let unchanged = if image.is_unchanged() { ", nothing changed" } else { "" };
    let verified = image.verified.iter().map(|index| {
        let line = Line::new().toned(Tone::Strong, &image.image).then(" ").toned(Tone::Good, "verified");
        line.then(format!(" {index}{unchanged}"))
    });
    let loaded = image.loaded.iter().map(|loaded| loaded_line(image, loaded));
    let mut lines: Vec<Line> = verified.chain(loaded).collect();
    if lines.is_empty() {
        let any = |state| image.tags.iter().any(|tag| tag.state == state);
        let published = match (any(TagState::Put), any(TagState::Unknown)) {
            (true, _) => "partly published",
            (false, true) => "perhaps published",
            (false, false) => "not published",
        };
        let why = match (&image.not_joined, &image.withheld) {
            (Some(why), _) => format!("not joined: {why}"),
            (None, Some(why)) => format!("{published}: {why}"),
            (None, None) => published.to_owned(),
        };
        lines.push(Line::new().toned(Tone::Strong, &image.image).then(format!(" {why}")));
    }
    if image.not_joined.is_none() {
        let states = [
            (TagState::Put, "moved"),
            (TagState::Unchanged, "unchanged"),
            (TagState::Unknown, "perhaps moved"),
            (TagState::NotMoved, "not moved"),
        ];
        for (state, words) in states {
            let tags = image.tags.iter().filter(|tag| tag.state == state).map(|tag| tag.tag.to_string());
            lines.extend(together(tags).into_iter().map(|tags| Line::from(format!("  {words}: {tags}"))));
        }
    }
    let names = together(image.on_engine.iter().map(ToString::to_string));
    lines.extend(names.into_iter().map(|names| Line::from(format!("  on the engine: {names}"))));
    lines
}

/// `HOST/hello:1.0, latest`: one text for the names that differ only in their tag and follow each other.
fn together(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut texts: Vec<(String, String)> = Vec::new();
    for name in names {
        let (repository, tag) = name.rsplit_once(':').unwrap_or((&name, ""));
        match texts.last_mut() {
            Some((last, text)) if last == repository => *text = format!("{text}, {tag}"),
            _ => texts.push((repository.to_owned(), name)),
        }
    }
    texts.into_iter().map(|(_, text)| text).collect()
}

/// `hello loaded hello:1.0 on default: linux/amd64, linux/arm64`.
fn loaded_line(image: &ImageReport, loaded: &LoadedReport) -> Line {
    let platforms: Vec<_> = loaded.platforms.iter().map(ToString::to_string).collect();
    let line = Line::new().toned(Tone::Strong, &image.image).then(" ").toned(Tone::Good, "loaded");
    line.then(format!(" {} on {}: {}", loaded.name, loaded.engine, platforms.join(", ")))
}

fn warnings(report: &Report) -> Vec<Line> {
    let of_images = report.warnings.iter().filter(|warning| warning.image.is_some());
    let mut lines: Vec<Line> = of_images.flat_map(warning).collect();
    if report.warnings_dropped > 0 {
        lines.push(Line::new().toned(Tone::Warning, "warning:").then(format!(" {} more", report.warnings_dropped)));
    }
    lines
}

/// Each failure with its image and platform: the message, the lines of the file, the end of the log, the hint.
fn errors(report: &Report, width: Option<usize>) -> Vec<Line> {
    let tell = |whose: &str, failure: &Failure, log: Vec<Line>| {
        let message = Line::new().toned(Tone::Error, "error:").then(format!(" {whose}{}", failure.message));
        let at = failure.source.iter().flat_map(|at| excerpt(at, width));
        let hint = failure.hint.as_deref().map(diagnostic::hint);
        std::iter::once(message).chain(at).chain(log).chain(hint).collect::<Vec<_>>()
    };
    let mut told: Vec<_> = report.run.failures.iter().map(|failure| tell("", failure, Vec::new())).collect();
    for image in &report.images {
        for platform in &image.platforms {
            let whose = format!("{} {}: ", image.image, platform.platform);
            told.extend(platform.failure.iter().map(|failure| tell(&whose, failure, tail(platform))));
        }
        told.extend(image.failures.iter().map(|failure| tell(&format!("{}: ", image.image), failure, Vec::new())));
    }
    // Empty lines separate the failures if one of them has several parts.
    let is_long = told.iter().any(|lines| lines.len() > 2);
    if is_long { told.join(&Line::new()) } else { told.concat() }
}

/// The leftovers in registries.
fn left(report: &Report) -> Vec<Line> {
    let kinds = [
        (LeftoverKind::FinalTag, "moved before the failure"),
        (LeftoverKind::PerhapsFinalTag, "perhaps moved before the failure"),
        (LeftoverKind::ArchTag, "left in the registry"),
        (LeftoverKind::PerhapsArchTag, "perhaps left in the registry"),
        (LeftoverKind::Untagged, "left in the registry, without a tag"),
    ];
    let mut lines = Vec::new();
    for (kind, words) in kinds {
        let tags = report.leftovers.iter().filter(|leftover| leftover.kind == kind);
        lines.extend(tags.map(|leftover| Line::from(format!("{words}: {}", leftover.name))));
    }
    lines
}

fn last_line(report: &Report) -> Line {
    let seconds = duration(report.run.seconds);
    match (report.run.outcome, &report.run.stopped) {
        (Outcome::Succeeded | Outcome::Running, _) => format!("done in {seconds}").into(),
        (_, Some(why)) => {
            Line::new().toned(Tone::Error, format!("{why}, ended after {seconds} (exit code {})", report.run.exit_code))
        }
        (_, None) => {
            Line::new().toned(Tone::Error, format!("failed after {seconds} (exit code {})", report.run.exit_code))
        }
    }
}
