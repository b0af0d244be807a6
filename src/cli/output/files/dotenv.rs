//! Writes `--dotenv FILE`: variables for later jobs, in the form of GitLab's dotenv reports (GitLab CI/CD,
//! "artifacts:reports dotenv"). Names have letters, digits and `_`. Values have no spaces, quotes or ends of line.

use std::collections::BTreeMap;

use polyarch::run::Report;

use super::published::values;

/// The text of the file. If two images get the same name, the file has neither, because a reader could confuse them.
pub(super) fn variables(report: &Report) -> String {
    let named: Vec<_> = values(report, ",").into_iter().map(|(name, value)| (variable(&name), value)).collect();
    let mut count = BTreeMap::new();
    for (name, _) in &named {
        *count.entry(name.clone()).or_insert(0) += 1;
    }
    let own = named.iter().filter(|(name, _)| count[name] == 1);
    own.map(|(name, value)| format!("{name}={value}\n")).collect::<Vec<_>>().concat()
}

fn variable(text: &str) -> String {
    let legal = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    let prefix = if text.starts_with(|c: char| c.is_ascii_digit()) { "_" } else { "" };
    format!("{prefix}{}", text.chars().map(legal).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output::display::script::{not_joined, report, success};

    #[test]
    fn dotenv_has_one_variable_per_line() {
        let digest = "sha256:1bc04b5291c26a46d918139138b992d2de976d6851d0893b0476b85bfbdfc6e6";
        let repository = "127.0.0.1:5000/hello";
        let expected = format!(
            "DIGEST={digest}\nHELLO_DIGEST={digest}\nREPOSITORY={repository}\nHELLO_REPOSITORY={repository}\n\
             TAGS=1.0,latest\nHELLO_TAGS=1.0,latest\n"
        );
        let mut report = report(&success(), None);
        assert_eq!(variables(&report), expected);
        let joined_later = variables(&crate::cli::output::display::script::report(&not_joined(), None));
        assert!(joined_later.starts_with("HELLO_LINUX_AMD64_DIGEST=sha256:"), "{joined_later}");
        // With several images every name begins with the image. Two images of one name have no variables.
        let mut other = report.images[0].clone();
        other.image = "HELLO".into();
        report.images.push(other);
        assert_eq!(variables(&report), "");
        report.images[1].image = "1-b".into();
        let names: Vec<_> = variables(&report).lines().map(|line| line.split('=').next().unwrap().to_owned()).collect();
        assert_eq!(names[0], "HELLO_DIGEST");
        assert_eq!(names[3..], ["_1_B_DIGEST", "_1_B_REPOSITORY", "_1_B_TAGS"]);
    }
}
