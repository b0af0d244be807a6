//! Sends every event with hostile text through all code that shows events, and checks that the output is harmless.

use std::collections::BTreeSet;
use std::time::Duration;

use polyarch::oci::{Digest, Entry, LocatedReference, Location, Selector, TagRef};
use polyarch::run::{
    Copied, Destination, Doing, Event, Execution, FailedLines, Failure, ImageEvent, JobEvent, JobId, JobSource, Phase,
    PlannedImage, PlannedJob, Repeated, Transfer, Warning,
};
use polyarch::text::Json as Document;

use super::json::Json;
use super::plain::{Plain, Quiet};
use super::script::{Memory, Script, report, tag};
use super::tty::{Size, Tty};
use super::view::{Display, Lost};
use crate::cli::args::values::Format;
use crate::cli::output::files;
use crate::cli::output::files::results::write_results;
use crate::cli::terminal::screen::{Groups, Narrowed};
use crate::cli::terminal::style::Color;

/// Texts that are commands for a terminal or a CI system if they are printed unchanged.
const HOSTILE: [&str; 11] = [
    "\x1b]52;c;cm0gLXJm\x07\x1b[2J\x1b[31m",
    "\x1b]8;;https://evil.example\x1b\\link\x1b]8;;\x1b\\",
    "over\rwritten\x08\x08\x7f",
    "a\n::set-output name=x::y\n::add-mask::o",
    "::stop-commands::x",
    "a##vso[task.setvariable variable=x]y",
    "a##[add-path]/evil\r\n##teamcity[buildStatus]",
    "a\nsection_start:1:x\ntravis_fold:start:x",
    "\u{9b}2J\u{9d}0;owned\u{9c}\u{85}",
    "\u{202e}gpj.exe\u{2066}\u{2028}::error::x\u{2029}\u{200b}",
    "`x`|<img src=x>](y)\nINJECTED=1\n| a | b |",
];
const COMMANDS: [&str; 6] = ["##[", "##vso[", "##teamcity[", "section_start:", "section_end:", "travis_fold:"];

