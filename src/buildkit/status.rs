//! Translates `Control.Status` of a build into polyarch's events.

use std::collections::HashMap;

use bollard::moby::buildkit::v1::{StatusResponse, Vertex, VertexLog, VertexStatus};

use super::fault::FailedStep;

/// An event of a build. Texts are BuildKit's and not safe for a terminal.
#[derive(Debug, Clone, PartialEq)]
pub enum BuildEvent {
    /// A step began.
    StepStarted {
        /// BuildKit's name of the step.
        step: String,
    },
    /// A step ended.
    StepEnded {
        /// BuildKit's name of the step.
        step: String,
        /// Whether the result came from the cache.
        cached: bool,
        /// The duration of the step, in seconds.
        seconds: f64,
        /// The error of a failed step.
        error: Option<String>,
    },
    /// Bytes that a step printed, cut at any place.
    Log {
        /// BuildKit's digest of the step. It separates the lines of one step from those of another.
        step: String,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// The bytes of the context that the engine has received so far.
    Context {
        /// The bytes.
        bytes: u64,
    },
    /// The engine found no cache to import, as before the first export. The build continues.
    CacheMissing {
        /// The place of the search.
        at: String,
    },
    /// The engine could not import a cache. The build continues.
    CacheUnusable {
        /// The place of the cache.
        at: String,
        /// The reason.
        error: String,
    },
    /// A finding of BuildKit's lint, or a deprecation.
    Warning {
        /// The text, in one line.
        message: String,
        /// A page with more about the finding.
        url: String,
    },
}

/// The counts of a finished build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BuildSummary {
    /// The steps with a result from the cache.
    pub cached_steps: usize,
    /// All steps.
    pub steps: usize,
}

/// Tracks the steps of one build. BuildKit sends a vertex again with every change.
#[derive(Debug, Default)]
pub(super) struct Steps {
    seen: HashMap<String, StepState>,
    context: HashMap<String, u64>,
    starts: StartFailures,
    export_failed: bool,
    failed: Vec<FailedStep>,
}

/// The most failed steps that polyarch keeps.
const MOST_FAILED: usize = 16;
/// The error of a step that BuildKit ended because another step failed.
const CANCELED: &str = "context canceled";

/// `BuildKit`'s names of the steps that import a cache (before its reference) and export one.
const IMPORT: &str = "importing cache manifest from ";
const EXPORT: &str = "exporting cache";

/// The reason why the kernel did not start a program, as the runtime prints it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotStarted {
    /// The file is not a program of this platform (`ENOEXEC`).
    Format,
    /// The program exists, but the interpreter that its first line or its header names does not (`ENOENT`). For a
    /// program that does not exist, the runtime prints another message before it starts the program.
    Interpreter,
}

/// Whether a log reported that a program did not start, wherever its bytes were cut.
#[derive(Debug, Default)]
struct StartFailures {
    failed: Option<NotStarted>,
    tail: Vec<u8>,
}

const EXEC_FORMAT: &[u8] = b"exec format error";
const NO_SUCH_FILE: &[u8] = b": no such file or directory";
/// The beginning of a line of runc that ends with the text above. Before 1.1 runc printed the second text within the
/// line.
const EXEC: &[u8] = b"exec /";
const OLD_EXEC: &[u8] = b"exec user process caused";
/// The bytes of a log that are kept to find a text that was cut.
const MOST_TAIL: usize = 512;

impl StartFailures {
    fn look(&mut self, bytes: &[u8]) {
        if self.failed.is_some() {
            return;
        }
        self.tail.extend_from_slice(bytes);
        self.failed = not_started(&self.tail);
        let keep = self.tail.len().saturating_sub(MOST_TAIL);
        self.tail.drain(..keep);
    }
}

fn not_started(log: &[u8]) -> Option<NotStarted> {
    let has = |text: &[u8], words: &[u8]| text.windows(words.len()).any(|window| window == words);
    if has(log, EXEC_FORMAT) {
        return Some(NotStarted::Format);
    }
    let is_exec =
        |line: &[u8]| line.trim_ascii_end().ends_with(NO_SUCH_FILE) && (line.starts_with(EXEC) || has(line, OLD_EXEC));
    log.split(|byte| *byte == b'\n').any(is_exec).then_some(NotStarted::Interpreter)
}

#[derive(Debug, Default)]
struct StepState {
    name: String,
    progress: StepProgress,
    cached: bool,
}

#[derive(Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum StepProgress {
    #[default]
    Waiting,
    Started,
    Ended,
    Failed,
}

impl Steps {
    /// The new events in `status`.
    pub(super) fn take(&mut self, status: StatusResponse) -> Vec<BuildEvent> {
        let mut events = Vec::new();
        for vertex in status.vertexes {
            self.vertex(vertex, &mut events);
        }
        for progress in status.statuses {
            events.extend(self.progress(&progress));
        }
        for VertexLog { vertex, msg, .. } in status.logs {
            self.starts.look(&msg);
            events.push(BuildEvent::Log { step: vertex, bytes: msg });
        }
        for warning in status.warnings {
            let message = String::from_utf8_lossy(&warning.short).into_owned();
            events.push(BuildEvent::Warning { message, url: warning.url });
        }
        events
    }

