//! Keeps events for a display that is slower than the run. The backlog drops log lines first, and counts them. The end
//! of the run has a place of its own.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use polyarch::run::{Event, JobEvent, Report};

use super::display::view::Lost;

/// Bytes of log lines that wait at most.
const LOGS: usize = 4 << 20;
/// Bytes of all other events that wait at most.
const OTHERS: usize = 4 << 20;
/// Bytes that an event takes besides its texts.
const EVENT: usize = 512;
/// The time that log lines wait after the run's end. Other events wait twice as long.
const PATIENCE: Duration = Duration::from_secs(2);

/// The next message to a display.
#[derive(Debug)]
pub(crate) enum Message {
    Event(Duration, Box<Event>),
    /// Events that are not shown.
    Lost(Duration, Lost),
    End(Box<Report>),
    /// Nothing happened.
    Nothing,
}

#[derive(Debug, Default)]
pub(super) struct Backlog {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    events: VecDeque<(Duration, One)>,
    logs: usize,
    others: usize,
    /// A slow reader loses many lines at once, not every second line.
    is_behind: bool,
    ended: Option<(Instant, Box<Report>)>,
    /// The run is gone: no message follows.
    left: bool,
}

#[derive(Debug)]
enum One {
    Event(Box<Event>),
    Lost(Lost),
}

impl Backlog {
    /// Keeps an event. If the backlog has no room for the event, it counts the event as lost.
    pub(crate) fn tell(&self, at: Duration, event: &Event) {
        self.lock().tell(at, event);
        self.changed.notify_one();
    }

    /// Keeps the end of the run.
    pub(crate) fn end(&self, report: Report) {
        self.lock().ended = Some((Instant::now(), Box::new(report)));
        self.changed.notify_one();
    }

    /// Reports that no message follows, not even an end.
    pub(crate) fn leave(&self) {
        self.lock().left = true;
        self.changed.notify_one();
    }

