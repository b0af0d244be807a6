//! Translates a pattern to a regular expression as moby does, and from Go's syntax to that of Rust.

use regex::Regex;

/// The way to match a pattern. moby has the same four kinds.
#[derive(Debug)]
pub(super) enum Matcher {
    /// The path equals the pattern.
    Exact(String),
    /// The path starts with this: a pattern that ends in `**`.
    Prefix(String),
    /// The path ends with this: a pattern that starts with `**` and is literal after it.
    Suffix(String),
    /// All other patterns.
    Regex(Regex),
}

/// The kind that moby assigns while it reads a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Exact,
    Prefix,
    Suffix,
    Regex,
}

impl Matcher {
    /// Compiles a cleaned pattern without its `!`. `None`: the result is not a valid regular expression.
    pub(super) fn new(pattern: &str) -> Option<Self> {
        let (shape, go) = go_expression(pattern);
        Some(match shape {
            Shape::Exact => Self::Exact(pattern.to_owned()),
            Shape::Prefix => Self::Prefix(pattern.strip_suffix("**").unwrap_or(pattern).to_owned()),
            Shape::Suffix => Self::Suffix(pattern.strip_prefix("**").unwrap_or(pattern).to_owned()),
            Shape::Regex => Self::Regex(Regex::new(&rust_expression(&go)?).ok()?),
        })
    }

    /// Whether the whole of `path` matches.
    pub(super) fn matches(&self, path: &str) -> bool {
        match self {
            Self::Exact(text) => path == text,
            Self::Prefix(text) => path.starts_with(text.as_str()),
            // `**/foo` matches `foo` too.
            Self::Suffix(text) => path.ends_with(text.as_str()) || text.strip_prefix('/') == Some(path),
            Self::Regex(regex) => regex.is_match(path),
        }
    }
}

/// The shape and the Go expression of a pattern, like moby's `Pattern.compile`.
///
/// The oddities of moby are kept, because they decide which files a build context contains. `*` is also translated
/// inside brackets. The special characters `|`, `{` and `}` are not escaped.
pub(super) fn go_expression(pattern: &str) -> (Shape, String) {
    let mut go = String::from("^");
    let mut shape = Shape::Exact;
    let mut chars = pattern.chars().peekable();
    let mut first = true;
    while let Some(c) = chars.next() {
        match c {
            '*' if chars.next_if_eq(&'*').is_some() => {
                // `**/` is the same as `**`.
                chars.next_if_eq(&'/');
                if chars.peek().is_some() {
                    go.push_str("(.*/)?");
                    shape = Shape::Regex;
                } else if shape == Shape::Exact {
                    shape = Shape::Prefix;
                } else {
                    go.push_str(".*");
                    shape = Shape::Regex;
                }
                if first {
                    shape = Shape::Suffix;
                }
            }
            '*' | '?' => {
                go.push_str(if c == '*' { "[^/]*" } else { "[^/]" });
                shape = Shape::Regex;
            }
            '.' | '+' | '(' | ')' | '$' => go.extend(['\\', c]),
            '\\' => {
                go.push('\\');
                if let Some(next) = chars.next() {
                    go.push(next);
                    shape = Shape::Regex;
                }
            }
            _ => {
                go.push(c);
                if c == '[' || c == ']' {
                    shape = Shape::Regex;
                }
            }
        }
        first = false;
    }
    go.push('$');
    (shape, go)
}

/// The same expression in the syntax of the `regex` crate. `None`: Go refuses the expression.
///
/// The dialects differ in four points. Brackets nest in Rust and support `&&`, `--` and `~~`. Braces without a
/// repetition differ, and so does `\<`. In Go, `\d`, `\s` and `\w` are ASCII. A backslash before any other letter or
/// digit is refused, although Go knows a few more escapes.
fn rust_expression(go: &str) -> Option<String> {
    let mut out = String::with_capacity(go.len());
    let mut rest = go;
    // Go refuses a repetition of a repetition, such as `a*{2}`.
    let mut repeated = false;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        let was_repeated = std::mem::replace(&mut repeated, matches!(c, '*' | '?'));
        match c {
            '\\' => rest = escape(rest, &mut out)?,
            '[' => rest = class(rest, &mut out)?,
            '{' => match repetition(rest) {
                Some(_) if was_repeated => return None,
                Some(length) => {
                    out.push('{');
                    out.push_str(&rest[..length]);
                    rest = &rest[length..];
                    repeated = true;
                }
                None => out.push_str("\\{"),
            },
            ']' | '}' => out.extend(['\\', c]),
            other => out.push(other),
        }
    }
    Some(out)
}

/// The length of `n}`, `n,}` or `n,m}` at the start of `rest`. Go reads every other brace literally.
fn repetition(rest: &str) -> Option<usize> {
    let end = rest.find('}')?;
    let (low, high) = rest[..end].split_once(',').unwrap_or((&rest[..end], ""));
    let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    (!low.is_empty() && number(low) && number(high)).then_some(end + 1)
}

/// Translates the text behind a backslash, outside of brackets. Returns the rest.
fn escape<'a>(rest: &'a str, out: &mut String) -> Option<&'a str> {
    let escaped = rest.chars().next()?;
    match perl_class(escaped) {
        Some(set) => out.push_str(set),
        None => push_literal(control(escaped)?, out),
    }
    Some(&rest[escaped.len_utf8()..])
}

