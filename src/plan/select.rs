//! Reduces a plan to the selection of the command line.

use std::collections::{HashMap, HashSet};

use super::model::error::Problem;
use super::model::names::ImageName;
use super::model::overrides::Selection;
use super::model::plan::{Job, Plan};
use super::model::spec::NamedContext;
use super::read::suggest::suggest;

/// Reduces `plan` to the images and platforms of `selection` and to the images that these build on. The result also
/// lists the parts that were left out. An image without any selected platform is left out.
///
/// # Errors
/// An image that the plan does not have, or a platform that no selected image has.
pub fn select(mut plan: Plan, selection: &Selection) -> Result<Plan, Vec<Problem>> {
    let problems = check(&plan, selection);
    if !problems.is_empty() {
        return Err(problems);
    }
    let wanted = with_bases(&plan, selection);
    let mut kept = Vec::with_capacity(plan.images.len());
    let mut skipped = Vec::new();
    for mut image in plan.images {
        let (jobs, left_out): (Vec<_>, Vec<_>) =
            image.jobs.into_iter().partition(|job| selection.has_platform(&job.platform));
        if jobs.is_empty() || !wanted.contains(&image.name) {
            if selection.images.iter().any(|named| named == image.name.as_str()) {
                skipped.push(image.name.to_string());
            }
            plan.left_out.push(image.name);
            continue;
        }
        image.jobs = jobs;
        image.left_out.extend(left_out.into_iter().map(|job| job.platform));
        kept.push(image);
    }
    plan.images = kept;
    plan.warnings.extend(no_platform(&skipped, selection));
    Ok(plan)
}

/// The selected images, and all their bases for the selected platforms.
fn with_bases(plan: &Plan, selection: &Selection) -> HashSet<ImageName> {
    let by_name: HashMap<&ImageName, _> = plan.images.iter().map(|image| (&image.name, image)).collect();
    let mut wanted: HashSet<&ImageName> = HashSet::new();
    let mut open: Vec<_> = by_name.keys().copied().filter(|name| selection.has_image(name.as_str())).collect();
    while let Some(name) = open.pop() {
        let Some(image) = by_name.get(name).filter(|_| wanted.insert(name)) else { continue };
        let jobs = image.jobs.iter().filter(|job| selection.has_platform(&job.platform));
        open.extend(jobs.filter_map(Job::build).flat_map(|build| build.spec.contexts.values()).filter_map(|context| {
            match context {
                NamedContext::Image(base) => Some(base),
                NamedContext::Reference(_) | NamedContext::Directory(_) | NamedContext::Remote(_) => None,
            }
        }));
    }
    wanted.into_iter().cloned().collect()
}

/// A warning about images that the user named and that have no selected platform.
fn no_platform(skipped: &[String], selection: &Selection) -> Option<Problem> {
    let platforms: Vec<_> = selection.platforms.iter().map(ToString::to_string).collect();
    let (names, platforms) = (skipped.join(", "), platforms.join(" or "));
    let message = format!("{names}: none of their platforms is {platforms}, so polyarch skips them");
    let hint = "name only images that have the platform, or add the platform to these images";
    (!skipped.is_empty()).then(|| Problem { span: None, message, hint: Some(hint.into()) })
}

fn check(plan: &Plan, selection: &Selection) -> Vec<Problem> {
    let names = || plan.images.iter().map(|image| &image.name).chain(&plan.left_out).map(ImageName::as_str);
    let mut problems = Vec::new();
    for wanted in &selection.images {
        if !names().any(|name| name == wanted) {
            let message = format!("there is no image `{wanted}` in the plan");
            problems.push(Problem { span: None, message, hint: suggest(wanted, names()) });
        }
    }
    let wanted = plan.images.iter().filter(|image| selection.has_image(image.name.as_str()));
    let mut planned = Vec::new();
    for job in wanted.flat_map(|image| &image.jobs) {
        if !planned.contains(&&job.platform) {
            planned.push(&job.platform);
        }
    }
    if planned.is_empty() && !plan.left_out.is_empty() {
        // `when` left out all selected images, and polyarch did not read their platforms.
        return problems;
    }
    for platform in selection.platforms.iter().filter(|wanted| !planned.iter().any(|one| wanted.covers(one))) {
        let planned: Vec<String> = planned.iter().map(ToString::to_string).collect();
        let hint = (!planned.is_empty()).then(|| format!("choose a planned platform: {}", planned.join(", ")));
        problems.push(Problem {
            span: None,
            message: if selection.native.contains(platform) {
                format!("--platform native ({platform}): no image is planned for it")
            } else {
                format!("--platform {platform}: no image is planned for it")
            },
            hint,
        });
    }
    problems
}
