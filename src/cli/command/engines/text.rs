//! Makes the list for people: a table, the reasons of failures, and the lines for a plan.

use polyarch::engine::{EngineFacts, ImageStore};
use polyarch::oci::Platform;
use polyarch::run::Failure;

use super::listed::{Listed, Origin, State, Used};
use crate::cli::terminal::grid::{Align, Column, Grid};
use crate::cli::terminal::typed::as_typed;

const COLUMNS: [Column; 6] = [
    Column { heading: "engine", align: Align::Left, rank: 0 },
    Column { heading: "named by", align: Align::Left, rank: 3 },
    Column { heading: "runs", align: Align::Left, rank: 1 },
    Column { heading: "emulates", align: Align::Left, rank: 5 },
    Column { heading: "version", align: Align::Left, rank: 2 },
    Column { heading: "store", align: Align::Left, rank: 4 },
];
/// How many platforms a cell names on a terminal.
const NAMED: usize = 2;

pub(crate) fn lines(listed: &[Listed], width: Option<usize>) -> Vec<String> {
    let mut lines = Vec::new();
    if listed.is_empty() {
        lines.push("no engine is named here: no plan, no DOCKER_HOST, no docker context, no known socket".to_owned());
        return lines;
    }
    let rows: Vec<_> = listed.iter().map(|one| cells(one, width)).collect();
    let grid = Grid::fitting(&COLUMNS, &rows, width);
    lines.push(grid.heading());
    lines.extend(rows.iter().map(|cells| grid.row(cells)));
    let used = listed.iter().any(|one| one.candidate.used == Used::Yes);
    lines.extend(used.then(|| as_typed("* `polyarch build` uses this engine here").into_owned()));
    let failed = listed.iter().filter_map(|one| match &one.state {
        State::Unreachable(failure) => Some((one, failure)),
        State::Reachable(_) | State::Unknown => None,
    });
    let failed: Vec<_> = failed.flat_map(|(one, failure)| reason(one, failure)).collect();
    if !failed.is_empty() {
        lines.extend([String::new(), "not reachable".to_owned()]);
        lines.extend(failed);
    }
    let entries: Vec<_> = listed.iter().filter_map(Listed::entry).collect();
    if !entries.is_empty() {
        lines.extend([String::new(), "lines for your plan".to_owned(), "  engines:".to_owned()]);
        lines.extend(entries.iter().map(|entry| format!("    {entry}")));
    }
    lines
}

fn reason(one: &Listed, failure: &Failure) -> Vec<String> {
    let name = one.candidate.name.as_str();
    // The line begins with the name already.
    let message = failure.message.to_string();
    let message = message.strip_prefix(&format!("engine {name}: ")).unwrap_or(&message);
    let hint = failure.hint.iter().map(|hint| format!("    hint: {}", as_typed(hint)));
    std::iter::once(format!("  {name}: {message}")).chain(hint).collect()
}

fn cells(one: &Listed, width: Option<usize>) -> Vec<String> {
    let candidate = &one.candidate;
    let mark = if candidate.used == Used::Yes { "*" } else { "" };
    let name = format!("{}{mark}", candidate.name);
    let named_by = candidate.origin.words();
    let [runs, emulates, version, store] = match &one.state {
        State::Reachable(facts) => of_facts(facts, width),
        State::Unreachable(_) => ["not reachable".to_owned(), String::new(), String::new(), String::new()],
        State::Unknown => of_files(&candidate.origin, width),
    };
    vec![name, named_by, runs, emulates, version, store]
}

fn of_facts(facts: &EngineFacts, width: Option<usize>) -> [String; 4] {
    let (own, emulated): (Vec<_>, Vec<_>) = facts.runs.iter().partition(|platform| facts.is_native(platform));
    let store = match facts.store {
        ImageStore::Containerd => "containerd",
        ImageStore::GraphDriver => "graph driver",
        ImageStore::None => "none",
    };
    // The variants of the own processor say little in a table.
    let own: Vec<_> = if width.is_some() { own.into_iter().take(1).collect() } else { own };
    [platforms(&own, width), platforms(&emulated, width), facts.version.clone(), store.to_owned()]
}

/// The facts about a builder in the files of buildx.
fn of_files(origin: &Origin, width: Option<usize>) -> [String; 4] {
    let Origin::Builder(builder) = origin else { return Default::default() };
    let listed: Vec<_> = builder.platforms.iter().collect();
    let runs = if listed.is_empty() { "not asked".to_owned() } else { platforms(&listed, width) };
    [runs, String::new(), String::new(), String::new()]
}

/// The names of the platforms. On a terminal the cell has the first names and the number of the others.
fn platforms(all: &[&Platform], width: Option<usize>) -> String {
    let shown = if width.is_some() { NAMED } else { all.len() };
    let mut names: Vec<_> = all.iter().take(shown).map(ToString::to_string).collect();
    let more = all.len().saturating_sub(shown);
    names.extend((more > 0).then(|| format!("+{more}")));
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::samples::every_kind;
    use super::*;

    #[test]
    fn engines_table_has_platforms_reasons_and_lines_for_a_plan() {
        assert_eq!(
            lines(&every_kind(), Some(100)),
            [
                "  engine     named by                          runs           version  store",
                "  x86*       plan                              linux/amd64    28.5.2   graph driver",
                "  default    DOCKER_HOST                       linux/amd64    28.5.2   graph driver",
                "  graviton   context graviton                  linux/arm64    28.5.2   containerd",
                "  lab        context lab                       not reachable",
                "  default-2  default socket                    linux/amd64    28.5.2   graph driver",
                "  colima     colima                            linux/amd64    28.5.2   graph driver",
                "  buildkit   BUILDKIT_HOST                     linux/arm64    28.5.2   none",
                "  ci         buildx docker-container, current  linux/arm64",
                "  kube       buildx docker-container           not asked",
                "* `polyarch build` uses this engine here",
                "",
                "not reachable",
                "  lab: cannot connect to ssh://lab: Connection refused",
                "    hint: start Docker",
                "",
                "lines for your plan",
                "  engines:",
                "    default: { host: \"tcp://10.0.0.5:2375\", insecure: true }",
                "    graviton: { context: graviton }",
                "    default-2: { host: \"unix:///var/run/docker.sock\" }",
                "    colima: { host: \"unix:///home/me/.colima/default/docker.sock\" }",
                "    buildkit: { buildkit: \"unix:///run/buildkit/buildkitd.sock\" }",
                "    ci: { builder: ci }",
                "    kube: { builder: kube }",
            ]
        );
    }

    #[test]
    fn engines_table_omits_columns_on_a_narrow_terminal() {
        for width in 0..120 {
            let shown = lines(&every_kind(), Some(width));
            let table = shown.iter().take(every_kind().len() + 1);
            let widest = table.map(|line| line.chars().count()).max().unwrap();
            assert!(widest <= width.max(11), "{width}: {shown:#?}");
        }
    }
}
