//! Ignore patterns with the semantics of `moby/patternmatcher`.

use std::fmt;

use super::glob::{self, Glob};
use super::regexp::Matcher;

/// An ordered list of patterns from `.dockerignore`, or from `BuildKit`'s `exclude-patterns` and `include-patterns`
/// (moby/patternmatcher).
///
/// The last pattern that matches a path or one of its parents decides. A pattern with `!` revokes the matches before
/// it. Paths are relative to the root of the context, with `/` as separator. The time to match is proportional to the
/// lengths of the path and of the patterns.
#[derive(Debug, Default)]
pub struct Patterns(Vec<Pattern>);

/// One pattern of a list.
#[derive(Debug)]
pub struct Pattern {
    exception: bool,
    cleaned: String,
    matcher: Matcher,
}

/// Why a list of patterns is refused. Messages escape the pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// A `!` without a path.
    #[error("the pattern \"!\" has no path")]
    EmptyException,
    /// The pattern violates the syntax of Go's `filepath.Match`, or of the expression that is made from it.
    #[error("the pattern {0:?} is malformed")]
    Malformed(String),
    /// A line of an ignore file is longer than 64 KiB.
    #[error("line {0} of the ignore file is longer than 64 KiB")]
    LineTooLong(usize),
}

impl PatternError {
    /// The next step.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::EmptyException => "write the path after the `!`, or remove the line",
            Self::Malformed(_) => "close every `[`, and write a backslash before a literal `[`, `*` or `?`",
            Self::LineTooLong(_) => "write one pattern on each line",
        }
    }
}

/// The patterns that matched a directory. Its children receive them, so that each parent is matched only once.
#[derive(Debug, Clone, Default)]
pub struct MatchInfo(Box<[bool]>);

/// The result of [`Patterns::verdict`].
#[derive(Debug, Clone, Copy)]
pub struct IgnoreVerdict<'a> {
    /// Whether the list matches the path. For ignore patterns this means that the path is excluded.
    pub matched: bool,
    /// The pattern that decided. `None`: no pattern matched.
    pub by: Option<&'a Pattern>,
}

impl Patterns {
    /// Compiles patterns. Blank ones are skipped. The others are trimmed and cleaned (Go's `filepath.Clean`).
    ///
    /// # Errors
    ///
    /// A lone `!`, or a pattern with a syntax error. moby finds some of these errors only at the first match. moby
    /// never checks brackets such as `[a-]` behind a literal and a `*`. polyarch refuses both.
    pub fn new<I>(lines: I) -> Result<Self, PatternError>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let trimmed = lines.into_iter().map(|line| line.as_ref().trim().to_owned());
        trimmed.filter(|line| !line.is_empty()).map(|line| Pattern::new(&line)).collect::<Result<_, _>>().map(Self)
    }

    /// The patterns in their order.
    pub fn iter(&self) -> impl Iterator<Item = &Pattern> {
        self.0.iter()
    }

    /// Whether the list has no patterns.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a pattern begins with `!`.
    pub fn has_exceptions(&self) -> bool {
        self.0.iter().any(|pattern| pattern.exception)
    }

    /// Whether the list matches `path` or one of its parents (moby's `MatchesOrParentMatches`).
    pub fn matches_or_parent_matches(&self, path: &str) -> bool {
        self.decide(path).is_some_and(|index| !self.0[index].exception)
    }

    /// Like [`Self::matches_or_parent_matches`], for any spelling of a path, and with the pattern that decided. The
    /// root itself never matches.
    pub fn verdict(&self, path: &str) -> IgnoreVerdict<'_> {
        let path = glob::clean(path);
        let by = if path == "." { None } else { self.decide(&path).map(|index| &self.0[index]) };
        IgnoreVerdict { matched: by.is_some_and(|pattern| !pattern.exception), by }
    }

    /// Whether the list matches `path`, given the matches of its parent directory (moby's
    /// `MatchesUsingParentResults`). The second result is for the children of `path`.
    ///
    /// Without a parent, the function also matches the parents of `path`.
    pub fn matches_using_parent(&self, path: &str, parent: Option<&MatchInfo>) -> (bool, MatchInfo) {
        let mut matched = false;
        let mut info = vec![false; self.0.len()];
        for (index, pattern) in self.0.iter().enumerate() {
            let inherited = parent.is_some_and(|parent| parent.0.get(index).copied().unwrap_or_default());
            // A pattern that cannot change the result is skipped.
            if !inherited && pattern.exception != matched {
                continue;
            }
            let own = inherited || pattern.matches(path) || (parent.is_none() && pattern.matches_a_parent(path));
            info[index] = own;
            if own {
                matched = !pattern.exception;
            }
        }
        (matched, MatchInfo(info.into()))
    }

    /// The index of the pattern that decides about `path`.
    fn decide(&self, path: &str) -> Option<usize> {
        let mut last: Option<usize> = None;
        for (index, pattern) in self.0.iter().enumerate() {
            let matched = last.is_some_and(|last| !self.0[last].exception);
            if pattern.exception == matched && (pattern.matches(path) || pattern.matches_a_parent(path)) {
                last = Some(index);
            }
        }
        last
    }
}

