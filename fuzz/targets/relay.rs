//! The events of a build. The first line is a secret. The first byte of each other line says which event it is.
#![no_main]

use libfuzzer_sys::fuzz_target;
use polyarch::auth::SecretBytes;
use polyarch::engine::BuildEvent;
use polyarch::run::{Event, JobEvent};
use tokio::runtime::Builder;

/// Longest line that is shown, in bytes, with some room.
const LONGEST: usize = 17 << 10;

fn safe(text: &str, secret: &[u8]) {
    assert!(text.len() <= LONGEST, "{} bytes", text.len());
    let drives = |c: char| c.is_control() && c != '\t';
    assert!(!text.contains(drives), "{text:?}");
    assert!(!text.trim_start().starts_with("::") && !text.contains("##["), "{text:?}");
    let shown = std::str::from_utf8(secret)
        .ok()
        .filter(|secret| secret.len() >= 6 && secret.bytes().all(|b| b.is_ascii_alphanumeric()));
    assert!(!shown.is_some_and(|secret| text.contains(secret)), "{text:?}");
}

fuzz_target!(|bytes: &[u8]| {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let secret = lines.next().unwrap_or_default().to_vec();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let told: Vec<_> = lines
        .filter_map(|line| {
            let (kind, rest) = line.split_first()?;
            let step = (kind % 2).to_string();
            Some(match kind % 8 {
                0 => BuildEvent::StepStarted { step: text(rest) },
                1 => BuildEvent::StepEnded { step: text(rest), cached: false, seconds: 1.0, error: Some(text(rest)) },
                2 => BuildEvent::Warning { message: text(rest), url: text(rest) },
                3 => BuildEvent::CacheUnusable { at: text(rest), error: text(rest) },
                4 => BuildEvent::CacheMissing { at: text(rest) },
                // Chunks of a log are cut anywhere.
                5 => BuildEvent::Log { step, bytes: [rest, b"\n"].concat() },
                _ => BuildEvent::Log { step, bytes: rest.to_vec() },
            })
        })
        .collect();
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    for event in runtime.block_on(polyarch::fuzzing::relay(&[SecretBytes::new(secret.clone())], told)) {
        match event {
            Event::Job { what: JobEvent::Log { line }, .. } => safe(&line, &secret),
            Event::Job { what: JobEvent::StepStarted { step }, .. } => safe(&step, &secret),
            Event::Job { what: JobEvent::StepEnded { step, error, .. }, .. } => {
                safe(&step, &secret);
                safe(&error.unwrap_or_default(), &secret);
            }
            Event::Warning(warning) => {
                safe(&warning.message, &secret);
                safe(&warning.hint.unwrap_or_default(), &secret);
            }
            _ => {}
        }
    }
});
