//! The only place that decides on retries: which failures, when, and how often.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::notice::{Notice, Retry};
use crate::random;
use crate::registry::error::{ErrorKind, RegistryError, Waiting};

/// How long just-written content may stay invisible (read after write).
const INVISIBLE: Duration = Duration::from_secs(10);
/// The first wait for such content, doubled each time, …
const INVISIBLE_BASE: Duration = Duration::from_millis(250);
/// … up to this.
const INVISIBLE_CAP: Duration = Duration::from_secs(2);
/// The most attempts for a name that does not resolve. Such a name is more often misspelled than temporarily missing.
const MAX_DNS: u32 = 3;

/// The limits for the attempts of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backoff {
    /// The number of requests in all, with the first one.
    pub attempts: u32,
    /// The upper limit of the first wait. It doubles each time, and polyarch draws each wait between zero and the
    /// limit.
    pub base: Duration,
    /// The largest upper limit of a wait.
    pub cap: Duration,
    /// The longest `Retry-After` that polyarch waits for. A longer one fails at once.
    pub longest_retry_after: Duration,
    /// The time limit for a call with all its attempts.
    pub deadline: Duration,
}

impl Backoff {
    /// Limits that suit registries: 5 attempts, 0.5 s doubling to 20 s, `Retry-After` up to 60 s, 5 minutes in all.
    pub const STANDARD: Self = Self {
        attempts: 5,
        base: Duration::from_millis(500),
        cap: Duration::from_secs(20),
        longest_retry_after: Duration::from_mins(1),
        deadline: Duration::from_mins(5),
    };

    /// The wait after failure number `failures`, counted from 1. It is random, so that tasks that failed together do
    /// not retry together. `None` means that there is no further attempt.
    #[must_use]
    pub fn wait(&self, failures: u32) -> Option<Duration> {
        (failures < self.attempts).then(|| self.ceiling(failures).mul_f64(random::fraction()))
    }

    /// The upper limit of the wait after failure number `failures`.
    fn ceiling(&self, failures: u32) -> Duration {
        let factor = 1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
        self.base.saturating_mul(factor).min(self.cap)
    }
}

/// The content that polyarch waits for when a registry reports that it is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::registry) enum Patience {
    /// None: the answer is final.
    None,
    /// The content itself, which was just written. The registry shows nothing yet, or still the old content.
    Content,
    /// The content that the pushed manifest refers to, which was just written.
    References,
}

impl Patience {
    fn covers(self, error: &RegistryError) -> bool {
        if let ErrorKind::Stale(_) = error.kind() {
            return self == Self::Content;
        }
        let Some((400 | 404, answer)) = error.answer() else { return false };
        match self {
            Self::None => false,
            Self::Content => error.is_not_found(),
            Self::References => answer.has("MANIFEST_BLOB_UNKNOWN") || answer.has("MANIFEST_UNKNOWN"),
        }
    }
}

/// The time when the registry may be asked again. One 429 slows down all tasks that use this registry.
#[derive(Debug, Default)]
pub(in crate::registry) struct Throttle(Mutex<Option<Instant>>);

impl Throttle {
    fn hold(&self, until: Instant) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *held = (*held).max(Some(until));
    }

    async fn pass(&self) {
        loop {
            let until = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
            // Another task may have moved the time during the sleep.
            match until.filter(|until| *until > Instant::now()) {
                Some(until) => sleep_until(until).await,
                None => return,
            }
        }
    }
}

/// The failures of a call so far.
#[derive(Debug, Default)]
struct Tally {
    failures: u32,
    missing: u32,
    /// The time when expected content was first missing.
    missed_at: Option<Instant>,
    /// The progress so far.
    progress: u64,
}

/// The consequence of a failure.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// The call fails.
    Stop,
    /// The call fails, and the registry gave the time for a new attempt.
    Later(Duration),
    /// The call is tried again after this time.
    Wait(Duration),
}

/// Runs `attempt`, which uses the registries of `throttles`, until it succeeds or fails for good. `give_up` creates the
/// error for an exceeded deadline.
///
/// Dropping the future cancels a wait as well as an attempt.
pub(in crate::registry) async fn run<T, F>(
    backoff: &Backoff,
    throttles: &[&Throttle],
    on_notice: &(dyn Fn(Notice) + Send + Sync),
    patience: Patience,
    attempt: impl FnMut() -> F + Send,
    give_up: impl Fn(ErrorKind) -> RegistryError + Send,
) -> Result<T, RegistryError>
where
    F: Future<Output = Result<T, RegistryError>> + Send,
{
    run_on((backoff, &AtomicU64::new(0)), throttles, on_notice, patience, attempt, give_up).await
}