/// One event of every kind.
pub(crate) fn events(hostile: &str) -> Vec<Event> {
    let text = || hostile.into();
    let image = || hostile.to_owned();
    let job = || JobId { image: image(), platform: "linux/amd64".parse().unwrap() };
    let (digest, to) = (Digest::of(b"x"), tag("hello:1.0"));
    let layout = format!("oci:{}:1.0", hostile.replace(':', ""));
    let place: TagRef<Location> = match layout.parse::<LocatedReference>() {
        Ok(LocatedReference { location, selector: Some(Selector::Tag(tag)) }) => location.tag(tag),
        _ => to.clone().into(),
    };
    let lines = || FailedLines { file: text(), line: 1, end_line: 1, first: 1, text: vec![text(), text()] };
    let failure = || {
        let mut failure = Failure::new(Phase::Build, text(), Some(text()));
        failure.source = Some(Box::new(lines()));
        failure
    };
    let copied = || Copied {
        to: text(),
        manifests: 1,
        manifests_present: 0,
        blobs: 1,
        blobs_mounted: 0,
        blobs_present: 0,
        bytes: 1,
    };
    let reference = to.repository.digest(digest.clone());
    let planned = |by, destination| PlannedJob { job: job(), by, destination, builds_on: vec![job()] };
    let jobs = vec![
        planned(JobSource::Engine { engine: text(), execution: Execution::Native }, Destination::ArchTag(to.clone())),
        planned(JobSource::Copy { from: text() }, Destination::Repository(to.repository.clone())),
    ];
    let images =
        vec![PlannedImage { image: image(), tags: vec![place.clone()], copies: vec![place.repository.clone()] }];
    let (seconds, bytes) = (1.0, 1);
    let jobs_do = [
        JobEvent::BuildStarted { engine: text(), execution: Execution::Emulated },
        JobEvent::Moved { from: text(), reason: text() },
        JobEvent::StepStarted { step: text() },
        JobEvent::StepEnded { step: text(), cached: false, seconds, error: Some(text()) },
        JobEvent::StepEnded { step: text(), cached: true, seconds, error: None },
        JobEvent::Log { line: text() },
        JobEvent::Progress { of: Transfer::Context, bytes, total: Some(2) },
        JobEvent::Built { id: digest.clone(), seconds, cached_steps: 0, steps: 1, context_bytes: bytes },
        JobEvent::PushStarted { to: to.clone() },
        JobEvent::Pushed { seconds, layers_pushed: 1 },
        JobEvent::Chosen { image: reference.clone(), bytes },
        JobEvent::CopyStarted { to: to.repository.clone() },
        JobEvent::Copied { seconds, copied: copied() },
        JobEvent::Confirmed { image: reference.clone(), bytes },
        JobEvent::Retried { doing: Repeated::Push, attempt: 1, wait: seconds, error: text() },
        JobEvent::StillRunning { doing: Doing::Building, seconds },
        JobEvent::NotBuilt { reason: text() },
        JobEvent::Cancelled,
        JobEvent::Failed(failure()),
    ];
    let entries = vec![Entry {
        attestations: vec![digest.clone()],
        platform: "linux/amd64".parse().unwrap(),
        digest: digest.clone(),
        bytes,
    }];
    let platforms = || vec!["linux/amd64".parse().unwrap()];
    let images_do = [
        ImageEvent::Waiting { missing: vec![text(), text()], seconds },
        ImageEvent::RepositoryCreated { repository: to.repository.clone(), by_us: true },
        ImageEvent::Fixed { tag: to.clone(), digest: digest.clone() },
        ImageEvent::Joined { digest: digest.clone(), media_type: text(), entries },
        ImageEvent::Copying { to: text(), bytes, total: 2 },
        ImageEvent::Copied(copied()),
        ImageEvent::ArchTagCopied { tag: place.clone(), unchanged: false },
        ImageEvent::ArchTagRemoved { tag: place.clone() },
        ImageEvent::Tagging { tag: place.clone() },
        ImageEvent::TagRefused { tag: place.clone() },
        ImageEvent::NotChecked { platforms: platforms(), reason: text() },
        ImageEvent::Tagged { tag: place.clone(), unchanged: false },
        ImageEvent::Verified { index: place.repository.digest(digest.clone()) },
        ImageEvent::TaggedOnEngine { name: text() },
        ImageEvent::Loaded { engine: text(), name: text(), id: digest, platforms: platforms() },
        ImageEvent::NotJoined { reason: text() },
        ImageEvent::Withheld { reason: text() },
        ImageEvent::Failed(failure()),
    ];
    let mut all = vec![Event::Started { images, jobs }];
    all.extend(jobs_do.map(|what| Event::Job { job: job(), what }));
    all.extend(images_do.map(|what| Event::Image { image: image(), what }));
    let warning = Warning { image: None, platform: None, message: text(), hint: Some(text()) };
    all.push(Event::Warning(Warning { image: Some(image()), ..warning.clone() }));
    all.push(Event::Warning(warning));
    all.push(Event::Stopping { reason: text() });
    all.push(Event::Failed(failure()));
    all
}

#[test]
fn hostile_events_are_of_every_kind() {
    let all = events("text");
    let sorted = |kinds: &[&'static str]| kinds.iter().copied().collect::<BTreeSet<_>>();
    let of_jobs = all.iter().filter_map(|event| match event {
        Event::Job { what, .. } => Some(what.kind()),
        _ => None,
    });
    let of_images = all.iter().filter_map(|event| match event {
        Event::Image { what, .. } => Some(what.kind()),
        _ => None,
    });
    assert_eq!(all.iter().map(Event::kind).collect::<BTreeSet<_>>(), sorted(Event::KINDS));
    assert_eq!(of_jobs.collect::<BTreeSet<_>>(), sorted(JobEvent::KINDS));
    assert_eq!(of_images.collect::<BTreeSet<_>>(), sorted(ImageEvent::KINDS));
    for event in &all {
        let json = serde_json::to_value(event).unwrap();
        assert_eq!(json["event"], event.kind());
        match event {
            Event::Job { what, .. } => assert_eq!(json["what"], what.kind()),
            Event::Image { what, .. } => assert_eq!(json["what"], what.kind()),
            _ => {}
        }
    }
}

/// `own` holds the commands that polyarch itself writes for the reader.
fn assert_harmless(shown: &str, own: &[&str], how: &str) {
    let shown = own.iter().fold(shown.to_owned(), |shown, own| shown.replace(own, ""));
    for c in shown.chars() {
        let drives = c.is_control() && !matches!(c, '\n' | '\t')
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}' | '\u{200b}');
        assert!(!drives, "{how}: {c:?} in {shown:?}");
    }
    let lower = shown.to_ascii_lowercase();
    for command in COMMANDS {
        assert!(!lower.contains(command), "{how}: {command} in {shown:?}");
    }
    for line in shown.lines() {
        assert!(!line.trim_start().starts_with("::"), "{how}: {line:?}");
        assert!(!line.starts_with("INJECTED"), "{how}: {line:?}");
    }
}

