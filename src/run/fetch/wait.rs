//! `join --wait`: looks again and again until other jobs have pushed the images to join.

use std::time::Duration;

use futures::future::join_all;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::error::ConfirmError;
use crate::run::event::failure::chain;
use crate::run::event::image_reporter::ImageReporter;
use crate::run::event::job_events::HEARTBEAT;
use crate::run::event::{Event, ImageEvent};

/// The first pause between two attempts. Each pause is twice as long as the pause before it.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// How long polyarch waits for the sources of one image, and the receiver of the events.
pub(in crate::run) struct Wait<'a> {
    /// The image whose sources are missing.
    pub(in crate::run) image: &'a str,
    /// The longest wait.
    pub(in crate::run) limit: Duration,
    /// The receiver of the events that name the missing sources.
    pub(in crate::run) events: &'a mpsc::Sender<Event>,
}

/// A source to look for.
pub(in crate::run) struct Source<S> {
    /// The name of the source in messages: `ghcr.io/acme/hello:1.0-arm64`.
    pub(in crate::run) name: String,
    /// The argument for `look`.
    pub(in crate::run) what: S,
}

/// Looks for every source. With a wait, polyarch looks again for sources that may still come. When the last source has
/// come, polyarch looks once more for the sources that came before. The wait ends when all sources exist, when one source is wrong, or when the time is over. The result then has the last error of each
/// source.
pub(in crate::run) async fn look_for<'a, S, T, F>(
    sources: &'a [Source<S>],
    wait: Option<&Wait<'_>>,
    look: impl Fn(&'a S) -> F,
) -> Vec<Result<T, ConfirmError>>
where
    F: Future<Output = Result<T, ConfirmError>>,
{
    let Some(wait) = wait else {
        return join_all(sources.iter().map(|source| look(&source.what))).await;
    };
    let started = Instant::now();
    let (sender, missing) = watch::channel(Vec::new());
    let mut looking = std::pin::pin!(rounds(sources, wait, look, sender));
    let mut beat = started + HEARTBEAT;
    loop {
        tokio::select! {
            found = &mut looking => return found,
            () = sleep_until(beat) => {
                beat += HEARTBEAT;
                let missing = missing.borrow().clone();
                wait.report(missing, started.elapsed()).await;
            }
        }
    }
}

async fn rounds<'a, S, T, F>(
    sources: &'a [Source<S>],
    wait: &Wait<'_>,
    look: impl Fn(&'a S) -> F,
    sender: watch::Sender<Vec<String>>,
) -> Vec<Result<T, ConfirmError>>
where
    F: Future<Output = Result<T, ConfirmError>>,
{
    let started = Instant::now();
    let deadline = started + wait.limit;
    let mut found: Vec<Result<T, ConfirmError>> = sources.iter().map(|_| Err(ConfirmError::NoAnswer)).collect();
    let mut pause = PAUSE;
    loop {
        let earlier: Vec<bool> = found.iter().map(Result::is_ok).collect();
        let open = sources.iter().zip(&mut found).filter(|(_, found)| found.is_err());
        join_all(open.map(|(source, found)| attempt(deadline, look(&source.what), found))).await;
        if found.iter().all(Result::is_ok) {
            // Other jobs may have pushed the sources of earlier rounds again, so their tags may name newer images.
            let again = sources.iter().zip(&mut found).zip(earlier).filter(|(_, earlier)| *earlier);
            join_all(again.map(|((source, found), _)| attempt(deadline, look(&source.what), found))).await;
        }
        let errors = || found.iter().filter_map(|found| found.as_ref().err());
        let all_may_come = errors().all(ConfirmError::may_come);
        if errors().next().is_none() || !all_may_come || Instant::now() >= deadline {
            return found;
        }
        let missing = missing(sources, &found);
        if sender.send_if_modified(|last| std::mem::replace(last, missing.clone()) != missing) {
            wait.report(missing, started.elapsed()).await;
        }
        sleep_until(deadline.min(Instant::now() + pause)).await;
        pause = LONGEST_PAUSE.min(pause * 2);
    }
}

/// Looks once for a source. If the deadline interrupts this attempt, the result of the previous attempt counts.
async fn attempt<T>(
    deadline: Instant,
    looking: impl Future<Output = Result<T, ConfirmError>>,
    found: &mut Result<T, ConfirmError>,
) {
    if let Ok(seen) = timeout_at(deadline, looking).await {
        *found = seen;
    }
}

