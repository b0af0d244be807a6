//! Functions that the fuzz targets (`fuzz/`) need in addition to the public interface. They are only for fuzzing, and
//! change without notice.

use tokio::sync::mpsc;

use crate::auth::SecretBytes;
use crate::engine::BuildEvent;
use crate::registry::login::challenge::Challenge;
use crate::run::event::job_events::{JobReporter, job_events};
use crate::run::{Event, JobId};
use crate::text::Redactor;

/// Reads the challenges of registries, one for each `WWW-Authenticate` header.
pub fn challenge<'a>(headers: impl IntoIterator<Item = &'a str>) {
    drop(Challenge::choose(headers));
}

/// The events of a build that has `secrets`. The engine reports `told` about that build.
pub async fn relay(secrets: &[SecretBytes], told: Vec<BuildEvent>) -> Vec<Event> {
    let (events, mut heard) = mpsc::channel(1);
    let (build, receiver) = mpsc::channel(1);
    let Ok(platform) = "linux/arm64".parse() else { return Vec::new() };
    let job = JobId { image: "hello".into(), platform };
    let voice = JobReporter { job, events, secrets: Redactor::new(secrets.iter().map(SecretBytes::expose)).into() };
    let telling = async move {
        for event in told {
            if build.send(event).await.is_err() {
                break;
            }
        }
    };
    let hearing = async {
        let mut all = Vec::new();
        while let Some(event) = heard.recv().await {
            all.push(event);
        }
        all
    };
    tokio::join!(telling, job_events(voice, receiver), hearing).2
}
