//! The interpolation of Compose: `$VAR`, `${VAR}`, `${VAR:-default}`, `${VAR-default}`, `${VAR:?message}`,
//! `${VAR?message}`, `${VAR:+other}`, `${VAR+other}` and `$$` (Compose specification, "Interpolation").
//!
//! There is one difference. An unset variable without a default is an error here. Compose prints a warning and uses an
//! empty text.

use std::ops::Range;

/// The deepest nesting of `${A:-${B:-…}}`.
const MAX_DEPTH: usize = 16;
/// git's words for a repository of another user (git, `setup.c`).
const DUBIOUS: &str = "dubious ownership";

/// The result of looking up a name.
pub(in crate::plan) enum Lookup {
    /// The value of the name.
    Value(String),
    /// The name has no value. The reason is known for some names.
    Unset(Option<String>),
    /// The name must not be used here. The error and its hint.
    Refused(String, Option<String>),
}

/// Why a string cannot be interpolated.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::plan) struct Bad {
    /// The bytes of the string that have the error.
    pub(in crate::plan) at: Range<usize>,
    pub(in crate::plan) message: String,
    pub(in crate::plan) hint: Option<String>,
}

/// `text` with its variables replaced. The value of a variable is not interpolated again.
pub(in crate::plan) fn interpolate(text: &str, lookup: &dyn Fn(&str) -> Lookup) -> Result<String, Bad> {
    if !text.contains('$') {
        return Ok(text.to_owned());
    }
    let mut parser = Parser { text, at: 0, lookup };
    parser.until_end_or_brace(0)
}

/// The names that `text` uses, also in defaults. A text that does not parse has none.
pub(in crate::plan) fn names(text: &str) -> Vec<String> {
    let found = std::cell::RefCell::new(Vec::new());
    let note = |name: &str| {
        found.borrow_mut().push(name.to_owned());
        Lookup::Value("set".to_owned())
    };
    // This function only collects names. Resolving the plan reports the errors.
    let _ = interpolate(text, &note);
    found.into_inner()
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    lookup: &'a dyn Fn(&str) -> Lookup,
}

