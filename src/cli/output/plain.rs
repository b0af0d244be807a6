//! The display for logs: one line an event, nothing moves.

use std::io::Write;
use std::time::Duration;

use polyarch::run::{Event, EventSink, Report};

use super::ending::ending;
use super::lines::Words;
use super::progress::Display;
use super::style::{Color, Lines};

/// Prints each event that has words as a line.
#[derive(Debug)]
pub(crate) struct Plain<W> {
    out: Lines<W>,
    words: Words,
    color: Color,
}

impl<W: Write + Send> Plain<W> {
    pub(crate) fn new(out: W, color: Color) -> Self {
        Self { out: Lines::new(out), words: Words::new(color), color }
    }
}

impl<W: Write + Send> EventSink for Plain<W> {
    fn event(&mut self, _at: Duration, event: &Event) {
        if let Some(line) = self.words.line(event) {
            self.out.line(&line);
        }
    }
}

impl<W: Write + Send> Display for Plain<W> {
    fn finish(&mut self, report: &Report) {
        for line in ending(report, self.color, None) {
            self.out.line(&line);
        }
    }
}

/// The display of `--progress quiet`: failures, at the end.
#[derive(Debug)]
pub(crate) struct Quiet<W> {
    out: Lines<W>,
    color: Color,
}

impl<W: Write + Send> Quiet<W> {
    pub(crate) fn new(out: W, color: Color) -> Self {
        Self { out: Lines::new(out), color }
    }
}

impl<W: Write + Send> EventSink for Quiet<W> {
    fn event(&mut self, _at: Duration, _event: &Event) {}
}

impl<W: Write + Send> Display for Quiet<W> {
    fn finish(&mut self, report: &Report) {
        for line in super::ending::failures(report, self.color) {
            self.out.line(&line);
        }
    }
}
