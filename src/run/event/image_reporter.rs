//! Sends the events of one image.

use tokio::sync::mpsc;

use super::events::{Event, ImageEvent, Warning};

/// Sends the events of one image.
#[derive(Debug, Clone, Copy)]
pub(in crate::run) struct ImageReporter<'a> {
    /// The image's name in the plan. Without a plan, the name of the target.
    pub(in crate::run) image: &'a str,
    pub(in crate::run) events: &'a mpsc::Sender<Event>,
}

impl ImageReporter<'_> {
    /// Reports an event. If there is no listener any more, the run is over.
    pub(in crate::run) async fn emit(self, what: ImageEvent) {
        drop(self.events.send(Event::Image { image: self.image.to_owned(), what }).await);
    }

    /// Reports a warning about the image.
    pub(in crate::run) async fn warn(self, warning: Warning) {
        let warning = Warning { image: Some(self.image.to_owned()), ..warning };
        drop(self.events.send(Event::Warning(warning)).await);
    }
}
