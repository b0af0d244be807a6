//! A slot of an engine, which a build holds.

use tokio::sync::mpsc::UnboundedSender;

/// A slot of an engine. When it goes out of scope, its owner hears that the slot is free.
#[derive(Debug)]
pub(in crate::run) struct Slot {
    /// The engine's number in the list of engines, from 0.
    engine: usize,
    /// Each job has at most one slot at a time, so few messages wait.
    freed: UnboundedSender<usize>,
}

impl Slot {
    /// A slot of `engine`, which sends the number of the engine to `freed` in the end.
    pub(super) fn of(engine: usize, freed: UnboundedSender<usize>) -> Self {
        Self { engine, freed }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // If the run is over, there is no owner who needs the slot.
        self.freed.send(self.engine).unwrap_or_default();
    }
}