    /// The next message, if one comes within `tick`, else `Message::Nothing`. `None`: no message follows.
    pub(crate) fn next(&self, tick: Duration) -> Option<Message> {
        let mut waiting = self.lock();
        if waiting.is_idle() {
            let woken = self.changed.wait_timeout(waiting, tick);
            waiting = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        waiting.next(Instant::now())
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Every event in the list is whole, even if a thread panicked.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn tell(&mut self, at: Duration, event: &Event) {
        let weight = weight(event);
        self.is_behind &= self.logs > LOGS / 2;
        let is_log = is_log(event);
        let (held, most) = if is_log { (&mut self.logs, LOGS) } else { (&mut self.others, OTHERS) };
        if *held + weight <= most && !(is_log && self.is_behind) {
            *held += weight;
            return self.events.push_back((at, One::Event(Box::new(event.clone()))));
        }
        self.is_behind |= is_log;
        match self.events.back_mut() {
            Some((_, One::Lost(lost))) => *lost += missing(event),
            _ => self.events.push_back((at, One::Lost(missing(event)))),
        }
    }

    fn is_idle(&self) -> bool {
        self.events.is_empty() && self.ended.is_none() && !self.left
    }

    fn next(&mut self, now: Instant) -> Option<Message> {
        if let Some((ended, _)) = self.ended {
            let waited = now.saturating_duration_since(ended);
            if waited >= PATIENCE * 2 {
                self.lose(|_| true);
            } else if waited >= PATIENCE {
                self.lose(is_log);
            }
        }
        match self.events.pop_front() {
            Some((at, One::Event(event))) => {
                let held = if is_log(&event) { &mut self.logs } else { &mut self.others };
                *held -= weight(&event);
                Some(Message::Event(at, event))
            }
            Some((at, One::Lost(lost))) => Some(Message::Lost(at, lost)),
            None => match self.ended.take() {
                Some((_, report)) => Some(Message::End(report)),
                None if self.left => None,
                None => Some(Message::Nothing),
            },
        }
    }

    /// Takes out the events for which `goes` is true. One entry then counts them, with all that was lost before.
    fn lose(&mut self, goes: impl Fn(&Event) -> bool) {
        let mut lost = Lost::default();
        let mut first = None;
        self.events.retain(|(at, one)| {
            lost += match one {
                One::Event(event) if !goes(event) => return true,
                One::Event(event) => missing(event),
                One::Lost(lost) => *lost,
            };
            first = first.or(Some(*at));
            false
        });
        self.events.extend(first.map(|at| (at, One::Lost(lost))));
    }
}

fn is_log(event: &Event) -> bool {
    matches!(event, Event::Job { what: JobEvent::Log { .. }, .. })
}

/// An event that is not shown.
fn missing(event: &Event) -> Lost {
    if is_log(event) { Lost { lines: 1, events: 0 } } else { Lost { lines: 0, events: 1 } }
}

/// About how many bytes an event takes.
fn weight(event: &Event) -> usize {
    let texts = match event {
        Event::Job { what: JobEvent::Log { line }, .. } => line.len(),
        // The length of the printed event stands for the length of its texts.
        event => {
            let mut length = Length(0);
            serde_json::to_writer(&mut length, event).map_or(0, |()| length.0)
        }
    };
    EVENT + texts
}

/// Counts bytes and keeps none.
struct Length(usize);

impl Write for Length {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::display::script::{failed, report};
    use super::*;

    fn log(n: usize) -> Event {
        let job = polyarch::run::JobId { image: "hello".into(), platform: "linux/amd64".parse().unwrap() };
        Event::Job { job, what: JobEvent::Log { line: format!("{n} {}", "x".repeat(1000)).into() } }
    }

    fn stopping() -> Event {
        Event::Stopping { reason: "interrupted".into() }
    }

    /// Takes all messages at `now`, until the end, and counts log lines, lost lines and other events.
    fn told(waiting: &mut Waiting, now: Instant) -> (usize, Lost, usize) {
        let (mut logs, mut lost, mut others) = (0, Lost::default(), 0);
        loop {
            match waiting.next(now) {
                Some(Message::Event(_, event)) if is_log(&event) => logs += 1,
                Some(Message::Event(..)) => others += 1,
                Some(Message::Lost(_, more)) => lost += more,
                Some(Message::End(_)) => return (logs, lost, others),
                Some(Message::Nothing) | None => panic!("there was no end"),
            }
        }
    }

    fn waiting(ended: Instant) -> Waiting {
        let mut waiting = Waiting::default();
        (0..10_000).for_each(|n| waiting.tell(Duration::ZERO, &log(n)));
        (0..100).for_each(|_| waiting.tell(Duration::ZERO, &stopping()));
        waiting.ended = Some((ended, Box::new(report(&failed(), None))));
        waiting
    }

    #[test]
    fn backlog_drops_log_lines_first_and_counts_them() {
        let now = Instant::now();
        let (logs, lost, others) = told(&mut waiting(now), now);
        assert!(logs > 1000 && lost.lines > 1000, "{logs} {lost:?}");
        assert_eq!((logs + lost.lines, lost.events, others), (10_000, 0, 100));
    }

    #[test]
    fn backlog_of_a_slow_reader_drops_lines_together() {
        let mut waiting = Waiting::default();
        (0..50_000).for_each(|n| {
            waiting.tell(Duration::ZERO, &log(n));
            if n % 1000 == 0 {
                waiting.tell(Duration::ZERO, &stopping());
            }
            if n % 2 == 0 {
                waiting.next(Instant::now());
            }
        });
        let losses = waiting.events.iter().filter(|(_, one)| matches!(one, One::Lost(_))).count();
        assert!((1..60).contains(&losses), "{losses}");
    }

    #[test]
    fn ended_run_waits_briefly_for_a_slow_display() {
        let now = Instant::now();
        assert_eq!(told(&mut waiting(now), now + PATIENCE), (0, Lost { lines: 10_000, events: 0 }, 100));
        assert_eq!(told(&mut waiting(now), now + 2 * PATIENCE), (0, Lost { lines: 10_000, events: 100 }, 0));
    }

    #[test]
    fn backlog_is_bounded() {
        let mut waiting = Waiting::default();
        for n in 0..20_000 {
            waiting.tell(Duration::ZERO, &log(n));
            waiting.tell(Duration::ZERO, &stopping());
        }
        assert!(waiting.logs <= LOGS && waiting.others <= OTHERS);
        // Between two shown events there may be one entry for lost lines.
        assert!(waiting.events.len() <= 3 * OTHERS / EVENT, "{}", waiting.events.len());
        // The display took messages, so there is room again.
        while !matches!(waiting.next(Instant::now()), Some(Message::Nothing)) {}
        assert_eq!((waiting.logs, waiting.others), (0, 0));
    }

    #[test]
    fn weight_of_a_failure_includes_its_texts() {
        let message = "x".repeat(10_000).into();
        let failure = polyarch::run::Failure::new(polyarch::run::Phase::Build, message, None);
        assert!(weight(&Event::Failed(failure)) > 10_000);
        let reason = "x".repeat(10_000).into();
        assert!(weight(&Event::Stopping { reason }) > 10_000);
    }

    #[test]
    fn leaving_the_backlog_ends_the_display() {
        let backlog = Backlog::default();
        backlog.tell(Duration::ZERO, &stopping());
        backlog.leave();
        assert!(matches!(backlog.next(Duration::ZERO), Some(Message::Event(..))));
        assert!(backlog.next(Duration::ZERO).is_none());
    }
}
