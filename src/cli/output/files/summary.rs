//! Writes `GITHUB_STEP_SUMMARY`: a summary of the run as Markdown (GitHub, "Adding a job summary").

use polyarch::oci::{DigestRef, Location, Platform};
use polyarch::run::{
    Destination, FailureOf, ImageReport, JobSource, LoadedReport, Outcome, PlatformReport, Report, Status, Warning,
};
use polyarch::text::Text;

use crate::cli::terminal::style::{duration, size};
use crate::cli::terminal::table;

/// GitHub takes at most 1 MiB for each step.
const MAX_BYTES: usize = 1_000_000;
/// The most warnings that the summary shows. The log has all of them.
const MAX_WARNINGS: usize = 50;

/// The section of one run.
pub(super) fn markdown(report: &Report) -> String {
    let seconds = duration(report.run.seconds);
    let ended = match report.run.outcome {
        Outcome::Succeeded => format!("done in {seconds}"),
        _ => format!("failed after {seconds} (exit code {})", report.run.exit_code),
    };
    let mut lines = vec![format!("### polyarch: {ended}"), String::new()];
    let rows: Vec<_> = report.images.iter().flat_map(rows).collect();
    if !rows.is_empty() {
        lines.push("| image | platform | size | digest | built | pushed |\n|---|---|---:|---|---:|---:|".to_owned());
        lines.extend(rows);
        lines.push(String::new());
    }
    for image in &report.images {
        let line = |index: &DigestRef<Location>| {
            let own = image.tags.iter().filter(|tag| tag.tag.repository == index.repository);
            let tags: Vec<_> = own.map(|tag| format!("`{}`", tag.tag.tag)).collect();
            format!("- **{}** {} as {}", escaped(&image.image), code(index), tags.join(", "))
        };
        lines.extend(image.verified.iter().map(line));
        let name = escaped(&image.image);
        let loaded =
            |one: &LoadedReport| format!("- **{name}** {} on engine {}", escaped(&one.name), escaped(&one.engine));
        lines.extend(image.loaded.iter().map(loaded));
        lines.extend(image.not_joined.iter().map(|why| format!("- **{name}** not joined: {}", escaped(why))));
    }
    let withheld = report.images.iter().filter_map(|image| Some((&image.image, image.withheld.as_ref()?)));
    lines.extend(withheld.map(|(image, why)| format!("- ❌ {} not moved: {}", escaped(image), escaped(why))));
    lines.extend(report.run.all_failures.iter().flat_map(|failure| failed(report, failure)));
    lines.extend(report.run.stopped.iter().map(|why| format!("- ❌ {}", escaped(why))));
    lines.extend(report.warnings.iter().take(MAX_WARNINGS).flat_map(warned));
    let more = report.warnings.len().saturating_sub(MAX_WARNINGS) + report.warnings_dropped;
    lines.extend((more > 0).then(|| format!("- ⚠ {more} more warnings in the log")));
    lines.push(String::new());
    bounded(lines)
}

/// A row for each platform: for the builds, or for the entries of an index that was joined without a build.
fn rows(image: &ImageReport) -> Vec<String> {
    let name = escaped(&image.image);
    if image.platforms.is_empty() {
        let entries = image.index.iter().flat_map(|index| &index.entries);
        let row = |entry: &polyarch::oci::Entry| {
            format!("| {name} | {} | {} | `{}` | – | – |", entry.platform, size(entry.bytes), entry.digest)
        };
        return entries.map(row).collect();
    }
    let row = |platform: &PlatformReport| {
        let bytes = platform.bytes.map_or_else(|| "–".to_owned(), size);
        let digest = platform.reference.as_ref().map_or_else(|| "–".to_owned(), |one| format!("`{}`", one.digest));
        let (built, pushed) = (built(platform), pushed(platform));
        format!("| {name} | {} | {bytes} | {digest} | {built} | {pushed} |", platform.platform)
    };
    image.platforms.iter().map(row).collect()
}

fn built(platform: &PlatformReport) -> String {
    match platform.by {
        JobSource::Engine { .. } => table::built(platform),
        JobSource::Copy { .. } => "imported".to_owned(),
    }
}

/// No cell is empty, because a reader could take an empty cell for a mistake.
fn pushed(platform: &PlatformReport) -> String {
    match (&platform.destination, platform.status) {
        (_, Status::Built | Status::Chosen) => "not pushed".to_owned(),
        (Destination::Repository(_), Status::Confirmed) if platform.push_seconds.is_none() => "by the build".to_owned(),
        _ => Some(table::pushed(platform)).filter(|cell| !cell.is_empty()).unwrap_or_else(|| "–".to_owned()),
    }
}

/// A failure with its image and platform, its lines and the end of its log. Indented text is always code (`CommonMark`,
/// section 4.4).
fn failed(report: &Report, FailureOf { image, platform, failure }: &FailureOf) -> Vec<String> {
    let mut lines = vec![format!("- ❌ {}{}", whose(image.as_ref(), platform.as_ref()), escaped(&failure.message))];
    let of_platform = report.images.iter().filter(|one| Some(&one.image) == image.as_ref());
    let log = of_platform.flat_map(|one| &one.platforms).filter(|one| Some(&one.platform) == platform.as_ref());
    let log = log.flat_map(|one| &one.log_tail).map(|line| format!("      {line}"));
    let source = failure.source.iter().flat_map(|source| {
        let place = format!("      {}:{}", source.file, source.line);
        let marked = source.text.iter().zip(source.first..).map(|(text, number)| {
            let mark = if (source.line..=source.end_line).contains(&number) { '>' } else { ' ' };
            format!("      {number:4} {mark} {text}")
        });
        std::iter::once(place).chain(marked)
    });
    let code: Vec<_> = source.chain(log).collect();
    if !code.is_empty() {
        lines.push(String::new());
        lines.extend(code);
        lines.push(String::new());
    }
    lines.extend(failure.hint.as_ref().map(|hint| format!("  {}", escaped(hint))));
    lines
}