/// Like [`run`], for an operation in parts. The count of attempts restarts whenever `progress` has grown.
pub(in crate::registry) async fn run_on<T, F>(
    (backoff, progress): (&Backoff, &AtomicU64),
    throttles: &[&Throttle],
    on_notice: &(dyn Fn(Notice) + Send + Sync),
    patience: Patience,
    mut attempt: impl FnMut() -> F + Send,
    give_up: impl Fn(ErrorKind) -> RegistryError + Send,
) -> Result<T, RegistryError>
where
    F: Future<Output = Result<T, RegistryError>> + Send,
{
    let start = Instant::now();
    let tries = async {
        let mut tally = Tally::default();
        loop {
            for throttle in throttles {
                throttle.pass().await;
            }
            let error = match attempt().await {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            tally.progress(progress.load(Ordering::Relaxed));
            let wait = match tally.next(backoff, patience, &error, start.elapsed()) {
                Next::Stop => return Err(error.after(tally.failures, start.elapsed())),
                Next::Later(after) => return Err(later(error, after)),
                Next::Wait(wait) => wait,
            };
            if let ErrorKind::Status { status: 429, .. } | ErrorKind::Status { retry_after: Some(_), .. } = error.kind()
            {
                for throttle in throttles {
                    throttle.hold(Instant::now() + wait);
                }
            }
            let failures = tally.failures + tally.missing;
            let reason = error.to_string();
            on_notice(Notice::Retry(Retry { host: error.host().clone(), failures, wait, reason }));
            sleep(wait).await;
        }
    };
    match timeout(backoff.deadline, tries).await {
        Ok(result) => result,
        Err(_) => Err(give_up(ErrorKind::Timeout { waiting: Waiting::Operation, after: backoff.deadline })),
    }
}

impl Tally {
    fn progress(&mut self, progress: u64) {
        if progress > self.progress {
            (self.failures, self.progress) = (0, progress);
        }
    }

    fn next(&mut self, backoff: &Backoff, patience: Patience, error: &RegistryError, elapsed: Duration) -> Next {
        let next = if patience.covers(error) {
            self.next_look()
        } else if error.is_transient() {
            self.next_attempt(backoff, error)
        } else {
            Next::Stop
        };
        match next {
            // The deadline would end the wait. The current error says more than a timeout.
            Next::Wait(wait) if elapsed + wait >= backoff.deadline => Next::Stop,
            next => next,
        }
    }

    fn next_look(&mut self) -> Next {
        let since = *self.missed_at.get_or_insert_with(Instant::now);
        let wait = INVISIBLE_BASE.saturating_mul(1 << self.missing.min(10)).min(INVISIBLE_CAP);
        self.missing += 1;
        if since.elapsed() + wait > INVISIBLE { Next::Stop } else { Next::Wait(wait) }
    }

    fn next_attempt(&mut self, backoff: &Backoff, error: &RegistryError) -> Next {
        self.failures += 1;
        let asked = match error.kind() {
            ErrorKind::Status { retry_after, .. } => *retry_after,
            ErrorKind::TokenServer { kind, .. } => match &**kind {
                ErrorKind::Status { retry_after, .. } => *retry_after,
                _ => None,
            },
            _ => None,
        };
        if let Some(after) = asked.filter(|after| *after > backoff.longest_retry_after) {
            return Next::Later(after);
        }
        let attempts = match error.kind() {
            ErrorKind::Dns(_) => backoff.attempts.min(MAX_DNS),
            _ => backoff.attempts,
        };
        match (Backoff { attempts, ..backoff.clone() }).wait(self.failures) {
            Some(drawn) => Next::Wait(asked.unwrap_or_default().max(drawn)),
            None => Next::Stop,
        }
    }
}

fn later(error: RegistryError, after: Duration) -> RegistryError {
    error.map_kind(|kind| match kind {
        ErrorKind::Status { status, answer, .. } => ErrorKind::RetryLater { after, status, answer },
        kind => kind,
    })
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::oci::Digest;
    use crate::registry::{Answer, Cause};

    fn error(kind: ErrorKind) -> RegistryError {
        RegistryError::new(&"registry.example".parse().unwrap(), "GET https://registry.example/v2/", kind)
    }

    fn status(status: u16, retry_after: Option<u64>) -> RegistryError {
        let retry_after = retry_after.map(Duration::from_secs);
        error(ErrorKind::Status { status, answer: Answer::default(), retry_after })
    }

    fn not_found() -> RegistryError {
        error(ErrorKind::NotFound(Answer::default()))
    }

    /// The result of a call, its number of requests, and its time on the paused clock.
    struct Ran {
        result: Result<(), RegistryError>,
        requests: u32,
        took: Duration,
    }

    /// Runs a call. `script` gives the answer to request number `n`, counted from 1.
    async fn ran(patience: Patience, script: impl Fn(u32) -> Result<(), RegistryError> + Sync) -> Ran {
        ran_behind(&Throttle::default(), patience, script).await
    }

    async fn ran_behind(
        throttle: &Throttle,
        patience: Patience,
        script: impl Fn(u32) -> Result<(), RegistryError> + Sync,
    ) -> Ran {
        let start = Instant::now();
        let requests = AtomicU32::new(0);
        let attempt = || std::future::ready(script(requests.fetch_add(1, Ordering::Relaxed) + 1));
        let result = run(&Backoff::STANDARD, &[throttle], &|_| {}, patience, attempt, error).await;
        Ran { result, requests: requests.load(Ordering::Relaxed), took: start.elapsed() }
    }

    #[tokio::test(start_paused = true)]
    async fn retry_waits_as_long_as_retry_after() {
        for seconds in [2, 60] {
            let after = |n| if n == 1 { Err(status(429, Some(seconds))) } else { Ok(()) };
            let ran = ran(Patience::None, after).await;
            assert!(ran.result.is_ok() && ran.requests == 2);
            assert!(ran.took >= Duration::from_secs(seconds), "{:?}", ran.took);
            assert!(ran.took < Duration::from_secs(seconds + 1), "{:?}", ran.took);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn too_long_retry_after_fails_at_once_with_the_value() {
        let ran = ran(Patience::None, |_| Err(status(429, Some(86400)))).await;
        assert_eq!((ran.requests, ran.took), (1, Duration::ZERO));
        let error = ran.result.unwrap_err();
        assert!(error.to_string().contains("24 h"), "{error}");
        assert_eq!(error.hint().unwrap(), "run this again in 24 h");
    }

    #[tokio::test(start_paused = true)]
    async fn one_429_slows_down_every_task_of_the_registry() {
        let throttle = Throttle::default();
        let first = ran_behind(&throttle, Patience::None, |n| if n == 1 { Err(status(429, Some(10))) } else { Ok(()) });
        let second = async {
            tokio::task::yield_now().await;
            ran_behind(&throttle, Patience::None, |_| Ok(())).await
        };
        let (_, second) = tokio::join!(first, second);
        assert_eq!(second.requests, 1);
        assert!(second.took >= Duration::from_secs(10), "{:?}", second.took);
    }

    #[tokio::test(start_paused = true)]
    async fn transient_failure_is_tried_five_times() {
        for code in [408, 425, 429, 500, 502, 503, 504, 522] {
            let once = ran(Patience::None, |n| if n == 1 { Err(status(code, None)) } else { Ok(()) }).await;
            assert!(once.result.is_ok() && once.requests == 2, "{code}");
            let always = ran(Patience::None, |_| Err(status(code, None))).await;
            assert_eq!(always.requests, 5, "{code}");
            // The upper limits are 0.5 + 1 + 2 + 4 s, and each wait is between zero and its limit.
            assert!(always.took <= Duration::from_millis(7600), "{code}: {:?}", always.took);
            assert_eq!(always.result.unwrap_err().answer().unwrap().0, code);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn refusal_is_never_retried() {
        for code in [400, 405, 409, 413, 416, 501, 418] {
            let ran = ran(Patience::None, |_| Err(status(code, Some(1)))).await;
            assert_eq!((ran.requests, ran.took), (1, Duration::ZERO), "{code}");
        }
        for kind in [ErrorKind::NotFound, ErrorKind::Denied, ErrorKind::LoginRefused, ErrorKind::LoginRequired] {
            let ran = ran(Patience::None, |_| Err(error(kind(Answer::default())))).await;
            assert_eq!(ran.requests, 1);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn new_content_is_looked_for_during_ten_seconds() {
        let never = ran(Patience::Content, |_| Err(not_found())).await;
        assert!(never.result.unwrap_err().is_not_found());
        assert!((5..=10).contains(&never.requests), "{}", never.requests);
        assert!(never.took <= INVISIBLE && never.took + INVISIBLE_CAP >= INVISIBLE, "{:?}", never.took);
        let late = ran(Patience::Content, |n| if n < 4 { Err(not_found()) } else { Ok(()) }).await;
        assert!(late.result.is_ok() && late.requests == 4);
    }

    #[tokio::test(start_paused = true)]
    async fn stale_tag_is_read_again_for_ten_seconds() {
        let stale = || error(ErrorKind::Stale(Digest::of(b"before")));
        let always = ran(Patience::Content, |_| Err(stale())).await;
        assert!(matches!(always.result.unwrap_err().kind(), ErrorKind::Stale(_)));
        assert!((5..=10).contains(&always.requests) && always.took <= INVISIBLE, "{:?}", always.took);
        let late = ran(Patience::Content, |n| if n < 4 { Err(stale()) } else { Ok(()) }).await;
        assert!(late.result.is_ok() && late.requests == 4);
        assert_eq!(ran(Patience::None, |_| Err(stale())).await.requests, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn missing_children_are_awaited_but_missing_repositories_not() {
        let answer = |code: &str| Answer::read(format!(r#"{{"errors":[{{"code":"{code}"}}]}}"#).as_bytes());
        for (code, patient) in [("MANIFEST_BLOB_UNKNOWN", true), ("MANIFEST_UNKNOWN", true), ("NAME_UNKNOWN", false)] {
            let missing = || error(ErrorKind::NotFound(answer(code)));
            let invalid = || error(ErrorKind::Status { status: 400, answer: answer(code), retry_after: None });
            assert_eq!(ran(Patience::References, |_| Err(missing())).await.requests > 1, patient, "{code}");
            assert_eq!(ran(Patience::References, |_| Err(invalid())).await.requests > 1, patient, "{code}");
            assert_eq!(ran(Patience::None, |_| Err(missing())).await.requests, 1, "{code}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn unresolvable_name_is_retried_twice() {
        let dns = || error(ErrorKind::Dns(Cause::of(&std::io::Error::other("no such name"))));
        assert_eq!(ran(Patience::None, |_| Err(dns())).await.requests, 3);
    }

    #[tokio::test(start_paused = true)]
    async fn registry_call_ends_at_its_deadline() {
        let start = Instant::now();
        let hang = || std::future::pending::<Result<(), RegistryError>>();
        let ended = run(&Backoff::STANDARD, &[&Throttle::default()], &|_| {}, Patience::None, hang, error).await;
        let waiting = match ended.unwrap_err().kind() {
            ErrorKind::Timeout { waiting, .. } => *waiting,
            kind => panic!("{kind}"),
        };
        assert_eq!((waiting, start.elapsed()), (Waiting::Operation, Backoff::STANDARD.deadline));
    }

    #[tokio::test(start_paused = true)]
    async fn retry_wait_beyond_the_deadline_is_not_started() {
        let backoff = Backoff { deadline: Duration::from_secs(15), ..Backoff::STANDARD };
        let attempt = || std::future::ready(Err::<(), _>(status(503, Some(10))));
        let start = Instant::now();
        let ended = run(&backoff, &[&Throttle::default()], &|_| {}, Patience::None, attempt, error).await;
        assert_eq!(ended.unwrap_err().answer().unwrap().0, 503);
        assert!(start.elapsed() < Duration::from_secs(12), "{:?}", start.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn retry_is_reported_before_the_wait() {
        let told = std::sync::Mutex::new(RefCell::new(Vec::new()));
        let tell = |notice| told.lock().unwrap().borrow_mut().push((Instant::now(), notice));
        let start = Instant::now();
        let n = AtomicU32::new(0);
        let attempt = || {
            let first = n.fetch_add(1, Ordering::Relaxed) == 0;
            std::future::ready(if first { Err(status(503, Some(7))) } else { Ok(()) })
        };
        run(&Backoff::STANDARD, &[&Throttle::default()], &tell, Patience::None, attempt, error).await.unwrap();
        let told = told.into_inner().unwrap().into_inner();
        let [(at, Notice::Retry(retry))] = told.as_slice() else { panic!("{told:?}") };
        assert_eq!((*at, retry.failures, retry.wait), (start, 1, Duration::from_secs(7)));
        assert!(retry.reason.contains("503"), "{}", retry.reason);
    }

    #[test]
    fn retry_waits_double_up_to_the_cap() {
        let ceilings = [1, 2, 3, 6, 7, 40].map(|failures| Backoff::STANDARD.ceiling(failures).as_millis());
        assert_eq!(ceilings, [500, 1000, 2000, 16000, 20000, 20000]);
        assert!((0..1000).map(|_| random::fraction()).all(|drawn| (0.0..1.0).contains(&drawn)));
    }
}