    pub(super) fn summary(&self) -> BuildSummary {
        let steps = || self.seen.values().filter(|s| is_step(&s.name) && s.progress > StepProgress::Waiting);
        BuildSummary { cached_steps: steps().filter(|s| s.cached).count(), steps: steps().count() }
    }

    pub(super) fn not_started(&self) -> Option<NotStarted> {
        self.starts.failed
    }

    /// The failed steps of the Dockerfile, in order.
    pub(super) fn failed(&self) -> &[FailedStep] {
        &self.failed
    }

    /// Whether the export of a cache failed.
    pub(super) fn failed_to_export_cache(&self) -> bool {
        self.export_failed
    }

    fn vertex(&mut self, vertex: Vertex, events: &mut Vec<BuildEvent>) {
        let seen = self.seen.entry(vertex.digest).or_default();
        seen.name.clone_from(&vertex.name);
        seen.cached |= vertex.cached;
        let shown = !is_internal(&vertex.name);
        if vertex.started.is_some() && seen.progress < StepProgress::Started {
            seen.progress = StepProgress::Started;
            // A cached step begins and ends at once, so the event for its end is enough.
            if shown && !vertex.cached {
                events.push(BuildEvent::StepStarted { step: vertex.name.clone() });
            }
        }
        let error = Some(vertex.error).filter(|error| !error.is_empty());
        let progress = if error.is_some() { StepProgress::Failed } else { StepProgress::Ended };
        // A step may end and start again for another build that shares it. Only its first end counts for this build. A
        // cached step may still fail if the engine has to recreate its result.
        if let Some(completed) = vertex.completed
            && (seen.progress < StepProgress::Ended || seen.progress < progress)
        {
            seen.progress = progress;
            let seconds = vertex.started.map_or(0.0, |started| {
                seconds_between((started.seconds, started.nanos), (completed.seconds, completed.nanos))
            });
            self.export_failed |= error.is_some() && vertex.name.starts_with(EXPORT);
            if let Some(error) = error.as_ref().filter(|error| is_step(&vertex.name) && !error.contains(CANCELED)) {
                let step = FailedStep { name: vertex.name.clone(), error: error.clone() };
                self.failed.extend((self.failed.len() < MOST_FAILED).then_some(step));
            }
            if let (Some(at), Some(error)) = (vertex.name.strip_prefix(IMPORT), &error) {
                events.push(not_imported(at, error));
            } else if shown {
                let cached = seen.cached && error.is_none();
                events.push(BuildEvent::StepEnded { step: vertex.name, cached, seconds, error });
            }
        }
    }

    /// Reads `transferring context:` and similar lines: the bytes that the file sync transferred.
    fn progress(&mut self, status: &VertexStatus) -> Option<BuildEvent> {
        let transfer = status.id.starts_with("transferring") || status.name.starts_with("transferring");
        let bytes = u64::try_from(status.current).ok().filter(|bytes| transfer && *bytes > 0)?;
        let known = self.context.entry(status.vertex.clone()).or_default();
        if *known == bytes {
            return None;
        }
        *known = bytes;
        Some(BuildEvent::Context { bytes: self.context.values().sum() })
    }
}

/// `BuildKit` continues without a cache that it cannot import.
fn not_imported(at: &str, error: &str) -> BuildEvent {
    let at = at.to_owned();
    // containerd's text for a 404 of a registry.
    if error.ends_with("not found") {
        return BuildEvent::CacheMissing { at };
    }
    BuildEvent::CacheUnusable { at, error: error.to_owned() }
}

/// Whether BuildKit's own preparation has this name, not a step of the Dockerfile.
fn is_internal(name: &str) -> bool {
    name.starts_with("[internal]")
}

/// Whether this is the name of a Dockerfile's step: `[2/5] RUN make`, `[build 2/5] …`.
fn is_step(name: &str) -> bool {
    let numbers = name.strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(inside, _)| inside);
    let fraction = numbers.and_then(|n| n.rsplit(' ').next()?.split_once('/'));
    fraction.is_some_and(|(number, of)| number.parse::<u32>().is_ok() && of.parse::<u32>().is_ok())
}

/// The time between two protobuf times, which have whole seconds and nanoseconds.
#[expect(clippy::cast_precision_loss, reason = "a build's length in nanoseconds fits 53 bits for 104 days")]
fn seconds_between(start: (i64, i32), end: (i64, i32)) -> f64 {
    let nanoseconds =
        end.0.saturating_sub(start.0).saturating_mul(1_000_000_000) + i64::from(end.1) - i64::from(start.1);
    nanoseconds.max(0) as f64 / 1e9
}

