//! The memory that a run takes.

use std::fs;
use std::thread::JoinHandle;

use super::program::Running;

/// Watches a run until it ends; gives the most memory that it had, in KiB. Pages of the run's program file do not
/// count. The system has them once, and takes them back at any time. Those of a debug build are tens of megabytes.
pub(crate) fn peak(running: &Running) -> JoinHandle<u64> {
    let status = format!("/proc/{}/status", running.pid().as_raw_nonzero());
    std::thread::spawn(move || {
        let mut peak = 0;
        while let Ok(text) = fs::read_to_string(&status) {
            let Some(line) = text.lines().find(|line| line.starts_with("RssAnon:")) else { break };
            peak = peak.max(line.split_whitespace().nth(1).unwrap().parse().unwrap());
            std::thread::yield_now();
        }
        peak
    })
}
