//! Holds scripted runs for the tests of the displays.

use std::time::{Duration, SystemTime};

use polyarch::oci::{Digest, Entry, Reference, Selector, TagRef};
use polyarch::run::{
    Destination, Doing, Event, EventSink, Execution, FailedLines, Failure, ImageEvent, JobEvent, JobId, JobSource,
    Phase, PlannedImage, PlannedJob, Repeated, Report, Transfer, Warning,
};

use super::view::Display;
use crate::cli::terminal::line::Line;
use crate::cli::terminal::style::Color;

/// Events, each with its time in milliseconds.
pub(crate) type Script = Vec<(u64, Event)>;

pub(crate) fn tag(name: &str) -> TagRef {
    let reference: Reference = format!("127.0.0.1:5000/{name}").parse().unwrap();
    let Selector::Tag(tag) = reference.selector else { panic!("{name} is not a tag") };
    reference.repository.tag(tag)
}

fn digest(of: &str) -> Digest {
    Digest::of(of.as_bytes())
}

pub(crate) fn job(image: &str, platform: &str) -> JobId {
    JobId { image: image.to_owned(), platform: platform.parse().unwrap() }
}

pub(crate) fn on(image: &str, platform: &str, what: JobEvent) -> Event {
    Event::Job { job: job(image, platform), what }
}

fn hello(arch: &str, what: JobEvent) -> Event {
    on("hello", &format!("linux/{arch}"), what)
}

fn image(what: ImageEvent) -> Event {
    Event::Image { image: "hello".to_owned(), what }
}

fn line(text: &str) -> JobEvent {
    JobEvent::Log { line: text.into() }
}

fn failure(phase: Phase, message: &str, hint: Option<&str>) -> Failure {
    Failure::new(phase, message.into(), hint.map(Into::into))
}

/// The start of a run of `hello` for amd64 and arm64, which is emulated.
pub(crate) fn started() -> Event {
    let planned = |arch: &str, execution| PlannedJob {
        job: job("hello", &format!("linux/{arch}")),
        by: JobSource::Engine { engine: "default".into(), execution },
        destination: Destination::ArchTag(tag(&format!("hello:1.0-{arch}"))),
        builds_on: Vec::new(),
    };
    Event::Started {
        images: vec![PlannedImage {
            image: "hello".to_owned(),
            tags: vec![tag("hello:1.0").into(), tag("hello:latest").into()],
            copies: Vec::new(),
        }],
        jobs: vec![planned("amd64", Execution::Native), planned("arm64", Execution::Emulated)],
    }
}

/// The start of a build where [`started`] planned it.
pub(crate) fn begun(platform: &str) -> JobEvent {
    let execution = if platform.ends_with("arm64") { Execution::Emulated } else { Execution::Native };
    JobEvent::BuildStarted { engine: "default".into(), execution }
}

pub(crate) fn step(name: &str) -> JobEvent {
    JobEvent::StepStarted { step: name.into() }
}

fn step_ended(name: &str, cached: bool, seconds: f64, error: Option<&str>) -> JobEvent {
    JobEvent::StepEnded { step: name.into(), cached, seconds, error: error.map(Into::into) }
}

fn built(arch: &str, seconds: f64, cached_steps: usize, context_bytes: u64) -> Event {
    hello(arch, JobEvent::Built { id: digest(arch), seconds, cached_steps, steps: 3, context_bytes })
}

fn pushed(at: u64, arch: &str, layers_pushed: usize) -> Script {
    let to = tag(&format!("hello:1.0-{arch}"));
    let by_digest = to.repository.digest(digest(arch));
    vec![
        (at, hello(arch, JobEvent::PushStarted { to })),
        (at + 300, hello(arch, JobEvent::Pushed { seconds: 0.3, layers_pushed })),
        (at + 350, hello(arch, JobEvent::Confirmed { image: by_digest, bytes: 12_345_678 })),
    ]
}

fn joined(at: u64) -> (u64, Event) {
    let entry = |arch: &str| Entry {
        attestations: Vec::new(),
        platform: format!("linux/{arch}").parse().unwrap(),
        digest: digest(arch),
        bytes: 12_345_678,
    };
    let media_type = "application/vnd.oci.image.index.v1+json".into();
    let entries = vec![entry("amd64"), entry("arm64")];
    (at, image(ImageEvent::Joined { digest: digest("index"), media_type, entries }))
}

fn tagged(at: u64, name: &str, unchanged: bool) -> (u64, Event) {
    (at, image(ImageEvent::Tagged { tag: tag(name).into(), unchanged }))
}

