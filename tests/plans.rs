//! Every plan of `fixtures/plans`: the good ones against the plan that they resolve to, the bad ones against what is
//! said of them. `SNAPSHOTS=overwrite` writes the expectations; read the difference before you commit it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use polyarch::plan::{Environment, Facts, Overrides, Plan, PlanErrors, SourceText, needed_facts, resolve, to_yaml};
use proptest::prelude::*;
use serde_json::Value;

use crate::support::{expected, schema};

fn plans(kind: &str) -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/plans").join(kind);
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut plans: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|end| end == "yaml")).collect();
    plans.sort();
    assert!(plans.len() > 4, "the plans of {kind} are there");
    plans
}

/// The plan as if it lay in the current directory: expectations name no machine's paths.
fn source(path: &Path) -> SourceText {
    SourceText { path: path.file_name().unwrap().into(), text: fs::read_to_string(path).unwrap() }
}

fn environment() -> Environment {
    [("VERSION", "1.2.3"), ("OWNER", "acme"), ("FROM_ENV", "from the environment")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
}

fn facts() -> Facts {
    let sha = "0123456789abcdef0123456789abcdef01234567";
    BTreeMap::from([
        ("git.sha".to_owned(), Ok(sha.to_owned())),
        ("git.short".to_owned(), Ok(sha[..7].to_owned())),
        ("git.tag".to_owned(), Err("no tag points at HEAD".to_owned())),
        ("git.version".to_owned(), Ok("1.2.3".to_owned())),
        ("git.major".to_owned(), Ok("1".to_owned())),
        ("git.minor".to_owned(), Ok("2".to_owned())),
        ("git.ref_slug".to_owned(), Ok("v1.2.3".to_owned())),
        ("when.release".to_owned(), Ok("true".to_owned())),
        ("when.branch".to_owned(), Ok("false".to_owned())),
        ("when.highest".to_owned(), Err("the highest release is unknown: this clone may lack tags".to_owned())),
        ("when.pr".to_owned(), Ok("false".to_owned())),
        ("aws.registry".to_owned(), Ok("123456789012.dkr.ecr.eu-central-1.amazonaws.com".to_owned())),
        ("aws.region".to_owned(), Ok("eu-central-1".to_owned())),
        ("aws.account".to_owned(), Err("no AWS credentials were found".to_owned())),
    ])
}

fn read(source: &SourceText) -> Result<Plan, PlanErrors> {
    resolve(source, &environment(), &facts(), &Overrides::default())
}

fn text(text: &str) -> SourceText {
    SourceText { path: "build.yaml".into(), text: text.to_owned() }
}

fn rendered(errors: &PlanErrors) -> String {
    let lines = errors.problems.iter().map(|problem| {
        let one = PlanErrors { source: errors.source.clone(), problems: vec![problem.clone()] };
        let hint = problem.hint.as_ref().map(|hint| format!("  hint: {hint}\n")).unwrap_or_default();
        format!("{one}\n{hint}")
    });
    lines.collect()
}

#[test]
fn bad_plans_report_every_problem_with_its_place() {
    for path in plans("bad") {
        let source = source(&path);
        let errors = read(&source).expect_err(&path.display().to_string());
        expected::is_file(path.with_extension("expected"), &rendered(&errors));
        for problem in &errors.problems {
            let span = problem.span.expect("what a plan says has a place");
            assert!(source.text.get(span.range()).is_some(), "{problem:?}");
        }
    }
}

#[test]
fn good_plans_resolve_to_their_expected_json() {
    for path in plans("good") {
        let plan = read(&source(&path)).unwrap_or_else(|errors| panic!("{}", rendered(&errors)));
        let mut actual = serde_json::to_string_pretty(&plan).unwrap();
        for warning in &plan.warnings {
            actual = format!("{actual}\nwarning: {}", warning.message);
        }
        expected::is_file(path.with_extension("json"), &(actual + "\n"));
    }
}

#[test]
fn resolved_plan_reads_back_as_the_same_plan() {
    for path in plans("good") {
        let plan = read(&source(&path)).unwrap();
        // Warnings and places are about the text, and not about the plan. The text that is printed has only this run.
        let meant = |plan| Plan {
            warnings: Vec::new(),
            places: BTreeMap::new(),
            left_out: Vec::new(),
            notes: Vec::new(),
            ..plan
        };
        for printed in [serde_json::to_string(&plan).unwrap(), to_yaml(&plan).unwrap()] {
            let again = resolve(&text(&printed), &Environment::new(), &Facts::new(), &Overrides::default());
            let again = again.unwrap_or_else(|errors| panic!("{}\n{printed}", rendered(&errors)));
            assert_eq!(meant(again), meant(plan.clone()), "{}", path.display());
        }
    }
}

#[test]
fn only_facts_that_a_plan_names_are_needed() {
    for path in plans("good") {
        let named: BTreeSet<String> = needed_facts(&source(&path), &Overrides::default());
        let expected = match path.file_stem().unwrap().to_str().unwrap() {
            "defaults-and-anchors" => vec!["git.sha", "git.short", "git.tag"],
            "conditions" => vec![
                "git.major",
                "git.minor",
                "git.pr",
                "git.ref_slug",
                "git.version",
                "when.branch",
                "when.highest",
                "when.pr",
                "when.release",
            ],
            "ecr" => vec!["aws.account", "aws.region", "aws.registry"],
            _ => Vec::new(),
        };
        assert_eq!(named.iter().collect::<Vec<_>>(), expected, "{}", path.display());
    }
    let overrides = Overrides { set: vec!["*.tags=${git.short}".into()], ..Overrides::default() };
    assert_eq!(needed_facts(&text("version: 1"), &overrides), BTreeSet::from(["git.short".to_owned()]));
    let overrides = Overrides { tags: vec!["${git.sha}".into()], ..Overrides::default() };
    assert_eq!(needed_facts(&text("version: 1"), &overrides), BTreeSet::from(["git.sha".to_owned()]));
}

/// What this thread took of a processor: a machine that does something else meanwhile is no slower.
fn processor_time() -> Duration {
    let schedstat = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(schedstat.split(' ').next().unwrap().parse().unwrap())
}

#[test]
fn thousand_images_resolve_within_100_ms() {
    let image = |nth: usize| {
        format!(
            "  image{nth}:\n    context: services/{nth}\n    tags: [\"1.{nth}\", latest]\n    platforms:\n      \
             linux/amd64:\n      linux/arm64: {{ dockerfile: Dockerfile.arm64, args: {{ TUNE: n1 }} }}\n    \
             args: {{ VERSION: \"${{VERSION:-dev}}\" }}\n"
        )
    };
    let plan: String = (0..1000).map(image).collect();
    let plan = text(&format!("version: 1\ndefaults: {{ labels: {{ a: b }}, timeout: 10m }}\nimages:\n{plan}"));
    let best = (0..5)
        .map(|_| {
            let started = processor_time();
            assert_eq!(read(&plan).unwrap().images.len(), 1000);
            processor_time().saturating_sub(started)
        })
        .min()
        .unwrap();
    println!("1,000 images, {} KiB: {best:?}", plan.text.len() / 1024);
    // The promise is for what is shipped; a build for tests is several times slower.
    let limit = if cfg!(debug_assertions) { Duration::from_millis(500) } else { Duration::from_millis(100) };
    assert!(best < limit, "{best:?}");
}

#[test]
fn deepest_allowed_plan_fits_a_small_stack() {
    let nested = |levels: usize| {
        format!("version: 1\nx-deep: {}x{}\nimages: {{}}\n", "{a: [".repeat(levels), "]}".repeat(levels))
    };
    let message = move |levels| read(&text(&nested(levels))).unwrap_err().problems[0].message.clone();
    let run = move || (message(7), message(8));
    // Half of what a thread of ours has.
    let thread = std::thread::Builder::new().stack_size(1024 * 1024).spawn(run).unwrap();
    let (deep, too_deep) = thread.join().unwrap();
    assert_eq!(deep, "the plan has no images");
    assert_eq!(too_deep, "the plan is nested deeper than 16 levels");
}

#[test]
fn anchor_may_have_any_number_of_aliases_within_limits() {
    let image = |merge: &str, n: usize| format!("  i{n}: {{ {merge}: *one, args: {{ N: \"{n}\" }} }}\n");
    let images = |count: usize| (0..count).map(|n| image("<<", n)).collect::<String>();
    let anchor = "version: 1\nx-one: &one { tags: [\"1\"], platforms: [linux/amd64] }\nimages:\n";
    for count in [100, 101, 1_000, 5_000] {
        let plan = read(&text(&format!("{anchor}{}", images(count)))).unwrap_or_else(|errors| panic!("{errors}"));
        assert_eq!(plan.images.len(), count);
    }
    // Aliases of scalars, of lists and of maps without a merge.
    let scalars = "x-tag: &tag \"1.0\"\nx-platforms: &platforms [linux/amd64]\nx-args: &args { A: b }\n";
    let image = |n: usize| format!("  i{n}: {{ tags: [*tag], platforms: *platforms, args: *args }}\n");
    let plan = format!("version: 1\n{scalars}images:\n{}", (0..500).map(image).collect::<String>());
    assert_eq!(read(&text(&plan)).unwrap_or_else(|errors| panic!("{errors}")).images.len(), 500);
}

#[test]
fn exceeded_plan_limit_is_named() {
    let level = |n: usize| format!("x-{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 9].join(","));
    let laughs = (1..=9).map(level).collect::<Vec<_>>().concat();
    let long = format!("x-long: &long \"{}\"\nx-all: [{}]\n", "a".repeat(1 << 20), ["*long"; 80].join(","));
    let wide = format!("x-wide: &wide [{}]\nx-all: [{}]\n", ["x"; 1_000].join(","), ["*wide"; 300].join(","));
    for (plan, limit) in [
        (format!("x-0: &a0 x\n{laughs}"), "more than 250000 values, including those that aliases repeat"),
        (wide, "more than 250000 values, including those that aliases repeat"),
        (long, "more than 64 MiB of text, including the text that aliases repeat"),
        (format!("x-deep: {}{}\n", "[".repeat(17), "]".repeat(17)), "nested deeper than 16 levels"),
        (format!("x-large: {}\n", "a".repeat(5 << 20)), "larger than 4 MiB"),
    ] {
        let errors = read(&text(&format!("version: 1\n{plan}"))).unwrap_err();
        assert!(errors.problems[0].message.contains(limit), "{}", errors.problems[0].message);
    }
}

#[test]
fn plans_that_exhaust_memory_or_time_are_refused_quickly() {
    let level = |n: usize| format!("x-{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 9].join(","));
    let bomb = (1..=9).map(level).collect::<Vec<_>>().concat();
    let many = |lines: fn(usize) -> String, count: usize| (0..count).map(lines).collect::<String>();
    let wide = many(|n| format!("    A{n}: \"{}\"\n", "v".repeat(20)), 40_000);
    let images = many(|n| format!("  i{n}: {{ args: {{ B: b }} }}\n"), 10_000);
    let unknown = many(|n| format!("unknown{n}: 1\n"), 50_000);
    for (what, plan) in [
        ("an alias bomb", format!("x-0: &a0 x\n{bomb}version: 1\n")),
        ("100,000 brackets", "[".repeat(100_000)),
        ("100,000 nested maps", "{a: ".repeat(100_000)),
        ("nested block maps", many(|n| format!("{}a:\n", " ".repeat(n)), 2_500)),
        ("a huge scalar", format!("version: 1\nx-a: {}\n", "a".repeat(64 << 20))),
        (
            "defaults that multiply",
            format!("version: 1\ndefaults:\n  tags: [a]\n  platforms: [linux/amd64]\n  args:\n{wide}images:\n{images}"),
        ),
        ("unknown keys", unknown),
        ("nested variables", format!("version: 1\nregistry: \"{}\"\n", "${A:-".repeat(100_000))),
        ("an alias of itself", "version: 1\nimages: &a { b: *a }\n".to_owned()),
    ] {
        let started = processor_time();
        let errors = read(&text(&plan)).expect_err(what);
        let took = processor_time().saturating_sub(started);
        println!("{what}: {took:?}: {}", errors.problems[0].message);
        assert!(errors.problems.len() <= 101, "{what}: {} problems", errors.problems.len());
        assert!(took < Duration::from_secs(10), "{what}: {took:?}");
    }
}

proptest! {
    #[test]
    fn resolve_never_panics_on_any_text(plan in ".{0,200}") {
        let _ = read(&text(&plan));
    }

    #[test]
    fn resolve_never_panics_on_an_altered_plan(
        nth in 0_usize..100,
        cuts in proptest::collection::vec((any::<prop::sample::Index>(), "[-:{}\\[\\],&*!|>'\"$%#~ \n\tä0a]{0,3}"), 1..6),
    ) {
        let plans: Vec<PathBuf> = plans("good").into_iter().chain(plans("bad")).collect();
        let mut plan = fs::read_to_string(&plans[nth % plans.len()]).unwrap();
        for (at, with) in cuts {
            let at = plan.floor_char_boundary(at.index(plan.len() + 1));
            let end = plan.ceil_char_boundary((at + with.len() / 2).min(plan.len()));
            plan.replace_range(at..end, &with);
        }
        if let Err(errors) = read(&text(&plan)) {
            prop_assert!(!errors.problems.is_empty());
            let ours = errors.problems.iter().any(|problem| problem.message.contains("could not be read"));
            prop_assert!(!ours, "refused without a reason: {plan}");
        }
    }
}

#[test]
fn plan_schema_accepts_good_plans_and_refuses_unknown_keys() {
    let schema = schema::validator(polyarch::plan::SCHEMA);
    let options = || serde_yaml::options! { strict_booleans: true };
    for path in plans("good") {
        let source = source(&path);
        let plan: Value = serde_yaml::from_str_with_options(&source.text, options()).unwrap();
        schema::hold(&schema, &plan);
        let resolved = serde_json::to_value(read(&source).unwrap()).unwrap();
        schema::hold(&schema, &resolved);
    }
    for bad in ["unknown-keys", "not-yet", "wrong-types", "quote-it", "no-version-no-images", "future-version"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("fixtures/plans/bad/{bad}.yaml"));
        let plan: Value = serde_yaml::from_str_with_options(&source(&path).text, options()).unwrap();
        assert!(!schema.is_valid(&plan), "{bad}");
    }
}
