//! What a run takes of memory.

use std::fs;
use std::thread::JoinHandle;

use super::program::Running;

/// Watches a run until it ends; gives the most memory that it had, in KiB. Pages of its program file are not counted: the
/// system has them once, and takes them back at any time, and those of a debug build are tens of megabytes.
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
