//! A plan: it resolves, or every problem has its place in the text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use polyarch::plan::{Environment, Facts, Overrides, SourceText, needed_facts, resolve};

fuzz_target!(|text: &str| {
    let source = SourceText { path: "build.yaml".into(), text: text.to_owned() };
    let environment: Environment = [("TAG".to_owned(), "1.0".to_owned())].into();
    let facts: Facts =
        needed_facts(&source, &Overrides::default()).into_iter().map(|name| (name, Ok("v1".to_owned()))).collect();
    match resolve(&source, &environment, &facts, &Overrides::default()) {
        Ok(plan) => assert!(plan.images.iter().all(|image| !image.jobs.is_empty()), "an image without a platform"),
        Err(errors) => assert!((1..=101).contains(&errors.problems.len()), "{} problems", errors.problems.len()),
    }
});
