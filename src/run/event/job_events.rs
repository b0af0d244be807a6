//! Turns an engine's reports on a build into events of its job: safe texts, whole lines and signs of life.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::events::{Doing, Event, Failure, JobEvent, JobId, Transfer, Warning};
use super::log::Logs;
use crate::engine::BuildEvent;
use crate::text::{Redactor, Text};

/// How long a job may be silent before it reports that it still runs. CI systems end silent jobs.
pub(in crate::run) const HEARTBEAT: Duration = Duration::from_secs(30);

/// Sends the events of one job.
#[derive(Debug, Clone)]
pub(crate) struct JobReporter {
    pub(crate) job: JobId,
    pub(crate) events: mpsc::Sender<Event>,
    /// The secrets that no event may show.
    pub(crate) secrets: Arc<Redactor>,
}

impl JobReporter {
    /// Reports an event. If there is no listener any more, the run is over.
    pub(in crate::run) async fn emit(&self, what: JobEvent) {
        let what = self.hide(what);
        drop(self.events.send(Event::Job { job: self.job.clone(), what }).await);
    }

    /// Hides secrets in third-party texts. Log lines have no secrets at this point.
    fn hide(&self, what: JobEvent) -> JobEvent {
        let hide = |text| self.secrets.text(text);
        match what {
            JobEvent::StepStarted { step } => JobEvent::StepStarted { step: hide(step) },
            JobEvent::StepEnded { step, cached, seconds, error } => {
                JobEvent::StepEnded { step: hide(step), cached, seconds, error: error.map(hide) }
            }
            JobEvent::Retried { doing, attempt, wait, error } => {
                JobEvent::Retried { doing, attempt, wait, error: hide(error) }
            }
            JobEvent::Moved { from, reason } => JobEvent::Moved { from, reason: hide(reason) },
            JobEvent::Failed(Failure { phase, message, hint, source, cause }) => {
                let source = source.map(|mut source| {
                    source.text = source.text.into_iter().map(hide).collect();
                    source
                });
                JobEvent::Failed(Failure { phase, message: hide(message), hint: hint.map(hide), source, cause })
            }
            other => other,
        }
    }

    /// Sends a warning about this job's image and platform.
    pub(in crate::run) async fn warn(&self, message: String, hint: Option<String>) {
        let warning = Warning {
            image: Some(self.job.image.clone()),
            platform: Some(self.job.platform.clone()),
            message: self.secrets.text(message.into()),
            hint: hint.map(|hint| self.secrets.text(hint.into())),
        };
        drop(self.events.send(Event::Warning(warning)).await);
    }

    /// Awaits `work`, and reports every 30 s that it still runs.
    pub(in crate::run) async fn while_silent<T>(&self, doing: Doing, work: impl Future<Output = T>) -> T {
        let started = Instant::now();
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = tokio::time::sleep(HEARTBEAT) => {
                    self.emit(JobEvent::StillRunning { doing, seconds: started.elapsed().as_secs_f64() }).await;
                }
            }
        }
    }
}

/// Relays the events of a build until it ends.
pub(crate) async fn job_events(reporter: JobReporter, mut build: mpsc::Receiver<BuildEvent>) {
    let started = Instant::now();
    let mut logs = Logs::hiding(reporter.secrets.clone());
    let mut warned = HashSet::new();
    loop {
        let event = tokio::select! {
            event = build.recv() => event,
            () = tokio::time::sleep(HEARTBEAT) => {
                reporter.emit(JobEvent::StillRunning { doing: Doing::Building, seconds: started.elapsed().as_secs_f64() }).await;
                continue;
            }
        };
        match event {
            Some(BuildEvent::Log { step, bytes }) => {
                for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
                    if let Some(line) = logs.push(&step, piece) {
                        reporter.emit(JobEvent::Log { line }).await;
                    }
                }
            }
            Some(BuildEvent::Warning { message, url }) => {
                if warned.insert(message.clone()) {
                    reporter.warn(message, Some(url).filter(|url| !url.is_empty())).await;
                }
            }
            Some(BuildEvent::CacheMissing { at }) => {
                if warned.insert(at.clone()) {
                    let line = reporter.secrets.text(format!("there is no cache at {at} yet").into());
                    reporter.emit(JobEvent::Log { line }).await;
                }
            }
            Some(BuildEvent::CacheUnusable { at, error }) => {
                if warned.insert(at.clone()) {
                    let hint = "check that the engine reaches the registry of the cache, or log in with \
                                `docker login`; the build continues without the cache";
                    reporter.warn(format!("the cache at {at} cannot be used: {error}"), Some(hint.into())).await;
                }
            }
            Some(BuildEvent::StepStarted { step }) => reporter.emit(JobEvent::StepStarted { step: step.into() }).await,
            Some(BuildEvent::StepEnded { step, cached, seconds, error }) => {
                let error = error.map(Text::from);
                reporter.emit(JobEvent::StepEnded { step: step.into(), cached, seconds, error }).await;
            }
            Some(BuildEvent::Context { bytes }) => {
                reporter.emit(JobEvent::Progress { of: Transfer::Context, bytes, total: None }).await;
            }
            None => break,
        }
    }
    for line in logs.finish() {
        reporter.emit(JobEvent::Log { line }).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn silent_build_sends_a_heartbeat_every_30_seconds() {
        let (events, mut heard) = mpsc::channel(16);
        let reporter = JobReporter {
            job: JobId { image: "hello".into(), platform: "linux/arm64".parse().unwrap() },
            events,
            secrets: Arc::default(),
        };
        let (build, receiver) = mpsc::channel(1);
        let relaying = tokio::spawn(job_events(reporter, receiver));
        for beat in 1..=3_u32 {
            let Some(Event::Job { what: JobEvent::StillRunning { seconds, .. }, .. }) = heard.recv().await else {
                panic!("the job_events sent no `StillRunning` event")
            };
            assert!((seconds - 30.0 * f64::from(beat)).abs() < 1.0, "{seconds}");
        }
        drop(build);
        relaying.await.unwrap();
    }

    #[tokio::test]
    async fn secret_in_a_cache_location_is_hidden() {
        let (events, mut heard) = mpsc::channel(16);
        let secrets = Redactor::new([&b"hunter22"[..]]).into();
        let job = JobId { image: "hello".into(), platform: "linux/arm64".parse().unwrap() };
        let (build, receiver) = mpsc::channel(1);
        build.send(BuildEvent::CacheMissing { at: "registry.example/hunter22".to_owned() }).await.unwrap();
        drop(build);
        job_events(JobReporter { job, events, secrets }, receiver).await;
        let Some(Event::Job { what: JobEvent::Log { line }, .. }) = heard.recv().await else {
            panic!("the job_events sent no log line")
        };
        assert_eq!(line.to_string(), "there is no cache at registry.example/*** yet");
    }
}