fn verified(at: u64) -> (u64, Event) {
    let index = tag("hello:1.0").repository.digest(digest("index")).into();
    (at, image(ImageEvent::Verified { index }))
}

fn warning(platform: &str) -> (u64, Event) {
    (
        1500,
        Event::Warning(Warning {
            image: Some("hello".to_owned()),
            platform: Some(platform.parse().unwrap()),
            message: "FromAsCasing: 'as' and 'FROM' keywords' casing do not match (Dockerfile:1)".into(),
            hint: None,
        }),
    )
}

/// Both platforms are built, pushed, joined and verified; BuildKit warns of the same thing on both.
pub(crate) fn success() -> Script {
    let mut script = vec![
        (0, started()),
        (
            0,
            Event::Warning(Warning {
                image: None,
                platform: None,
                message: "linux/arm64 is emulated on default".into(),
                hint: Some("name an engine of that platform under `engines:`".into()),
            }),
        ),
        (10, hello("amd64", begun("amd64"))),
        (10, hello("arm64", begun("arm64"))),
        (20, hello("amd64", step("[1/3] FROM scratch"))),
        (30, hello("amd64", step_ended("[1/3] FROM scratch", true, 0.0, None))),
        (40, hello("arm64", step("[2/3] RUN make"))),
        (50, hello("arm64", JobEvent::Progress { of: Transfer::Context, bytes: 20_480, total: None })),
        (60, hello("arm64", line("cc -o hello hello.c"))),
        warning("linux/amd64"),
        warning("linux/arm64"),
        (2010, built("amd64", 2.0, 1, 20_480)),
    ];
    script.extend(pushed(2020, "amd64", 2));
    script.push((30_040, hello("arm64", JobEvent::StillRunning { doing: Doing::Building, seconds: 30.0 })));
    script.push((62_000, hello("arm64", step_ended("[2/3] RUN make", false, 61.96, None))));
    script.push((62_010, built("arm64", 62.0, 0, 20_480)));
    script.extend(pushed(62_020, "arm64", 3));
    script.push(joined(62_400));
    script.push(tagged(62_500, "hello:1.0", false));
    script.push(tagged(62_600, "hello:latest", false));
    script.push(verified(62_700));
    script.push((62_800, image(ImageEvent::TaggedOnEngine { name: "hello:1.0".into() })));
    script
}

/// The same run again: everything exists already.
pub(crate) fn unchanged() -> Script {
    let mut script = vec![(0, started())];
    for arch in ["amd64", "arm64"] {
        script.push((10, hello(arch, begun(arch))));
        script.push((110, built(arch, 0.1, 3, 0)));
        script.extend(pushed(120, arch, 0));
    }
    script.push(joined(500));
    script.push(tagged(510, "hello:1.0", true));
    script.push(tagged(520, "hello:latest", true));
    script.push(verified(600));
    script
}

/// amd64 is pushed; then arm64 fails while it builds.
pub(crate) fn failed() -> Script {
    let mut script = vec![
        (0, started()),
        (10, hello("amd64", begun("amd64"))),
        (10, hello("arm64", begun("arm64"))),
        (20, hello("amd64", line("only arm64 is to blame"))),
        (2010, built("amd64", 2.0, 1, 20_480)),
    ];
    script.extend(pushed(2020, "amd64", 2));
    let why = "process \"/bin/sh -c make\" did not complete successfully: exit code: 2";
    script.push((2400, hello("arm64", line("cc -o hello hello.c"))));
    script.push((2410, hello("arm64", line("hello.c:1: error: expected ';'"))));
    script.push((2420, hello("arm64", line(""))));
    script.push((2450, hello("arm64", step_ended("[2/3] RUN make", false, 2.0, Some(why)))));
    let text = ["FROM scratch", "COPY . .", "RUN make \\", "  install", "CMD [\"/hello\"]"].map(Into::into).into();
    let source = Some(Box::new(FailedLines { file: "app/Dockerfile".into(), line: 3, end_line: 4, first: 1, text }));
    let mut failed =
        failure(Phase::Build, "engine default: step [2/3] ended with exit code 2", Some("run the step by hand"));
    failed.source = source;
    script.push((2500, hello("arm64", JobEvent::Failed(failed))));
    script
}

/// The name of a step, and a line of its file, that are wider than any terminal.
pub(super) const WIDE: &str = "[2/2] RUN one-of-many-things && one-of-many-things && one-of-many-things && one-of-many-things \
                               && one-of-many-things && one-of-many-things && one-of-many-things && the-end";

