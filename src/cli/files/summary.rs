//! `GITHUB_STEP_SUMMARY`: what a run did, as Markdown (GitHub, "Adding a job summary").

use polyarch::oci::{DigestRef, Location};
use polyarch::run::{ImageReport, Outcome, Report};
use polyarch::text::Text;

use super::super::output::{duration, size};

/// GitHub takes 1 MiB a step.
const MAX_BYTES: usize = 1_000_000;

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
    }
    let withheld = report.images.iter().filter_map(|image| Some((&image.image, image.withheld.as_ref()?)));
    lines.extend(withheld.map(|(image, why)| format!("- ❌ {} not moved: {}", escaped(image), escaped(why))));
    lines.extend(report.failures().map(|failure| format!("- ❌ {}", escaped(&failure.message))));
    lines.extend(report.run.stopped.iter().map(|why| format!("- ❌ {}", escaped(why))));
    lines.push(String::new());
    bounded(lines)
}

/// A row a platform: of the builds, or of an index that was joined without one.
fn rows(image: &ImageReport) -> Vec<String> {
    let name = escaped(&image.image);
    let seconds = |time: Option<f64>| time.map(duration).unwrap_or_default();
    if image.platforms.is_empty() {
        let entries = image.index.iter().flat_map(|index| &index.entries);
        let row = |entry: &polyarch::oci::Entry| {
            format!("| {name} | {} | {} | `{}` | | |", entry.platform, size(entry.bytes), entry.digest)
        };
        return entries.map(row).collect();
    }
    let row = |platform: &polyarch::run::PlatformReport| {
        let bytes = platform.bytes.map(size).unwrap_or_default();
        let digest = platform.reference.as_ref().map(|reference| format!("`{}`", reference.digest)).unwrap_or_default();
        let (built, pushed) = (seconds(platform.build_seconds), seconds(platform.push_seconds));
        format!("| {name} | {} | {bytes} | {digest} | {built} | {pushed} |", platform.platform)
    };
    image.platforms.iter().map(row).collect()
}

/// Text of others as Markdown shows it: no table, no link and no HTML comes of it.
fn escaped(text: &str) -> String {
    let special = |c: char| c.is_ascii_punctuation() && !"-.,:/".contains(c);
    Text::line(text).chars().flat_map(|c| special(c).then_some('\\').into_iter().chain([c])).collect()
}

/// A name between backquotes. A backquote in the name would end it, so each becomes an apostrophe.
fn code(name: &impl ToString) -> String {
    format!("`{}`", Text::line(name.to_string()).replace('`', "'"))
}

/// Whole lines, as many as there is room for.
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
    use super::super::super::output::script::{failed, report, success};
    use super::*;

    #[test]
    fn a_run_is_a_table_and_its_images() {
        let text = markdown(&report(&success(), None));
        assert!(text.starts_with("### polyarch: done in "), "{text}");
        assert!(text.contains("\n| hello | linux/amd64 | ") && text.contains("| `sha256:"), "{text}");
        assert!(text.contains("\n- **hello** `127.0.0.1:5000/hello@sha256:"), "{text}");
        assert!(text.contains("` as `1.0`, `latest`\n"), "{text}");
        let text = markdown(&report(&failed(), None));
        assert!(text.starts_with("### polyarch: failed after ") && text.contains("\n- ❌ "), "{text}");
    }

    #[test]
    fn text_of_others_is_text() {
        assert_eq!(escaped("a|b <img> `c` [d](e)"), r"a\|b \<img\> \`c\` \[d\]\(e\)");
        let lines = vec!["x".repeat(MAX_BYTES / 2); 3];
        assert_eq!(bounded(lines).lines().count(), 1);
    }
}
