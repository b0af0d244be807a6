//! Reads the platforms after an option.

use polyarch::oci::{Platform, PlatformError, platforms_in};
use polyarch::run::Failure;

use super::refusal::usage;

/// The platforms of `option`, in their order. Blanks around a comma are ignored.
pub(crate) fn several(option: &str, texts: &[String], otherwise: &str) -> Result<Vec<Platform>, Failure> {
    let refused = |text: &str, error: &PlatformError| {
        let typed = texts.join(",");
        let hint = match &platforms_in(&typed)[..] {
            [] => otherwise.to_owned(),
            platforms => format!("write {option} {}", platforms.join(",")),
        };
        usage(message(option, text, error), &hint)
    };
    let texts = texts.iter().map(|text| text.trim());
    texts.map(|text| text.parse().map_err(|error| refused(text, &error))).collect()
}

/// The platform of `--platform`, for commands that take one image of an index.
pub(crate) fn one(text: &str) -> Result<Platform, Failure> {
    text.trim().parse().map_err(|error| {
        let hint = match platforms_in(text)[..] {
            [first, _, ..] => {
                format!("name one of them: --platform {first}; without --platform polyarch takes the whole index")
            }
            [first] => format!("write --platform {first}"),
            [] => "write --platform linux/arm64".to_owned(),
        };
        usage(message("--platform", text, &error), &hint)
    })
}

fn message(option: &str, text: &str, error: &PlatformError) -> String {
    match text.trim() {
        "" => format!("{option} names an empty platform"),
        text => format!("{option} {text}: {error}"),
    }
}