/// A step and a line that are [`WIDE`].
pub(super) fn wide() -> Script {
    let source = FailedLines { file: "Dockerfile".into(), line: 1, end_line: 1, first: 1, text: [WIDE.into()].into() };
    let mut failed = failure(Phase::Build, "it failed", None);
    failed.source = Some(Box::new(source));
    vec![
        (0, started()),
        (10, hello("amd64", step_ended(WIDE, true, 0.0, None))),
        (20, hello("amd64", step_ended(WIDE, false, 1.0, None))),
        (30, hello("arm64", step_ended(WIDE, false, 1.0, Some("it failed")))),
        (40, hello("arm64", JobEvent::Failed(failed))),
    ]
}

/// arm64 cannot be pushed, and the user ends the run while amd64 is being pushed.
pub(crate) fn interrupted() -> Script {
    let to = tag("hello:1.0-amd64");
    vec![
        (0, started()),
        (10, hello("amd64", begun("amd64"))),
        (10, hello("arm64", begun("arm64"))),
        (2010, built("amd64", 2.0, 3, 0)),
        (2020, hello("amd64", JobEvent::PushStarted { to })),
        (
            2500,
            hello(
                "amd64",
                JobEvent::Retried {
                    doing: Repeated::Push,
                    attempt: 1,
                    wait: 1.0,
                    error: "503 Service Unavailable".into(),
                },
            ),
        ),
        (2600, Event::Stopping { reason: "interrupted".into() }),
        (2700, hello("amd64", JobEvent::Cancelled)),
        (2700, hello("arm64", JobEvent::Cancelled)),
    ]
}

/// The first final tag moved; the second one was refused.
pub(crate) fn half_published() -> Script {
    let mut script = vec![(0, started())];
    for arch in ["amd64", "arm64"] {
        script.push((10, hello(arch, begun(arch))));
        script.push((1010, built(arch, 1.0, 0, 0)));
        script.extend(pushed(1020, arch, 1));
    }
    script.push(joined(1500));
    script.push(tagged(1600, "hello:1.0", false));
    let refused = failure(Phase::Publish, "cannot move 127.0.0.1:5000/hello:latest: 403 Forbidden", None);
    script.push((1700, image(ImageEvent::Failed(refused))));
    script
}

/// polyarch confirms both platforms, and the user wanted no index.
pub(crate) fn not_joined() -> Script {
    let mut script = vec![(0, started())];
    for arch in ["amd64", "arm64"] {
        script.push((1010, built(arch, 1.0, 0, 0)));
        script.extend(pushed(1020, arch, 1));
    }
    script.push((1500, image(ImageEvent::NotJoined { reason: "--no-join".into() })));
    script
}

/// The engine builds both platforms, and the user wanted no push.
pub(crate) fn not_pushed() -> Script {
    let mut script = vec![(0, started()), (1010, built("amd64", 1.0, 0, 0)), (1010, built("arm64", 1.0, 0, 0))];
    script.push((1500, image(ImageEvent::NotJoined { reason: "--no-push".into() })));
    script
}

/// polyarch can use no engine.
pub(crate) fn refused() -> Script {
    let message = "ping engine default at unix:///var/run/docker.sock: connection refused";
    vec![(100, Event::Failed(failure(Phase::Preflight, message, Some("start the Docker Engine"))))]
}

/// The report of a script that ended with `exit_code`, or with the exit code of its events.
pub(crate) fn report(script: &Script, exit_code: Option<u8>) -> Report {
    let mut report = Report::new(SystemTime::UNIX_EPOCH);
    play(script, &mut report);
    let end = script.last().map_or(0, |(at, _)| *at);
    let exit_code = exit_code.unwrap_or(report.exit_code());
    report.finish(Duration::from_millis(end), exit_code);
    report
}

/// Plays a script's events.
pub(crate) fn play(script: &Script, sink: &mut dyn EventSink) {
    for (at, event) in script {
        sink.event(Duration::from_millis(*at), event);
    }
}

/// Plays a script and its ending.
pub(crate) fn show(script: &Script, exit_code: Option<u8>, mut display: impl Display) {
    play(script, &mut display);
    display.finish(&report(script, exit_code));
}

/// The text that a display writes for a script: `display` makes one that writes to memory.
pub(crate) fn written<D: Display>(script: &Script, exit_code: Option<u8>, display: impl FnOnce(Memory) -> D) -> String {
    let memory = Memory::default();
    show(script, exit_code, display(memory.clone()));
    memory.text()
}

/// The text of lines without colour.
pub(crate) fn plain(lines: &[Line]) -> Vec<String> {
    lines.iter().map(|line| line.render(Color::Off)).collect()
}

/// A writer that keeps its text.
#[derive(Debug, Clone, Default)]
pub(crate) struct Memory(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

impl Memory {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl std::io::Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