impl Pattern {
    fn new(line: &str) -> Result<Self, PatternError> {
        // Like moby, clean the path before looking for the `!`.
        let cleaned = glob::clean(line);
        let (exception, pattern) = match cleaned.strip_prefix('!') {
            Some("") => return Err(PatternError::EmptyException),
            Some(pattern) => (true, pattern),
            None => (false, cleaned.as_str()),
        };
        let malformed = || PatternError::Malformed(pattern.to_owned());
        Glob::parse(pattern).ok_or_else(malformed)?;
        let matcher = Matcher::new(pattern).ok_or_else(malformed)?;
        Ok(Self { exception, cleaned: pattern.to_owned(), matcher })
    }

    /// Whether the pattern begins with `!`.
    pub fn is_exception(&self) -> bool {
        self.exception
    }

    /// Whether the pattern has no `!`.
    pub fn is_inclusion(&self) -> bool {
        !self.exception
    }

    /// The cleaned pattern without its `!`.
    pub fn as_str(&self) -> &str {
        &self.cleaned
    }

    fn matches(&self, path: &str) -> bool {
        self.matcher.matches(path)
    }

    fn matches_a_parent(&self, path: &str) -> bool {
        let parent = glob::parent(path);
        if parent == "." {
            return false;
        }
        let ends = parent.match_indices('/').map(|(slash, _)| slash).chain([parent.len()]);
        ends.into_iter().any(|end| self.matches(&parent[..end]))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.exception { "!" } else { "" }, self.cleaned)
    }
}

/// The longest line of an ignore file. Go's `bufio.Scanner` has the same limit.
const MAX_LINE: usize = 64 * 1024;