impl Parser<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn bad<T>(&self, start: usize, message: impl Into<String>, hint: Option<String>) -> Result<T, Bad> {
        Err(Bad { at: start..self.at.max(start + 1), message: message.into(), hint })
    }

    /// Reads to the end of the text. Inside braces it reads up to the closing `}`, and does not consume the `}`.
    fn until_end_or_brace(&mut self, depth: usize) -> Result<String, Bad> {
        let mut out = String::new();
        loop {
            let stop = self.rest().find(if depth > 0 { &['$', '}'][..] } else { &['$'][..] });
            let Some(stop) = stop else {
                out.push_str(self.rest());
                self.at = self.text.len();
                return Ok(out);
            };
            out.push_str(&self.text[self.at..self.at + stop]);
            self.at += stop;
            if self.rest().starts_with('}') {
                return Ok(out);
            }
            self.dollar(&mut out, depth)?;
        }
    }

    /// Reads a variable from its `$` on.
    fn dollar(&mut self, out: &mut String, depth: usize) -> Result<(), Bad> {
        let start = self.at;
        self.at += 1;
        if self.rest().starts_with('$') {
            self.at += 1;
            out.push('$');
            return Ok(());
        }
        if self.rest().starts_with('{') {
            self.at += 1;
            return self.braces(start, out, depth);
        }
        let name = self.word(|c| c.is_ascii_alphanumeric() || c == '_');
        if !begins_a_name(&name) {
            return self.bad(
                start,
                "a `$` must be followed by the name of a variable",
                Some("write `$$` for a `$`".to_owned()),
            );
        }
        match (self.lookup)(&name) {
            Lookup::Value(value) => out.push_str(&value),
            Lookup::Unset(reason) => return self.unset(start, &name, reason),
            Lookup::Refused(message, hint) => return self.bad(start, message, hint),
        }
        Ok(())
    }

    /// Reads a variable after its `${`.
    fn braces(&mut self, start: usize, out: &mut String, depth: usize) -> Result<(), Bad> {
        if depth >= MAX_DEPTH {
            return self.bad(start, format!("variables are nested deeper than {MAX_DEPTH} levels"), None);
        }
        let name = self.word(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.');
        let operator = ["}", ":-", ":?", ":+", "-", "?", "+"].into_iter().find(|op| self.rest().starts_with(op));
        let (true, Some(operator)) = (begins_a_name(&name), operator) else {
            self.at = self.rest().find('}').map_or(self.text.len(), |end| self.at + end + 1);
            let hint = "use ${VAR}, ${VAR:-default} or ${VAR:?message}; write `$$` for a `$`";
            return self.bad(start, "this is not a valid variable", Some(hint.to_owned()));
        };
        self.at += operator.len();
        let word = if operator == "}" { None } else { Some(self.argument(start, operator, &name, depth)?) };
        let set = match (self.lookup)(&name) {
            Lookup::Value(value) => Ok(value),
            Lookup::Unset(reason) => Err(reason),
            Lookup::Refused(message, hint) => return self.bad(start, message, hint),
        };
        let set = if operator.starts_with(':') {
            set.and_then(|v| if v.is_empty() { Err(None) } else { Ok(v) })
        } else {
            set
        };
        match (operator.trim_start_matches(':'), word, set) {
            ("+", Some(Ok(other)), Ok(_)) => out.push_str(&other),
            ("+", _, Err(_)) => {}
            (_, Some(Ok(default)), Err(_)) if operator.ends_with('-') => out.push_str(&default),
            ("?", Some(Ok(message)), Err(_)) if !message.is_empty() => {
                return self.bad(start, format!("`{name}` is not set: {message}"), None);
            }
            // An error in a default counts only if the default is used.
            (_, Some(Err(bad)), Err(_)) | ("+", Some(Err(bad)), Ok(_)) => return Err(bad),
            (_, _, Ok(value)) => out.push_str(&value),
            (_, _, Err(reason)) => return self.unset(start, &name, reason),
        }
        Ok(())
    }

    /// Reads the word after an operator, and the `}` behind it. The inner result is the word; the caller may not need
    /// it. The outer error means that the form itself is wrong.
    fn argument(&mut self, start: usize, operator: &str, name: &str, depth: usize) -> Result<Result<String, Bad>, Bad> {
        let from = self.at;
        let word = self.until_end_or_brace(depth + 1);
        if let Err(bad) = word {
            let Some(close) = closing_brace(self.text, from) else { return Err(bad) };
            self.at = close + 1;
            return Ok(Err(bad));
        }
        if !self.rest().starts_with('}') {
            self.at = self.text.len();
            return self.bad(start, format!("`${{{name}{operator}` has no closing `}}`"), None);
        }
        self.at += 1;
        Ok(word)
    }

    fn word(&mut self, of: fn(char) -> bool) -> String {
        let rest = self.rest();
        let word = rest[..rest.find(|c| !of(c)).unwrap_or(rest.len())].to_owned();
        self.at += word.len();
        word
    }

    fn unset<T>(&self, start: usize, name: &str, reason: Option<String>) -> Result<T, Bad> {
        let foreign = reason.as_ref().filter(|reason| reason.contains(DUBIOUS));
        let hint = match foreign {
            Some(reason) => {
                let directory = reason.split('\'').nth(1).unwrap_or("DIRECTORY");
                format!("run `git config --global --add safe.directory {directory}`, or set GITHUB_SHA to the commit")
            }
            // polyarch finds a fact such as `git.sha` itself.
            None if name.contains('.') => format!("write a default: ${{{name}:-default}}"),
            None => format!("set the variable, or write a default: ${{{name}:-default}}"),
        };
        let because = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
        self.bad(start, format!("`{name}` is not set{because}"), Some(hint))
    }
}

/// The position of the `}` that closes the braces that are open at `from`.
fn closing_brace(text: &str, from: usize) -> Option<usize> {
    let mut open = 1_usize;
    for (at, byte) in text.bytes().enumerate().skip(from) {
        match byte {
            b'{' if text.as_bytes()[at - 1] == b'$' => open += 1,
            b'}' if open == 1 => return Some(at),
            b'}' => open -= 1,
            _ => {}
        }
    }
    None
}

