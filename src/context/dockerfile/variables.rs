//! Variables in the `FROM` lines of a Dockerfile (BuildKit, `frontend/dockerfile/shell`). Only unambiguous forms are
//! expanded.

use std::collections::BTreeMap;

use super::instructions::Instruction;
use crate::oci::Platform;

/// Values by name. `None`: the variable has no value.
pub(super) struct Variables(BTreeMap<String, Option<String>>);

impl Variables {
    /// The variables that BuildKit sets itself (BuildKit, "Automatic platform ARGs in the global scope"). `None`: a
    /// build argument sets one of them, and engines differ in that case.
    pub(super) fn of_platforms(target: &Platform, build: &Platform, args: &BTreeMap<String, String>) -> Option<Self> {
        let mut values = BTreeMap::new();
        for (prefix, platform) in [("TARGET", target), ("BUILD", build)] {
            let base: Platform = platform.base();
            let variant = base.variant().unwrap_or_default().to_owned();
            let (os, architecture) = (base.os().to_owned(), base.architecture().to_owned());
            for (name, value) in
                [("PLATFORM", base.to_string()), ("OS", os), ("ARCH", architecture), ("VARIANT", variant)]
            {
                values.insert(format!("{prefix}{name}"), Some(value));
            }
        }
        args.keys().all(|name| !values.contains_key(name)).then_some(Self(values))
    }

    /// Reads an `ARG` before the first stage.
    pub(super) fn declare(&mut self, instruction: &Instruction, args: &BTreeMap<String, String>) {
        for word in instruction.words() {
            let (name, default) = word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
            // An `ARG` without a value does not change the value of the variable.
            let known = || self.0.get(name).cloned().flatten();
            let value = args.get(name).cloned().or_else(|| default.map_or_else(known, |text| self.unquoted(text)));
            self.0.insert(name.to_owned(), value);
        }
    }

    fn unquoted(&self, text: &str) -> Option<String> {
        let quoted = ['"', '\''].iter().find_map(|quote| text.strip_prefix(*quote)?.strip_suffix(*quote));
        if text.starts_with('\'') && quoted.is_some_and(|text| text.contains('$')) {
            return None;
        }
        expand(quoted.unwrap_or(text), self)
    }
}

/// Expands `$NAME`, `${NAME}` and `${NAME:-default}` in `text`. `None`: a variable has no value, or the text has
/// another form, a quote or an escape.
pub(super) fn expand(text: &str, variables: &Variables) -> Option<String> {
    if text.contains(['\\', '"', '\'', '`']) {
        return None;
    }
    let (mut expanded, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once('$') {
        expanded.push_str(before);
        let (name, default, behind) = if let Some(inner) = after.strip_prefix('{') {
            let (inside, behind) = inner.split_once('}')?;
            let (name, default) = inside.split_once(":-").map_or((inside, None), |(n, d)| (n, Some(d)));
            (name, default, behind)
        } else {
            let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let end = after.find(|c| !is_name(c)).unwrap_or(after.len());
            (&after[..end], None, &after[end..])
        };
        let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !is_name || default.is_some_and(|default| default.contains('$')) {
            return None;
        }
        let value = variables.0.get(name).cloned().flatten().filter(|value| default.is_none() || !value.is_empty());
        expanded.push_str(&value.or_else(|| default.map(str::to_owned))?);
        rest = behind;
    }
    expanded.push_str(rest);
    (!expanded.is_empty()).then_some(expanded)
}
