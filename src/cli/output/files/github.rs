//! Writes `GITHUB_OUTPUT`, which other steps of a GitHub Actions workflow read (GitHub, "Workflow commands", "Setting
//! an output parameter" and "Multiline strings").

use polyarch::oci::Digest;
use polyarch::run::Report;
use polyarch::text::Json;

use super::published::{published, values};

/// The lines that are appended.
pub(super) fn outputs(report: &Report) -> String {
    let mut all = values(report, "\n");
    // Every value of a published image has a JSON form.
    all.push(("images".to_owned(), Json::line(&published(report)).map(|json| json.to_string()).unwrap_or_default()));
    all.iter().map(|(name, value)| output(&output_name(name), value)).collect::<Vec<_>>().concat()
}

/// No line of `value` equals the delimiter, because the delimiter contains the digest of `value`.
fn output(name: &str, value: &str) -> String {
    let delimiter = format!("polyarch_{}", Digest::of(value.as_bytes()).hex());
    format!("{name}<<{delimiter}\n{value}\n{delimiter}\n")
}

/// Letters, digits, `-` and `_`, not beginning with a digit.
fn output_name(text: &str) -> String {
    let legal = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    let prefix = if text.starts_with(|c: char| c.is_ascii_digit()) { "_" } else { "" };
    format!("{prefix}{}", text.chars().map(legal).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output::display::script::{report, success};

    /// Reads outputs in the way of GitHub's runner.
    fn read(text: &str) -> Vec<(String, String)> {
        let mut lines = text.lines();
        let mut read = Vec::new();
        while let Some(first) = lines.next() {
            let (name, delimiter) = first.split_once("<<").unwrap();
            let value: Vec<_> = lines.by_ref().take_while(|line| *line != delimiter).collect();
            read.push((name.to_owned(), value.join("\n")));
        }
        read
    }

    #[test]
    fn github_output_has_plain_and_image_specific_names() {
        let digest = "sha256:1bc04b5291c26a46d918139138b992d2de976d6851d0893b0476b85bfbdfc6e6";
        let repository = "127.0.0.1:5000/hello";
        let json =
            format!(r#"[{{"image":"hello","repository":"{repository}","digest":"{digest}","tags":["1.0","latest"]}}]"#);
        let expected = [
            ("digest", digest),
            ("hello_digest", digest),
            ("repository", repository),
            ("hello_repository", repository),
            ("tags", "1.0\nlatest"),
            ("hello_tags", "1.0\nlatest"),
            ("images", &json),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(read(&outputs(&report(&success(), None))), expected);
    }

    #[test]
    fn github_output_value_cannot_end_itself() {
        let inner = output("a", "x");
        let value = format!("{inner}b<<END\ny\nEND");
        assert_eq!(read(&output("outer", &value)), [("outer".to_owned(), value)]);
        assert_eq!(output_name("1-a/b:c"), "_1-a_b_c");
    }
}