fn begins_a_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn look(name: &str) -> Lookup {
        match name {
            "SET" => Lookup::Value("value".into()),
            "EMPTY" => Lookup::Value(String::new()),
            "DOLLAR" => Lookup::Value("${SET}".into()),
            "git.sha" => Lookup::Value("abc".into()),
            "git.tag" => Lookup::Unset(Some("no tag points at HEAD".into())),
            "no" => Lookup::Refused("`${no}` is not known here".into(), None),
            _ => Lookup::Unset(None),
        }
    }

    #[test]
    fn variables_are_interpolated_as_in_compose() {
        for (written, meant) in [
            ("plain", "plain"),
            ("$SET ${SET} x${SET}y", "value value xvaluey"),
            ("$$SET $${SET}", "$SET ${SET}"),
            ("${SET:-d} ${EMPTY:-d} ${UNSET:-d}", "value d d"),
            ("${SET-d} ${EMPTY-d} ${UNSET-d}", "value  d"),
            ("${SET:?m} ${EMPTY?m}", "value "),
            ("${SET:+o} ${EMPTY:+o} ${UNSET:+o} ${EMPTY+o}", "o   o"),
            ("${UNSET:-} ${UNSET:-a-b:c?d}", " a-b:c?d"),
            ("${UNSET:-${EMPTY:-${SET}}}!", "value!"),
            ("${SET:-${UNSET}}", "value"),
            ("${UNSET+${UNSET}}", ""),
            ("${git.sha} ${git.tag:-dev}", "abc dev"),
            ("$SET.x $SET-y", "value.x value-y"),
            ("$DOLLAR", "${SET}"),
            ("a } b", "a } b"),
            ("ä${UNSET:-ö}ü", "äöü"),
        ] {
            assert_eq!(interpolate(written, &look).as_deref(), Ok(meant), "{written}");
        }
    }

    #[test]
    fn foreign_git_repository_has_a_hint_with_its_directory() {
        let reason = "detected dubious ownership in repository at '/builds/app'";
        let bad = interpolate("${git.sha}", &|_| Lookup::Unset(Some(reason.into()))).unwrap_err();
        assert_eq!(bad.message, format!("`git.sha` is not set: {reason}"));
        let hint = "run `git config --global --add safe.directory /builds/app`, or set GITHUB_SHA to the commit";
        assert_eq!(bad.hint.as_deref(), Some(hint));
    }

    #[test]
    fn interpolation_errors_name_the_problem_and_its_place() {
        for (written, blamed, message) in [
            ("x ${UNSET} y", "${UNSET}", "`UNSET` is not set"),
            ("$UNSET.", "$UNSET", "`UNSET` is not set"),
            ("${git.tag}", "${git.tag}", "`git.tag` is not set: no tag points at HEAD"),
            ("${EMPTY:?say it}", "${EMPTY:?say it}", "`EMPTY` is not set: say it"),
            ("${UNSET:?}", "${UNSET:?}", "`UNSET` is not set"),
            ("${EMPTY:-${UNSET}}", "${UNSET}", "`UNSET` is not set"),
            ("a $ b", "$", "a `$` must be followed by the name of a variable"),
            ("a$", "$", "a `$` must be followed by the name of a variable"),
            ("$1", "$1", "a `$` must be followed by the name of a variable"),
            ("${}", "${}", "this is not a valid variable"),
            ("${A B}", "${A B}", "this is not a valid variable"),
            ("${SET", "${SET", "this is not a valid variable"),
            ("${SET:-x", "${SET:-x", "`${SET:-` has no closing `}`"),
            ("${no}", "${no}", "`${no}` is not known here"),
        ] {
            let bad = interpolate(written, &look).unwrap_err();
            assert_eq!((&written[bad.at.clone()], bad.message.as_str()), (blamed, message), "{written}");
        }
    }

    #[test]
    fn interpolation_nesting_is_bounded() {
        let deep = "${A:-".repeat(100_000);
        assert!(interpolate(&deep, &look).unwrap_err().message.contains("nested deeper"));
    }

    #[test]
    fn variable_names_are_found_in_defaults_too() {
        assert_eq!(names("${git.sha:-${git.short}} $$x ${A}"), ["git.short", "git.sha", "A"]);
    }

    proptest! {
        #[test]
        fn interpolation_never_panics(text in "([$]|[{]|[}]|:|-|[?]|[+]|SET|UNSET|ä|git[.]sha|x){0,30}") {
            let _ = interpolate(&text, &look);
        }

        #[test]
        fn doubled_dollar_escapes_interpolation(text in ".{0,60}") {
            prop_assert_eq!(interpolate(&text.replace('$', "$$"), &look), Ok(text));
        }
    }
}