/// Reads the lines of a `.dockerignore` file into patterns (moby/patternmatcher, package `ignorefile`).
///
/// A byte order mark is dropped. Blank lines and lines that start with `#` are skipped. The other lines are trimmed
/// and cleaned, and lose one leading slash, also behind a `!`. Bytes that are not UTF-8 are replaced.
///
/// # Errors
///
/// A line of 64 KiB or more.
pub fn parse_ignore_file(bytes: &[u8]) -> Result<Vec<String>, PatternError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut patterns = Vec::new();
    for (number, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        if line.len() >= MAX_LINE {
            return Err(PatternError::LineTooLong(number + 1));
        }
        if line.starts_with(b"#") {
            continue;
        }
        let line = String::from_utf8_lossy(line);
        let line = line.trim();
        let (mark, path) = line.strip_prefix('!').map_or(("", line), |path| ("!", path.trim()));
        if path.is_empty() {
            patterns.extend((!mark.is_empty()).then(|| mark.to_owned()));
            continue;
        }
        let cleaned = glob::clean(path);
        let relative = cleaned.strip_prefix('/').filter(|relative| !relative.is_empty()).unwrap_or(&cleaned);
        patterns.push(format!("{mark}{relative}"));
    }
    Ok(patterns)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The published test cases of moby/patternmatcher for one pattern: pattern, path, matches.
    const ONE: &[(&str, &str, bool)] = &[
        ("**", "file", true),
        ("**", "file/", true),
        ("**/", "file", true),
        ("**/", "file/", true),
        ("**", "/", true),
        ("**/", "/", true),
        ("**", "dir/file", true),
        ("**/", "dir/file", true),
        ("**", "dir/file/", true),
        ("**/", "dir/file/", true),
        ("**/**", "dir/file", true),
        ("**/**", "dir/file/", true),
        ("dir/**", "dir/file", true),
        ("dir/**", "dir/file/", true),
        ("dir/**", "dir/dir2/file", true),
        ("dir/**", "dir/dir2/file/", true),
        ("**/dir", "dir", true),
        ("**/dir", "dir/file", true),
        ("**/dir2/*", "dir/dir2/file", true),
        ("**/dir2/*", "dir/dir2/file/", true),
        ("**/dir2/**", "dir/dir2/dir3/file", true),
        ("**/dir2/**", "dir/dir2/dir3/file/", true),
        ("**file", "file", true),
        ("**file", "dir/file", true),
        ("**/file", "dir/file", true),
        ("**file", "dir/dir/file", true),
        ("**/file", "dir/dir/file", true),
        ("**/file*", "dir/dir/file", true),
        ("**/file*", "dir/dir/file.txt", true),
        ("**/file*txt", "dir/dir/file.txt", true),
        ("**/file*.txt", "dir/dir/file.txt", true),
        ("**/file*.txt*", "dir/dir/file.txt", true),
        ("**/**/*.txt", "dir/dir/file.txt", true),
        ("**/**/*.txt2", "dir/dir/file.txt", false),
        ("**/*.txt", "file.txt", true),
        ("**/**/*.txt", "file.txt", true),
        ("a**/*.txt", "a/file.txt", true),
        ("a**/*.txt", "a/dir/file.txt", true),
        ("a**/*.txt", "a/dir/dir/file.txt", true),
        ("a/*.txt", "a/dir/file.txt", false),
        ("a/*.txt", "a/file.txt", true),
        ("a/*.txt**", "a/file.txt", true),
        ("a[b-d]e", "ae", false),
        ("a[b-d]e", "ace", true),
        ("a[b-d]e", "aae", false),
        ("a[^b-d]e", "aze", true),
        (".*", ".foo", true),
        (".*", "foo", false),
        ("abc.def", "abcdef", false),
        ("abc.def", "abc.def", true),
        ("abc.def", "abcZdef", false),
        ("abc?def", "abcZdef", true),
        ("abc?def", "abcdef", false),
        ("a\\\\", "a\\", true),
        ("**/foo/bar", "foo/bar", true),
        ("**/foo/bar", "dir/foo/bar", true),
        ("**/foo/bar", "dir/dir2/foo/bar", true),
        ("abc/**", "abc", false),
        ("abc/**", "abc/def", true),
        ("abc/**", "abc/def/ghi", true),
        ("**/.foo", ".foo", true),
        ("**/.foo", "bar.foo", false),
        ("a(b)c/def", "a(b)c/def", true),
        ("a(b)c/def", "a(b)c/xyz", false),
        ("a.|)$(}+{bc", "a.|)$(}+{bc", true),
        (WHEEL, WHEEL, true),
        ("dist/*.whl", WHEEL, true),
        ("a\\*b", "a*b", true),
        // moby's copy of the table for Go's filepath.Match.
        ("abc", "abc", true),
        ("*", "abc", true),
        ("*c", "abc", true),
        ("a*", "a", true),
        ("a*", "abc", true),
        ("a*", "ab/c", true),
        ("a*/b", "abc/b", true),
        ("a*/b", "a/c/b", false),
        ("a*b*c*d*e*/f", "axbxcxdxe/f", true),
        ("a*b*c*d*e*/f", "axbxcxdxexxx/f", true),
        ("a*b*c*d*e*/f", "axbxcxdxe/xxx/f", false),
        ("a*b*c*d*e*/f", "axbxcxdxexxx/fff", false),
        ("a*b?c*x", "abxbbxdbxebxczzx", true),
        ("a*b?c*x", "abxbbxdbxebxczzy", false),
        ("ab[c]", "abc", true),
        ("ab[b-d]", "abc", true),
        ("ab[e-g]", "abc", false),
        ("ab[^c]", "abc", false),
        ("ab[^b-d]", "abc", false),
        ("ab[^e-g]", "abc", true),
        ("a\\*b", "ab", false),
        ("a?b", "a☺b", true),
        ("a[^a]b", "a☺b", true),
        ("a???b", "a☺b", false),
        ("a[^a][^a][^a]b", "a☺b", false),
        ("[a-ζ]*", "α", true),
        ("*[a-ζ]", "A", false),
        ("a?b", "a/b", false),
        ("a*b", "a/b", false),
        ("[\\]a]", "]", true),
        ("[\\-]", "-", true),
        ("[x\\-]", "x", true),
        ("[x\\-]", "-", true),
        ("[x\\-]", "z", false),
        ("[\\-x]", "x", true),
        ("[\\-x]", "-", true),
        ("[\\-x]", "a", false),
        ("*x", "xxx", true),
        ("*.go", "fileutils.go", true),
    ];

    const WHEEL: &str = "dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl";

    /// The test cases for several patterns.
    const SEVERAL: &[(&[&str], &str, bool)] = &[
        (&["**", "!util/docker/web"], "util/docker/web/foo", false),
        (&["**", "!util/docker/web", "util/docker/web/foo"], "util/docker/web/foo", true),
        (&["**", "!dist/proxy.py-2.4.0rc3.dev36+g08acad9-py3-none-any.whl"], WHEEL, false),
        (&["**", "!dist/*.whl"], WHEEL, false),
        (&["!fileutils.go", "*.go"], "fileutils.go", true),
        (&["*.go", "!fileutils.go"], "fileutils.go", false),
        (&["docs", "!docs/README.md"], "docs/README.md", false),
        (&["docs/", "!docs/README.md"], "docs/README.md", false),
        (&["docs/*", "!docs/README.md"], "docs/README.md", false),
        (&[], "/any/path/there", false),
        // moby/moby#33425: a pattern without a slash matches only in the root.
        (&[".env"], ".env", true),
        (&[".env"], "sub/.env", false),
        (&["**/.env"], "sub/.env", true),
    ];

    /// Matches parents first, as a walk does.
    fn from_parent_to_child(patterns: &Patterns, path: &str) -> bool {
        let parent = glob::parent(path);
        let mut info = None;
        if parent != "." {
            for end in parent.match_indices('/').map(|(slash, _)| slash).chain([parent.len()]) {
                info = Some(patterns.matches_using_parent(&parent[..end], info.as_ref()).1);
            }
        }
        patterns.matches_using_parent(path, info.as_ref()).0
    }

    #[test]
    fn ignore_patterns_pass_the_table_of_moby_in_all_three_ways() {
        let one = ONE.iter().map(|(pattern, path, matches)| (vec![*pattern], *path, *matches));
        let several = SEVERAL.iter().map(|(patterns, path, matches)| (patterns.to_vec(), *path, *matches));
        for (list, path, matches) in one.chain(several) {
            let patterns = Patterns::new(&list).unwrap();
            assert_eq!(patterns.matches_or_parent_matches(path), matches, "{list:?} {path:?}");
            assert_eq!(from_parent_to_child(&patterns, path), matches, "from the parent: {list:?} {path:?}");
            assert_eq!(patterns.matches_using_parent(path, None).0, matches, "without a parent: {list:?} {path:?}");
        }
    }

    #[test]
    fn ignore_patterns_that_moby_refuses_are_refused() {
        for bad in
            ["[]a]", "[-]", "[x-]", "[-x]", "\\", "[a-b-c]", "[", "[^", "[^bc", "a[", "[Local-Only]/", "!a[", "!a\\"]
        {
            assert!(matches!(Patterns::new([bad]), Err(PatternError::Malformed(_))), "{bad}");
        }
        assert_eq!(Patterns::new(["!"]).unwrap_err(), PatternError::EmptyException);
    }

    #[test]
    fn ignore_patterns_are_trimmed_and_blank_ones_dropped() {
        assert_eq!(Patterns::new(["docs", "config", "", "  "]).unwrap().iter().count(), 2);
        for exception in ["!docs/README.md", "  !docs/README.md", "!docs/README.md  "] {
            let patterns = Patterns::new(["docs", exception]).unwrap();
            assert!(patterns.has_exceptions());
            assert_eq!(patterns.iter().last().unwrap().to_string(), "!docs/README.md");
        }
        assert!(!Patterns::new(["docs"]).unwrap().has_exceptions());
    }

    #[test]
    fn ignore_verdict_names_the_deciding_pattern() {
        let patterns = Patterns::new(["**", "!src", "src/*.tmp"]).unwrap();
        for (path, ignored, by) in [
            ("README", true, Some("**")),
            ("src/a.rs", false, Some("!src")),
            ("./src//a.rs", false, Some("!src")),
            ("src/a.tmp", true, Some("src/*.tmp")),
            (".", false, None),
        ] {
            let verdict = patterns.verdict(path);
            assert_eq!(verdict.matched, ignored, "{path}");
            assert_eq!(verdict.by.map(ToString::to_string).as_deref(), by, "{path}");
        }
    }

    #[test]
    fn ignore_file_is_parsed_as_in_moby() {
        let file = "test1\n/test2\n/a/file/here\n\nlastfile\n# this is a comment\n! /inverted/abs/path\n!\n! ";
        let patterns = ["test1", "test2", "a/file/here", "lastfile", "!inverted/abs/path", "!", "!"];
        assert_eq!(parse_ignore_file(file.as_bytes()).unwrap(), patterns);
        let file = b"\xef\xbb\xbf# comment\r\na \r\n # no comment\r\n/\r\n!/\r\n//b//c/../d/\r\n";
        assert_eq!(parse_ignore_file(file).unwrap(), ["a", "# no comment", "/", "!/", "b/d"]);
        assert!(parse_ignore_file(b"").unwrap().is_empty());
        let long = [b"a\n".as_slice(), &vec![b'x'; MAX_LINE]].concat();
        assert_eq!(parse_ignore_file(&long), Err(PatternError::LineTooLong(2)));
    }

    proptest! {
        #[test]
        fn ignore_patterns_never_panic(pattern in "[a-c/*?\\[\\]\\\\^!.{}|(),0-9 -]{0,24}|\\PC{0,24}", path in "[a-c/.]{0,24}|\\PC{0,24}") {
            if let Ok(patterns) = Patterns::new([&pattern]) {
                let matched = patterns.matches_or_parent_matches(&path);
                prop_assert_eq!(matched, patterns.matches_using_parent(&path, None).0);
                patterns.verdict(&path);
            }
            let _ = parse_ignore_file(pattern.as_bytes());
        }

        /// Without `!`, matching each child in a walk gives the same result as matching the whole path. With `!`, the
        /// two functions of moby differ by design (buildx#850).
        #[test]
        fn ignore_decisions_of_walk_and_whole_path_agree(pattern in "[ab/*?]{1,8}", path in "[ab]{1,2}(/[ab]{1,2}){0,3}") {
            let patterns = Patterns::new([&pattern]).unwrap();
            prop_assert_eq!(patterns.matches_or_parent_matches(&path), from_parent_to_child(&patterns, &path));
        }
    }

    #[test]
    fn ignore_pattern_of_many_stars_takes_linear_time() {
        let patterns = Patterns::new(["*a".repeat(100), "**/".repeat(100) + "b"]).unwrap();
        assert!(!patterns.matches_or_parent_matches(&format!("{}c", "a/a".repeat(1000))));
    }
}
