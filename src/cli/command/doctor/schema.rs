//! Holds the JSON Schema of `polyarch doctor --json`.

/// The JSON Schema (draft 2020-12) of `polyarch doctor --json`: `polyarch schema doctor`.
pub(crate) const SCHEMA: &str = include_str!("schema.json");

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use polyarch::run::{Check, Failure, Observation, Phase, Section, What};
    use serde_json::json;

    use super::super::text::lines;
    use super::*;
    use crate::cli::output::display::held::Held;

    /// Findings with every section, every step and every outcome.
    fn every_kind() -> Vec<Observation> {
        let of = |section, subject: &str, check, what| Observation::new(section, subject, check, what);
        let works = || What::Works("text".into());
        let fails = |phase| What::Fails(Failure::new(phase, "text".into(), Some("text".into())));
        let mut found: Vec<_> = [Check::Version, Check::Platforms, Check::Emulation, Check::Disk]
            .map(|check| of(Section::Engine, "x86", check, works()))
            .into();
        let clock = of(Section::Engine, "x86", Check::Clock, What::Unknown("text".into()));
        found.push(Observation { remedy: Some("text".into()), ..clock });
        for (check, phase) in
            [(Check::Reach, Phase::Verify), (Check::Route, Phase::Preflight), (Check::Push, Phase::Push)]
        {
            found.push(of(Section::Registry, "a.io", check, fails(phase)).after(Duration::from_millis(1500)));
        }
        found.insert(0, of(Section::Plan, "build.yaml", Check::Plan, fails(Phase::Plan)));
        found.insert(1, of(Section::Engine, "x86", Check::Connection, works()).after(Duration::ZERO));
        found.push(of(Section::Build, "build", Check::Start, fails(Phase::Internal)));
        found
    }

    #[test]
    fn doctor_schema_has_exactly_the_fields_that_documents_use() {
        let mut held = Held::new(SCHEMA);
        for code in [0, 1, 2, 3, 4, 5, 6, 7, 70, 124] {
            held.hold(&json!({ "version": 1, "exit_code": code, "findings": every_kind() }));
        }
        assert_eq!(held.unseen(), BTreeSet::new());
    }

    #[test]
    fn doctor_prints_a_line_for_each_step_below_its_subject() {
        assert_eq!(
            lines(&every_kind()),
            [
                "plan build.yaml",
                "  fails  plan        text",
                "         hint: text",
                "engine x86",
                "  ok     connection  text (0.0s)",
                "  ok     version     text",
                "  ok     platforms   text",
                "  ok     emulation   text",
                "  ok     disk        text",
                "  ?      clock       text",
                "         hint: text",
                "registry a.io",
                "  fails  reach       text (1.5s)",
                "         hint: text",
                "  fails  route       text (1.5s)",
                "         hint: text",
                "  fails  push        text (1.5s)",
                "         hint: text",
                "build",
                "  fails  start       text",
                "         hint: text",
            ]
        );
    }
}
