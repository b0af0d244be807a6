//! Go's path and glob functions, which define the formats of ignore files and patterns.
//!
//! `.dockerignore`, `BuildKit`'s patterns and its followpaths follow Go's `path.Clean` and `filepath.Match` (Go,
//! packages `path` and `path/filepath`, Unix rules).

/// The shortest path that names the same place, by lexical rules alone (Go's `path.Clean`).
///
/// An empty path becomes `.`. `..` above the start is kept in a relative path and dropped in an absolute path.
pub(in crate::context) fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if rooted => {}
            _ => parts.push(part),
        }
    }
    match (rooted, parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => parts.join("/"),
    }
}

/// Everything before the last slash, cleaned (Go's `path.Dir`).
pub(super) fn parent(path: &str) -> String {
    clean(path.rfind('/').map_or("", |slash| &path[..=slash]))
}

/// A glob in the syntax of Go's `filepath.Match`.
#[derive(Debug)]
pub(in crate::context) struct Glob(Vec<Token>);

#[derive(Debug)]
enum Token {
    /// `*`: any number of characters except the slash.
    Star,
    /// `?`: one character except the slash.
    Any,
    /// `[…]`: one character of these ranges. With `^`, one character outside of them.
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
    Char(char),
}

impl Glob {
    /// Parses `pattern`; `None` is Go's `ErrBadPattern`.
    pub(in crate::context) fn parse(pattern: &str) -> Option<Self> {
        let mut tokens = Vec::new();
        let mut chars = pattern.chars();
        while let Some(c) = chars.next() {
            tokens.push(match c {
                '*' => Token::Star,
                '?' => Token::Any,
                '[' => class(&mut chars)?,
                '\\' => Token::Char(chars.next()?),
                other => Token::Char(other),
            });
        }
        Some(Self(tokens))
    }

    /// Whether the glob matches the whole of `name`. The time is bounded by the product of both lengths.
    pub(in crate::context) fn matches(&self, name: &str) -> bool {
        let name: Vec<char> = name.chars().collect();
        let (mut token, mut at) = (0, 0);
        // The state to return to if the text after the last star does not match. The star then takes one more
        // character.
        let mut retry: Option<(usize, usize)> = None;
        while at < name.len() || token < self.0.len() {
            let step = match (self.0.get(token), name.get(at)) {
                (Some(Token::Star), _) => {
                    retry = Some((token, at));
                    token += 1;
                    continue;
                }
                (Some(one), Some(&c)) => one.takes(c),
                _ => false,
            };
            if step {
                (token, at) = (token + 1, at + 1);
                continue;
            }
            match retry {
                Some((star, from)) if name.get(from).is_some_and(|c| *c != '/') => {
                    retry = Some((star, from + 1));
                    (token, at) = (star + 1, from + 1);
                }
                _ => return false,
            }
        }
        true
    }
}

impl Token {
    fn takes(&self, c: char) -> bool {
        match self {
            Self::Star => false,
            Self::Any => c != '/',
            Self::Char(own) => *own == c,
            Self::Class { negated, ranges } => ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)) != *negated,
        }
    }
}

/// Reads a class including its `]`. The caller has read the `[`.
fn class(chars: &mut std::str::Chars<'_>) -> Option<Token> {
    let negated = chars.as_str().starts_with('^');
    if negated {
        chars.next();
    }
    let mut ranges = Vec::new();
    loop {
        if !ranges.is_empty() && chars.as_str().starts_with(']') {
            chars.next();
            return Some(Token::Class { negated, ranges });
        }
        let low = class_char(chars)?;
        let mut high = low;
        if chars.as_str().starts_with('-') {
            chars.next();
            high = class_char(chars)?;
        }
        ranges.push((low, high));
    }
}

/// One character of a class. `-` and `]` need a backslash.
fn class_char(chars: &mut std::str::Chars<'_>) -> Option<char> {
    match chars.next()? {
        '-' | ']' => None,
        '\\' => chars.next(),
        other => Some(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_is_cleaned_as_in_go() {
        for (path, cleaned) in [
            ("", "."),
            ("/", "/"),
            ("//a//", "/a"),
            ("a/./b/../c/", "a/c"),
            ("../a", "../a"),
            ("../../a", "../../a"),
            ("/../a", "/a"),
            ("a/../..", ".."),
            ("docs/", "docs"),
            ("!foo/../bar", "bar"),
        ] {
            assert_eq!(clean(path), cleaned, "{path:?}");
        }
        for (path, dir) in [("a", "."), ("a/b", "a"), ("a/b/", "a/b"), ("/a", "/"), ("/", "/"), ("", ".")] {
            assert_eq!(parent(path), dir, "{path:?}");
        }
    }

    #[test]
    fn glob_matches_as_in_go_filepath_match() {
        for (pattern, name, matches) in [
            ("abc", "abc", true),
            ("*", "abc", true),
            ("*c", "abc", true),
            ("a*", "ab/c", false),
            ("a*/b", "abc/b", true),
            ("a*/b", "a/c/b", false),
            ("a*b*c*d*e*/f", "axbxcxdxexxx/f", true),
            ("a*b*c*d*e*/f", "axbxcxdxe/xxx/f", false),
            ("a*b?c*x", "abxbbxdbxebxczzx", true),
            ("a*b?c*x", "abxbbxdbxebxczzy", false),
            ("ab[^b-d]", "abc", false),
            ("a?b", "a☺b", true),
            ("a???b", "a☺b", false),
            ("[z-a]", "b", false),
            ("a\\*b", "a*b", true),
            ("a\\*b", "ab", false),
            ("", "", true),
            ("*", "", true),
        ] {
            assert_eq!(Glob::parse(pattern).unwrap().matches(name), matches, "{pattern} {name}");
        }
        for bad in ["[", "[^", "[^bc", "a[", "[]a]", "[-]", "[x-]", "[-x]", "[a-b-c]", "\\", "a\\"] {
            assert!(Glob::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn glob_with_many_stars_takes_no_exponential_time() {
        let glob = Glob::parse(&"*a".repeat(200)).unwrap();
        assert!(!glob.matches(&format!("{}b", "a".repeat(4000))));
    }
}
