//! The messages that the page of troubleshooting quotes are messages that the program can print.

use std::fs;
use std::path::Path;

use regex::Regex;

/// The text of every string literal below a folder, without code that only tests have.
fn literals(folder: &Path) -> Vec<String> {
    let literal = Regex::new(r#"(?s)"((?:[^"\\]|\\.)*)""#).unwrap();
    let broken = Regex::new(r"\\\n\s*").unwrap();
    let comment = Regex::new(r"(?m)^\s*//.*$").unwrap();
    let mut found = Vec::new();
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            found.extend(literals(&path));
        } else if path.extension().is_some_and(|end| end == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
            let text = comment.replace_all(text, "");
            let of_file =
                literal.captures_iter(&text).map(|found| broken.replace_all(&found[1], "").replace("\\\"", "\""));
            found.extend(of_file);
        }
    }
    found
}

#[test]
fn troubleshooting_quotes_messages_of_the_program() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/guide/troubleshooting.md")).unwrap();
    let literals = literals(&root.join("src"));
    let heading = Regex::new(r"(?m)^### `([^`]+)`$").unwrap();
    let quoted: Vec<_> = heading.captures_iter(&page).map(|found| found[1].to_owned()).collect();
    assert!(quoted.len() >= 20, "{quoted:?}");
    let mut unknown = Vec::new();
    for message in &quoted {
        // One literal has all fixed parts, in their order.
        let parts: Vec<_> = message.split('…').map(str::trim).collect();
        let has = |literal: &String| {
            let mut rest = literal.as_str();
            parts.iter().all(|part| rest.split_once(part).map(|(_, after)| rest = after).is_some())
        };
        if !literals.iter().any(has) {
            unknown.push(message);
        }
    }
    assert!(unknown.is_empty(), "src prints no message like: {unknown:#?}");
    let sections: Vec<_> = page.split("\n### ").skip(1).collect();
    assert_eq!(sections.len(), quoted.len(), "each heading of the third level is one quoted message");
    for section in sections {
        assert!(section.contains("\nCause: ") && section.contains("\nRemedy: "), "{section}");
    }
}
