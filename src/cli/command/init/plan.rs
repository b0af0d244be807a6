//! The text of a first plan, with a comment for each decision.

use super::dockerfiles::Dockerfile;
use super::remote::Found;

/// The registry of the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Registry {
    /// The embedded registry of this machine.
    Embedded,
    /// The registry of the project's git remote.
    OfRemote(Found),
}

/// The plan.
pub(super) fn text(registry: &Registry, found: &[Dockerfile]) -> String {
    let registry = match registry {
        Registry::Embedded => {
            "# `local` is a registry on this machine. Other machines need one that they reach: ghcr.io/OWNER.\n\
             registry: local\n"
                .to_owned()
        }
        Registry::OfRemote(found) => format!(
            "# The registry of your git remote at {}. `local` is a registry on this machine, without a login.\n\
             registry: {found}\n",
            found.remote
        ),
    };
    let images: String = found.iter().enumerate().map(|(place, dockerfile)| image(place, dockerfile)).collect();
    format!(
        "# `polyarch plan` checks this plan, and `polyarch build` builds it.\nversion: 1\n\n{registry}\nimages:\n{images}"
    )
}

/// An image. The first one has the comments.
fn image(place: usize, dockerfile: &Dockerfile) -> String {
    let mut text = String::new();
    let mut line = |comment: &str, key: &str| {
        if place == 0 && !comment.is_empty() {
            text.extend(["    # ", comment, "\n"]);
        }
        text.push_str(key);
        text.push('\n');
    };
    line("", &format!("  {}:", dockerfile.image));
    line("The directory that your Dockerfile copies from.", &format!("    context: {}", scalar(&dockerfile.directory)));
    if dockerfile.file != "Dockerfile" {
        line("", &format!("    dockerfile: {}", scalar(&dockerfile.file)));
    }
    line(
        "The first tag also names the image of each platform: latest-amd64. A version is a better first tag.",
        "    tags: [latest]",
    );
    line(
        "An engine runs its own platform natively. It needs an emulator, or a second engine, for the other one.",
        "    platforms: [linux/amd64, linux/arm64]",
    );
    text
}

/// A path in YAML and in the language of plans.
fn scalar(path: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
    if path == "." || path.starts_with(|c: char| c.is_ascii_alphabetic()) && path.bytes().all(is_plain) {
        return path.to_owned();
    }
    // A string of JSON is one of YAML. A plan reads `$` as the beginning of a variable.
    serde_json::Value::from(path.replace('$', "$$")).to_string()
}