/// The missing sources. A source that exists but does not fit has the reason beside its name.
fn missing<S, T>(sources: &[Source<S>], found: &[Result<T, ConfirmError>]) -> Vec<String> {
    let names = sources.iter().zip(found).filter_map(|(source, found)| {
        let error = found.as_ref().err()?;
        Some(if error.is_missing() { source.name.clone() } else { format!("{} ({})", source.name, chain(error)) })
    });
    names.collect()
}

impl Wait<'_> {
    async fn report(&self, missing: Vec<String>, waited: Duration) {
        let what = ImageEvent::Waiting {
            missing: missing.into_iter().map(Into::into).collect(),
            seconds: waited.as_secs_f64(),
        };
        ImageReporter { image: self.image, events: self.events }.emit(what).await;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// Looks for the image `amd64`, whose argument is 0, and the image `arm64`, whose argument is 100. Returns the
    /// results and the reports. A report has the missing images and the seconds until then.
    async fn looked<F: Future<Output = Result<u64, ConfirmError>>>(
        limit: u64,
        look: impl Fn(u64) -> F,
    ) -> (Vec<Result<u64, ConfirmError>>, Vec<(Vec<String>, u64)>) {
        let (events, mut heard) = mpsc::channel(64);
        let sources = [("amd64", 0), ("arm64", 100)].map(|(name, what)| Source { name: name.to_owned(), what });
        let wait = Wait { image: "hello", limit: Duration::from_secs(limit), events: &events };
        let found = look_for(&sources, Some(&wait), |what| look(*what)).await;
        drop(events);
        let mut said = Vec::new();
        while let Some(Event::Image { what: ImageEvent::Waiting { missing, seconds }, .. }) = heard.recv().await {
            let seconds = Duration::from_secs_f64(seconds).as_secs();
            said.push((missing.iter().map(ToString::to_string).collect(), seconds));
        }
        (found, said)
    }

    #[tokio::test(start_paused = true)]
    async fn wait_names_missing_images_every_30_seconds() {
        let (started, looks) = (Instant::now(), Cell::new(0));
        let (found, said) = looked(1800, async |comes: u64| {
            looks.set(looks.get() + 1);
            if started.elapsed().as_secs() >= comes { Ok(comes) } else { Err(ConfirmError::NoAnswer) }
        })
        .await;
        assert!(matches!(found[..], [Ok(0), Ok(100)]), "{found:?}");
        let why = "arm64 (the registry did not answer in time)".to_owned();
        assert_eq!(said, [0, 30, 60, 90].map(|seconds| (vec![why.clone()], seconds)));
        // One source exists from the start, and polyarch looks for it at the start and at the end. The other source takes
        // 11 attempts: at 0, 1, 3, 7, 15, 30, 45, 60, 75, 90 and 105 seconds.
        assert_eq!(looks.get(), 13);
    }

    #[tokio::test(start_paused = true)]
    async fn wait_that_times_out_returns_the_last_result() {
        let started = Instant::now();
        let (found, _) =
            looked(20, async |comes: u64| if comes == 0 { Ok(0) } else { Err(ConfirmError::NoAnswer) }).await;
        assert!(matches!(found[..], [Ok(0), Err(ConfirmError::NoAnswer)]), "{found:?}");
        assert_eq!(started.elapsed().as_secs(), 20);
        // An attempt that never ends does not make the wait longer.
        let (found, _) = looked(20, async |_: u64| std::future::pending().await).await;
        assert!(matches!(found[..], [Err(ConfirmError::NoAnswer), Err(ConfirmError::NoAnswer)]), "{found:?}");
        assert_eq!(started.elapsed().as_secs(), 40);
    }

    #[tokio::test(start_paused = true)]
    async fn wait_reads_earlier_sources_again_when_the_last_one_comes() {
        let (started, reads) = (Instant::now(), Cell::new(0));
        let (found, _) = looked(60, async |comes: u64| match comes {
            0 => {
                reads.set(reads.get() + 1);
                // The image was pushed again during the wait.
                Ok(started.elapsed().as_secs())
            }
            _ if started.elapsed().as_secs() < 5 => Err(ConfirmError::NoAnswer),
            comes => Ok(comes),
        })
        .await;
        assert!(matches!(found[..], [Ok(7), Ok(100)]), "{found:?}");
        assert_eq!(reads.get(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn wait_ends_at_once_on_a_wrong_image() {
        let started = Instant::now();
        let (found, _) = looked(20, async |comes: u64| {
            Err(if comes == 0 { ConfirmError::NoPlatform } else { ConfirmError::NoAnswer })
        })
        .await;
        assert!(matches!(found[..], [Err(ConfirmError::NoPlatform), Err(ConfirmError::NoAnswer)]), "{found:?}");
        assert_eq!(started.elapsed().as_secs(), 0);
    }
}