fn warned(Warning { image, platform, message, hint }: &Warning) -> Vec<String> {
    let message = format!("- ⚠ {}{}", whose(image.as_ref(), platform.as_ref()), escaped(message));
    std::iter::once(message).chain(hint.as_ref().map(|hint| format!("  {}", escaped(hint)))).collect()
}

/// `**hello linux/arm64**: `, or nothing if the text concerns the whole run.
fn whose(image: Option<&String>, platform: Option<&Platform>) -> String {
    let whose: Vec<_> = [image.cloned(), platform.map(ToString::to_string)].into_iter().flatten().collect();
    if whose.is_empty() { String::new() } else { format!("**{}**: ", escaped(&whose.join(" "))) }
}

/// Third-party text, escaped so that it makes no table, no link and no HTML.
fn escaped(text: &str) -> String {
    let special = |c: char| c.is_ascii_punctuation() && !"-.,:/".contains(c);
    Text::line(text).chars().flat_map(|c| special(c).then_some('\\').into_iter().chain([c])).collect()
}

/// A name between backquotes. A backquote in the name would end it, so each becomes an apostrophe.
fn code(name: &impl ToString) -> String {
    format!("`{}`", Text::line(name.to_string()).replace('`', "'"))
}

/// As many whole lines as fit.
fn bounded(lines: Vec<String>) -> String {
    let mut text = String::new();
    for line in lines {
        if text.len() + line.len() >= MAX_BYTES {
            break;
        }
        text.push_str(&line);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output::display::script::{
        failed, interrupted, not_joined, not_pushed, report, success, unchanged,
    };

    #[test]
    fn summary_shows_a_table_and_the_images() {
        let text = markdown(&report(&success(), None));
        assert!(text.starts_with("### polyarch: done in "), "{text}");
        assert!(text.contains("\n| hello | linux/amd64 | ") && text.contains("| `sha256:"), "{text}");
        assert!(text.contains("\n- **hello** `127.0.0.1:5000/hello@sha256:"), "{text}");
        assert!(text.contains("` as `1.0`, `latest`\n"), "{text}");
        let text = markdown(&report(&failed(), None));
        assert!(text.starts_with("### polyarch: failed after "), "{text}");
        for part in [
            "\n- ❌ **hello linux/arm64**: engine default: step \\[2/3\\] ended with exit code 2\n",
            "\n      app/Dockerfile:3\n",
            "\n         3 > RUN make \\\n",
            "\n      hello.c:1: error: expected ';'\n",
            "\n  run the step by hand\n",
        ] {
            assert!(text.contains(part), "{part:?} is not in\n{text}");
        }
    }

    #[test]
    fn summary_cells_are_true_when_nothing_was_pushed() {
        let text = markdown(&report(&not_pushed(), None));
        assert!(text.contains("\n| hello | linux/arm64 | – | – | 1.0s | not pushed |\n"), "{text}");
        assert!(text.contains("\n- **hello** not joined: --no-push\n"), "{text}");
        let text = markdown(&report(&failed(), None));
        assert!(text.contains("\n| hello | linux/arm64 | – | – | failed | – |\n"), "{text}");
        for script in [success(), unchanged(), failed(), interrupted(), not_joined(), not_pushed()] {
            let text = markdown(&report(&script, None));
            let rows: Vec<_> = text.lines().filter(|line| line.starts_with("| hello")).collect();
            assert_eq!(rows.len(), 2, "{text}");
            assert!(rows.iter().all(|row| row.split('|').filter(|cell| cell.trim().is_empty()).count() == 2), "{text}");
        }
    }

    #[test]
    fn summary_shows_warnings_and_counts_those_beyond_the_limit() {
        let mut report = report(&success(), None);
        let warning = |nth: usize| Warning {
            image: Some("hello".to_owned()),
            platform: None,
            message: format!("warning <{nth}>").into(),
            hint: Some("act".into()),
        };
        report.warnings = (0..MAX_WARNINGS + 2).map(warning).collect();
        report.warnings_dropped = 3;
        let text = markdown(&report);
        assert!(text.contains("\n- ⚠ **hello**: warning \\<0\\>\n  act\n"), "{text}");
        assert!(text.ends_with("\n- ⚠ 5 more warnings in the log\n\n"), "{text}");
        assert_eq!(text.matches("- ⚠ **").count(), MAX_WARNINGS);
    }

    #[test]
    fn summary_escapes_third_party_text() {
        assert_eq!(escaped("a|b <img> `c` [d](e)"), r"a\|b \<img\> \`c\` \[d\]\(e\)");
        let lines = vec!["x".repeat(MAX_BYTES / 2); 3];
        assert_eq!(bounded(lines).lines().count(), 1);
    }
}
