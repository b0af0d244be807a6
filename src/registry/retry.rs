//! What is tried again, when, and how often: the only place that does.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::error::{ErrorKind, RegistryError, Waiting};
use super::manifests::Visibility;
use super::notice::{Notice, Retry};

/// How long content that was just written may stay invisible (read after write).
const INVISIBLE: Duration = Duration::from_secs(10);
/// The first wait for it, doubled each time, …
const INVISIBLE_BASE: Duration = Duration::from_millis(250);
/// … up to this.
const INVISIBLE_CAP: Duration = Duration::from_secs(2);
/// A name that does not resolve is tried this often at most: it is misspelt more often than it is late.
const MAX_DNS: u32 = 3;

/// How often and how long a call is tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backoff {
    /// Requests in all, the first included.
    pub attempts: u32,
    /// The longest first wait; it doubles each time, and the wait is drawn between nothing and it.
    pub base: Duration,
    /// The longest wait that is drawn.
    pub cap: Duration,
    /// The longest `Retry-After` that is waited for; a longer one fails at once.
    pub longest_retry_after: Duration,
    /// The longest time for a call with all its attempts.
    pub deadline: Duration,
}

impl Backoff {
    /// What suits registries: 5 attempts, 0.5 s doubling to 20 s, `Retry-After` up to 60 s, 5 minutes in all.
    pub const STANDARD: Self = Self {
        attempts: 5,
        base: Duration::from_millis(500),
        cap: Duration::from_secs(20),
        longest_retry_after: Duration::from_secs(60),
        deadline: Duration::from_secs(300),
    };

    /// The upper end of the wait after the `failures`th failure.
    fn ceiling(&self, failures: u32) -> Duration {
        let factor = 1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
        self.base.saturating_mul(factor).min(self.cap)
    }
}

/// When the registry as a whole may be asked again: one 429 slows down every task that speaks to it.
#[derive(Debug, Default)]
pub(super) struct Throttle(Mutex<Option<Instant>>);

impl Throttle {
    fn hold(&self, until: Instant) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *held = (*held).max(Some(until));
    }

    async fn pass(&self) {
        loop {
            let until = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
            // Somebody may have moved it while we slept.
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
    /// When content that should be there was missed first.
    missed_at: Option<Instant>,
}

/// What a failure leads to.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// It fails.
    Stop,
    /// It fails, and the registry said when to come back.
    Later(Duration),
    /// It is tried again after this.
    Wait(Duration),
}

/// Runs `attempt` until it succeeds or fails for good; `give_up` makes the error of an exceeded deadline.
///
/// Dropping the future cancels a wait as well as an attempt.
pub(super) async fn run<T, F>(
    backoff: &Backoff,
    throttle: &Throttle,
    on_notice: &(dyn Fn(Notice) + Send + Sync),
    visibility: Visibility,
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
            throttle.pass().await;
            let error = match attempt().await {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            let wait = match tally.next(backoff, visibility, &error, start.elapsed()) {
                Next::Stop => return Err(error),
                Next::Later(after) => return Err(later(error, after)),
                Next::Wait(wait) => wait,
            };
            if let ErrorKind::Status { status: 429, .. } | ErrorKind::Status { retry_after: Some(_), .. } = error.kind()
            {
                throttle.hold(Instant::now() + wait);
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
    fn next(&mut self, backoff: &Backoff, visibility: Visibility, error: &RegistryError, elapsed: Duration) -> Next {
        let next = if visibility == Visibility::JustWritten && is_missing(error) {
            self.next_look()
        } else if error.is_transient() {
            self.next_attempt(backoff, error)
        } else {
            Next::Stop
        };
        match next {
            // The deadline would end the wait: the error in hand says more than a timeout.
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
            _ => None,
        };
        if let Some(after) = asked.filter(|after| *after > backoff.longest_retry_after) {
            return Next::Later(after);
        }
        let attempts = match error.kind() {
            ErrorKind::Dns(_) => backoff.attempts.min(MAX_DNS),
            _ => backoff.attempts,
        };
        if self.failures >= attempts {
            return Next::Stop;
        }
        // Full jitter: tasks that failed together do not come back together.
        let drawn = backoff.ceiling(self.failures).mul_f64(random());
        Next::Wait(asked.unwrap_or_default().max(drawn))
    }
}

/// Content that must be there and is not (yet): a manifest, or what an index that is put refers to.
fn is_missing(error: &RegistryError) -> bool {
    let unknown = |answer: &super::Answer| answer.has("MANIFEST_BLOB_UNKNOWN") || answer.has("MANIFEST_UNKNOWN");
    match error.kind() {
        ErrorKind::NotFound(_) => true,
        ErrorKind::Status { status: 400, answer, .. } => unknown(answer),
        _ => false,
    }
}

fn later(error: RegistryError, after: Duration) -> RegistryError {
    error.map_kind(|kind| match kind {
        ErrorKind::Status { status, answer, .. } => ErrorKind::RetryLater { after, status, answer },
        kind => kind,
    })
}

/// A number in [0, 1), from the randomness that the standard library keys its hash maps with.
fn random() -> f64 {
    let bits = RandomState::new().build_hasher().finish() >> 32;
    f64::from(u32::try_from(bits).unwrap_or_default()) / (f64::from(u32::MAX) + 1.0)
}
