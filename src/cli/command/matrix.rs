//! Prints a plan's platforms as the jobs of a CI system, for `polyarch plan --matrix`.

use polyarch::oci::Platform;
use polyarch::plan::Plan;
use polyarch::text::Json;
use serde::Serialize;

#[derive(Serialize)]
struct Jobs {
    include: Vec<Job>,
}

/// One platform, with all images that have it.
#[derive(Serialize)]
struct Job {
    platform: String,
    /// The platform as a part of names: `linux-arm-v7`.
    slug: String,
    runner: &'static str,
    /// The images as arguments for a shell: names of images have no spaces.
    images: String,
}

/// The matrix in one line, as `NAME=VALUE` in `$GITHUB_OUTPUT` needs it.
pub(crate) fn github(plan: &Plan) -> serde_json::Result<Json> {
    let mut platforms: Vec<&Platform> = Vec::new();
    for job in plan.images.iter().flat_map(|image| &image.jobs) {
        if !platforms.contains(&&job.platform) {
            platforms.push(&job.platform);
        }
    }
    let job = |platform: &&Platform| {
        let images = plan.images.iter().filter(|image| image.jobs.iter().any(|job| job.platform == **platform));
        let runner = runner(platform.architecture());
        let platform = platform.to_string();
        Job {
            slug: platform
                .split(|c: char| !c.is_ascii_alphanumeric() && !"._".contains(c))
                .filter(|part| !part.is_empty())
                .collect::<Vec<_>>()
                .join("-"),
            platform,
            runner,
            images: images.map(|image| image.name.as_str()).collect::<Vec<_>>().join(" "),
        }
    };
    Json::line(&Jobs { include: platforms.iter().map(job).collect() })
}

/// The runner of GitHub whose processor runs the architecture. If there is none, x86 emulates the architecture.
fn runner(architecture: &str) -> &'static str {
    match architecture {
        "arm64" | "arm" => "ubuntu-24.04-arm",
        _ => "ubuntu-24.04",
    }
}
