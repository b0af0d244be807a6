//! Makes the findings for people: a line for each step, below its plan, engine or registry.

use polyarch::run::{Check, Failure, Observation, Section, What};

use crate::cli::terminal::style::duration;
use crate::cli::terminal::typed::as_typed;

/// The column of the hints.
const INDENT: &str = "         ";

pub(crate) fn lines(found: &[Observation]) -> Vec<String> {
    let (mut lines, mut about) = (Vec::new(), None);
    for one in found {
        let now = (one.section, &one.subject);
        if about != Some(now) {
            lines.push(heading(one));
            about = Some(now);
        }
        let (word, text, hint) = match &one.what {
            What::Works(text) => ("ok", text, one.remedy.as_deref()),
            What::Unknown(text) => ("?", text, one.remedy.as_deref()),
            What::Fails(Failure { message, hint, .. }) => ("fails", message, hint.as_deref()),
        };
        let took = one.seconds.map(|seconds| format!(" ({})", duration(seconds))).unwrap_or_default();
        lines.push(format!("  {word:<5}  {:<10}  {text}{took}", name_of(one.check)));
        lines.extend(hint.map(|hint| format!("{INDENT}hint: {}", as_typed(hint))));
    }
    let failed = found.iter().filter(|one| one.failure().is_some()).count();
    let starts = found.iter().any(|one| one.check == Check::Start);
    if failed > 0 && !starts {
        lines.push(as_typed("`polyarch build` cannot succeed: correct the failed steps first").into_owned());
    }
    lines
}

fn heading(one: &Observation) -> String {
    let section = match one.section {
        Section::Plan => "plan",
        Section::Engine => "engine",
        Section::Registry => "registry",
        Section::Build => return "build".to_owned(),
    };
    if *section == *one.subject { section.to_owned() } else { format!("{section} {}", one.subject) }
}

fn name_of(check: Check) -> &'static str {
    match check {
        Check::Plan => "plan",
        Check::Connection => "connection",
        Check::Version => "version",
        Check::Platforms => "platforms",
        Check::Emulation => "emulation",
        Check::Disk => "disk",
        Check::Clock => "clock",
        Check::Reach => "reach",
        Check::Route => "route",
        Check::Push => "push",
        Check::Start => "start",
    }
}