const COLOURS: [&str; 6] = ["\x1b[0m", "\x1b[1;31m", "\x1b[1;33m", "\x1b[32m", "\x1b[1m", "\x1b[2m"];

fn shown(script: &Script, display: impl FnOnce(Memory) -> Box<dyn Display>) -> String {
    let memory = Memory::default();
    let mut display = display(memory.clone());
    for (at, event) in script {
        display.event(Duration::from_millis(*at), event);
        display.tick(Duration::from_millis(*at));
    }
    display.lost(Duration::ZERO, Lost { lines: 7, events: 1 });
    display.finish(&report(script, None));
    memory.text()
}

#[test]
fn hostile_event_text_cannot_control_any_output() {
    for hostile in HOSTILE {
        let all: Script = (0..).step_by(100).zip(events(hostile)).collect();
        // Failures hide the published images. A second script without failures shows those images, too.
        let failing = |event: &Event| {
            matches!(
                event,
                Event::Failed(_)
                    | Event::Stopping { .. }
                    | Event::Job { what: JobEvent::Failed(_) | JobEvent::Cancelled | JobEvent::NotBuilt { .. }, .. }
                    | Event::Image {
                        what: ImageEvent::Failed(_) | ImageEvent::Withheld { .. } | ImageEvent::NotJoined { .. },
                        ..
                    }
            )
        };
        let good: Script = all.iter().filter(|(_, event)| !failing(event)).cloned().collect();
        for script in [&all, &good] {
            let quiet = shown(script, |out| Box::new(Quiet::new(out, Color::Off)));
            assert_harmless(&quiet, &[], "quiet");
            let plain = shown(script, |out| Box::new(Plain::new(out, Color::Off, Groups::None)));
            assert!(plain.contains("7 lines of logs and 1 other event were not shown"), "{plain}");
            assert_harmless(&plain, &[], "plain");
            let groups = shown(script, |out| Box::new(Plain::new(out, Color::Off, Groups::GitHub)));
            assert_harmless(&groups, &["::group::", "::endgroup::", "::error file="], "in groups");
            let coloured = shown(script, |out| Box::new(Plain::new(out, Color::On, Groups::None)));
            assert!(coloured.contains("\x1b["), "{coloured}");
            assert_harmless(&coloured, &COLOURS, "with colours");
            let size = Size { rows: 24, columns: 80 };
            let tty = shown(script, |out| Box::new(Tty::new(out, Box::new(move || size), Narrowed::Broken, Color::On)));
            // The live view moves the cursor to the first of its rows, and clears those rows.
            let moves = (1..10).map(|rows| format!("\r\x1b[{rows}A")).chain(["\x1b[K\n".into(), "\x1b[J".into()]);
            let still = moves.fold(tty, |tty, of_ours| tty.replace(&of_ours, ""));
            assert_harmless(&still, &COLOURS, "above the rows");
            let json = shown(script, |out| Box::new(Json::new(out)));
            assert_harmless(&json, &[], "JSON");
            assert!(json.lines().all(|line| line.starts_with('{')), "{json}");

            let report = report(script, None);
            assert_harmless(&Document::pretty(&report).unwrap(), &[], "the report");
            for format in [Format::Text, Format::Json] {
                let mut results = Vec::new();
                write_results(&mut results, &report, format).unwrap();
                assert_harmless(&String::from_utf8(results).unwrap(), &[], "results");
            }
            for (file, text) in files::texts(&report) {
                assert_harmless(&text, &[], file);
                let is_markdown = file == "GITHUB_STEP_SUMMARY";
                // Markdown shows a character after a backslash as it is (CommonMark, section 2.4).
                // So are all characters of an indented block (section 4.4).
                let shown: Vec<_> = text.lines().filter(|line| !line.starts_with("      ")).collect();
                let has_tag = shown.concat().replace("\\<", "").contains("<img");
                assert!(!is_markdown || !has_tag && !text.contains("\n| a |"), "{file}: {text}");
            }
        }
    }
}

#[test]
fn live_view_rows_contain_no_hostile_text() {
    for hostile in HOSTILE {
        let mut rows = super::rows::Rows::default();
        for event in events(hostile) {
            rows.event(Duration::ZERO, &event);
            for line in rows.lines(Duration::from_secs(1), 24, 200) {
                assert_harmless(&line.render(Color::Off), &[], "a row");
            }
        }
    }
}