/// Translates brackets. The caller has read the `[`. Returns the rest behind the `]`.
fn class<'a>(mut rest: &'a str, out: &mut String) -> Option<&'a str> {
    out.push('[');
    if let Some(after) = rest.strip_prefix('^') {
        out.push('^');
        rest = after;
    }
    let mut first = true;
    while first || !rest.starts_with(']') {
        first = false;
        if let Some(end) = rest.strip_prefix("[:").and_then(|name| name.find(":]")) {
            let name = &rest[..end + 4];
            if !POSIX_CLASSES.contains(&name.trim_matches(['[', ':', '^', ']'])) {
                return None;
            }
            out.push_str(name);
            rest = &rest[name.len()..];
            continue;
        }
        if let Some(set) = rest.strip_prefix('\\').and_then(|after| perl_class(after.chars().next()?)) {
            out.push_str(set);
            rest = &rest[2..];
            continue;
        }
        let low = class_char(&mut rest)?;
        push_literal(low, out);
        if rest.starts_with('-') && !rest[1..].starts_with(']') {
            rest = &rest[1..];
            let high = class_char(&mut rest).filter(|high| *high >= low)?;
            out.push('-');
            push_literal(high, out);
        }
    }
    out.push(']');
    rest.strip_prefix(']')
}

fn class_char(rest: &mut &str) -> Option<char> {
    let mut chars = rest.chars();
    let c = match chars.next()? {
        '\\' => control(chars.next()?)?,
        other => other,
    };
    *rest = chars.as_str();
    Some(c)
}

/// The character that Go reads for a backslash and this character: a control character, or the character itself.
fn control(escaped: char) -> Option<char> {
    Some(match escaped {
        'a' => '\x07',
        'f' => '\x0c',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\x0b',
        other if other.is_ascii() && !other.is_ascii_alphanumeric() => other,
        _ => return None,
    })
}

/// Perl's classes, which contain only ASCII in Go. Brackets nest in Rust, so the same text works inside and outside of
/// brackets.
fn perl_class(letter: char) -> Option<&'static str> {
    Some(match letter {
        'd' => "[0-9]",
        'D' => "[^0-9]",
        's' => r"[\t\n\f\r ]",
        'S' => r"[^\t\n\f\r ]",
        'w' => "[0-9A-Za-z_]",
        'W' => "[^0-9A-Za-z_]",
        _ => return None,
    })
}

const POSIX_CLASSES: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "word",
    "xdigit",
];

/// Writes a character in a form without a special meaning, inside and outside of brackets.
fn push_literal(c: char, out: &mut String) {
    if c.is_alphanumeric() {
        out.push(c);
    } else {
        out.extend(c.escape_unicode());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignore_pattern_translates_to_the_expression_of_moby() {
        for (pattern, shape, expression) in [
            ("*", Shape::Regex, "^[^/]*$"),
            ("file*", Shape::Regex, "^file[^/]*$"),
            ("*file", Shape::Regex, "^[^/]*file$"),
            ("a*/b", Shape::Regex, "^a[^/]*/b$"),
            ("**", Shape::Suffix, ""),
            ("**/**", Shape::Regex, "^(.*/)?.*$"),
            ("dir/**", Shape::Prefix, ""),
            ("**/dir", Shape::Suffix, ""),
            ("**/dir2/*", Shape::Regex, "^(.*/)?dir2/[^/]*$"),
            ("**/dir2/**", Shape::Regex, "^(.*/)?dir2/.*$"),
            ("**file", Shape::Suffix, ""),
            ("**/file*txt", Shape::Regex, "^(.*/)?file[^/]*txt$"),
            ("**/**/*.txt", Shape::Regex, r"^(.*/)?(.*/)?[^/]*\.txt$"),
            ("a[b-d]e", Shape::Regex, "^a[b-d]e$"),
            (".*", Shape::Regex, r"^\.[^/]*$"),
            ("abc.def", Shape::Exact, ""),
            ("abc?def", Shape::Regex, "^abc[^/]def$"),
            ("**/foo/bar", Shape::Suffix, ""),
            ("a(b)c/def", Shape::Exact, ""),
            ("a.|)$(}+{bc", Shape::Exact, ""),
            ("dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl", Shape::Exact, ""),
        ] {
            let (found, go) = go_expression(pattern);
            assert_eq!(found, shape, "{pattern}");
            if shape == Shape::Regex {
                assert_eq!(go, expression, "{pattern}");
            }
        }
    }

    #[test]
    fn go_expressions_with_brackets_and_classes_are_read() {
        for (pattern, path, matches) in [
            ("[a&&b]x", "&x", true),
            ("[[]x", "[x", true),
            ("[a~~]x", "~x", true),
            ("{a,b}*", "{a,b}c", true),
            ("a{2}*", "aab", true),
            ("a|b*", "anything at all is what moby makes of this? no: it begins with a", true),
            (r"\<a*", "<ab", true),
            (r"[\d]x", "7x", true),
            (r"\d*", "٣", false),
        ] {
            assert_eq!(Matcher::new(pattern).unwrap().matches(path), matches, "{pattern} {path}");
        }
        for refused in [r"\Q*", "[Local-Only]", "a*{2}", "[[:nope:]]"] {
            assert!(Matcher::new(refused).is_none(), "{refused}");
        }
    }
}