#[cfg(test)]
#[expect(clippy::default_trait_access, reason = "bollard exports no path to the type of a timestamp")]
mod tests {
    use super::*;

    fn log(bytes: &[u8]) -> StatusResponse {
        StatusResponse {
            logs: vec![VertexLog { msg: bytes.to_vec(), ..VertexLog::default() }],
            ..StatusResponse::default()
        }
    }

    fn vertex(name: &str, cached: bool) -> Vertex {
        Vertex { digest: name.into(), name: name.into(), cached, ..Vertex::default() }
    }

    #[test]
    fn exec_format_error_is_found_across_split_log_parts() {
        for cut in 0..=EXEC_FORMAT.len() {
            let mut steps = Steps::default();
            steps.take(log(b"exec /bin/sh: "));
            steps.take(log(&EXEC_FORMAT[..cut]));
            steps.take(log(&EXEC_FORMAT[cut..]));
            assert_eq!(steps.not_started(), Some(NotStarted::Format), "cut at {cut}");
        }
        let mut steps = Steps::default();
        steps.take(log(b"exec format eror"));
        assert_eq!(steps.not_started(), None);
    }

    #[test]
    fn missing_interpreter_is_found_across_split_log_parts() {
        let line = b"one\nexec /go.sh: no such file or directory\r\n";
        for cut in 0..=line.len() {
            let mut steps = Steps::default();
            steps.take(log(&[b'x'; 2 * MOST_TAIL]));
            steps.take(log(b"\n"));
            steps.take(log(&line[..cut]));
            steps.take(log(&line[cut..]));
            assert_eq!(steps.not_started(), Some(NotStarted::Interpreter), "cut at {cut}");
        }
        let old = b"standard_init_linux.go:228: exec user process caused: no such file or directory";
        assert_eq!(not_started(old), Some(NotStarted::Interpreter));
        for other in ["cat: /x: no such file or directory", "exec /x", "# exec /x: no such file or directory, hm"] {
            assert_eq!(not_started(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn step_count_includes_only_dockerfile_steps() {
        for (name, counts) in [
            ("[1/2] FROM scratch", true),
            ("[ 2/12] RUN make", true),
            ("[linux/arm64 2/5] RUN make", true),
            ("[build 3/3] COPY . .", true),
            ("[internal] load build context", false),
            ("exporting to image", false),
        ] {
            assert_eq!(is_step(name), counts, "{name}");
        }
    }

    #[test]
    fn missing_cache_fails_no_step() {
        let missing = BuildEvent::CacheMissing { at: "r:5000/a:c".into() };
        let unusable = BuildEvent::CacheUnusable { at: "r:5000/a:c".into(), error: "403 Forbidden".into() };
        for (error, event) in [("r:5000/a:c: not found", missing), ("403 Forbidden", unusable)] {
            let vertex = Vertex {
                started: Some(Default::default()),
                completed: Some(Default::default()),
                error: error.into(),
                ..vertex("importing cache manifest from r:5000/a:c", false)
            };
            let status = StatusResponse { vertexes: vec![vertex], ..StatusResponse::default() };
            let mut steps = Steps::default();
            assert_eq!(steps.take(status)[1..], [event]);
            assert!(!steps.failed_to_export_cache());
        }
    }

    #[test]
    fn failing_step_that_seemed_cached_is_reported_once() {
        let ended = |error: &str| Vertex {
            started: Some(Default::default()),
            completed: Some(Default::default()),
            error: error.into(),
            ..vertex("[2/3] COPY a b", error.is_empty())
        };
        let status = |error: &str| StatusResponse { vertexes: vec![ended(error)], ..StatusResponse::default() };
        let mut steps = Steps::default();
        assert_eq!(steps.take(status("")).len(), 1);
        let [BuildEvent::StepEnded { cached: false, error: Some(_), .. }] = &steps.take(status("not found"))[..] else {
            panic!("the step did not fail");
        };
        assert!(steps.take(status("not found")).is_empty());
        assert_eq!(steps.failed(), [FailedStep { name: "[2/3] COPY a b".into(), error: "not found".into() }]);
        let mut steps = Steps::default();
        steps.take(status("context canceled"));
        assert_eq!(steps.failed(), []);
    }

    #[test]
    fn repeated_step_status_gives_one_start_and_one_end() {
        // A cached step only ends.
        for (cached, events) in [(false, 2), (true, 1)] {
            let mut steps = Steps::default();
            let status = || {
                let times = Vertex {
                    started: Some(Default::default()),
                    completed: Some(Default::default()),
                    ..vertex("[1/1] COPY a b", cached)
                };
                StatusResponse { vertexes: vec![times.clone(), times], ..StatusResponse::default() }
            };
            assert_eq!(steps.take(status()).len(), events);
            assert!(steps.take(status()).is_empty());
            assert_eq!(steps.summary(), BuildSummary { cached_steps: cached.into(), steps: 1 });
        }
    }
}
