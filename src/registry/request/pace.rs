//! Limits the rate of requests to a registry that documents a limit.

use std::sync::{Mutex, PoisonError};

use tokio::time::{Duration, Instant, sleep_until};

/// Allows a number of requests at once, and then one request per interval (the generic cell rate algorithm). Requests
/// that come too early wait in their order.
#[derive(Debug)]
pub(in crate::registry) struct Pace {
    interval: Duration,
    at_once: u32,
    /// The time when all admitted requests would have been sent, with one per interval.
    asked_until: Mutex<Option<Instant>>,
}

impl Pace {
    /// At most `rate` requests in a second, and as many at once. The minimum is one.
    pub(in crate::registry) fn a_second(rate: u32) -> Self {
        Self { interval: Duration::from_secs(1) / rate.max(1), at_once: rate, asked_until: Mutex::default() }
    }

    /// Waits for a turn. If the caller stops waiting, the turn is lost.
    pub(in crate::registry) async fn pass(&self) {
        sleep_until(self.turn(Instant::now())).await;
    }

    fn turn(&self, now: Instant) -> Instant {
        let mut asked_until = self.asked_until.lock().unwrap_or_else(PoisonError::into_inner);
        let before = asked_until.map_or(now, |until| until.max(now));
        *asked_until = Some(before + self.interval);
        let ahead = self.interval * (self.at_once.max(1) - 1);
        before.checked_sub(ahead).unwrap_or(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pace_lets_ten_pass_at_once_and_then_ten_a_second() {
        let (pace, start) = (Pace::a_second(10), Instant::now());
        let mut passed = Vec::new();
        for _ in 0..25 {
            pace.pass().await;
            passed.push(start.elapsed().as_millis());
        }
        assert_eq!(passed[..10], [0; 10]);
        let later: Vec<_> = (1..=15).map(|n| n * 100).collect();
        // tokio's timers have a resolution of milliseconds.
        assert!(passed[10..].iter().zip(&later).all(|(at, due)| (*due..=due + 1).contains(at)), "{passed:?}");
        // After a pause that is long enough, no request waits.
        tokio::time::advance(Duration::from_secs(1)).await;
        let rested = Instant::now();
        for _ in 0..10 {
            pace.pass().await;
        }
        assert!(rested.elapsed() <= Duration::from_millis(1), "{:?}", rested.elapsed());
    }
}
