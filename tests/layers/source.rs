//! Rust source as the rules of the house see it: tokens with lines, without comments, texts and test code.

use std::collections::BTreeSet;

/// A word or a mark, and the line that it stands on. What a text literal says is left out: it is `"`, once a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) line: usize,
    pub(crate) text: String,
}

/// One file under `src`.
#[derive(Debug)]
pub(crate) struct Source {
    /// Relative to the package, with `/`: `src/plan/model.rs`.
    pub(crate) path: String,
    /// What is compiled into the library or the program, so without items under `#[cfg(test)]`.
    pub(crate) tokens: Vec<Token>,
    /// How many lines the file has without its test code, blank lines and comments counted.
    pub(crate) lines: usize,
    /// Each comment and each text literal as it is written, with the line that it begins on.
    pub(crate) comments: Vec<Token>,
    pub(crate) literals: Vec<Token>,
    /// Modules that are declared under `#[cfg(test)]` and stand in a file of their own.
    pub(crate) test_modules: Vec<String>,
}

/// A path as it stands in an expression or, with its groups resolved, in a `use`: `crate::plan::Plan`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PathAt {
    pub(crate) line: usize,
    pub(crate) segments: Vec<String>,
}

/// A name that a `use` brings in, or `*` for all names of a module.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Use {
    pub(crate) is_public: bool,
    pub(crate) segments: Vec<String>,
    pub(crate) name: String,
}

impl Source {
    pub(crate) fn read(path: &str, text: &str) -> Self {
        let Lexer { tokens, comments, literals, .. } = lexed(text);
        let (path, lines) = (path.to_owned(), text.lines().count());
        let mut source = Self { path, tokens, lines, comments, literals, test_modules: Vec::new() };
        source.drop_tests();
        source
    }

    /// How many lines have code on them.
    pub(crate) fn code_lines(&self) -> usize {
        self.tokens.iter().map(|token| token.line).collect::<BTreeSet<_>>().len()
    }

    /// Every path of two or more segments.
    pub(crate) fn paths(&self) -> Vec<PathAt> {
        let mut found = Vec::new();
        let mut at = 0;
        while at < self.tokens.len() {
            at = if is_word(self.text(at)) { self.path_from(at, &[], &mut found) } else { at + 1 };
        }
        found.retain(|path| path.segments.len() > 1);
        found
    }

    /// Every name that a `use` brings in.
    pub(crate) fn uses(&self) -> Vec<Use> {
        let mut found = Vec::new();
        for at in (0..self.tokens.len()).filter(|&at| self.text(at) == "use") {
            let end = (at..self.tokens.len()).find(|&i| self.text(i) == ";").unwrap_or(self.tokens.len());
            let is_public = at > 0 && matches!(self.text(at - 1), "pub" | ")");
            let mut paths = Vec::new();
            self.path_from(at + 1, &[], &mut paths);
            // Only one name at the end of a `use`, or none, has another one here: groups of ours rename nothing.
            let renamed = (self.text(end - 2) == "as").then(|| self.text(end - 1).to_owned());
            for PathAt { mut segments, .. } in paths.into_iter().filter(|path| !path.segments.is_empty()) {
                if segments.last().is_some_and(|last| last == "self") && segments.len() > 1 {
                    segments.pop();
                }
                let name = renamed.clone().or_else(|| segments.last().cloned()).unwrap_or_default();
                found.push(Use { is_public, segments, name });
            }
        }
        found
    }

    /// The names behind the words that define something.
    pub(crate) fn defined(&self) -> BTreeSet<&str> {
        let words = ["struct", "enum", "union", "fn", "const", "static", "trait", "type", "macro_rules"];
        let at = (1..self.tokens.len()).filter(|&at| words.contains(&self.text(at - 1)));
        at.map(|at| self.text(at)).collect()
    }

    /// The text of a token, or nothing past the end.
    pub(crate) fn text(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", |token| &token.text)
    }

    /// Reads the path that starts at a token, below `prefix`, and gives the place behind it.
    fn path_from(&self, mut at: usize, prefix: &[String], found: &mut Vec<PathAt>) -> usize {
        let line = self.tokens[at].line;
        let mut segments = prefix.to_vec();
        while is_word(self.text(at)) || self.text(at) == "*" {
            segments.push(self.text(at).to_owned());
            at += 1;
            if self.text(at) != "::" {
                break;
            }
            at += 1;
            if self.text(at) == "{" {
                at += 1;
                while !matches!(self.text(at), "}" | "") {
                    at = if is_word(self.text(at)) { self.path_from(at, &segments, found) } else { at + 1 };
                }
                return at + 1;
            }
        }
        found.push(PathAt { line, segments });
        at
    }

    /// Takes out each item under `#[cfg(test)]`, with its lines.
    fn drop_tests(&mut self) {
        let mut at = 0;
        while at < self.tokens.len() {
            let Some(behind) = self.cfg_test(at) else {
                at += 1;
                continue;
            };
            let open = (behind..self.tokens.len()).find(|&i| matches!(self.text(i), "{" | ";"));
            let open = open.unwrap_or(self.tokens.len() - 1);
            let end = if self.text(open) == "{" { self.closing(open, "{", "}") } else { open };
            if let Some(word) = (behind..open).find(|&i| self.text(i) == "mod")
                && self.text(open) == ";"
            {
                self.test_modules.push(self.text(word + 1).to_owned());
            }
            let dropped = self.tokens[at].line..=self.tokens[end].line;
            self.lines -= dropped.clone().count();
            for texts in [&mut self.comments, &mut self.literals] {
                texts.retain(|text| !dropped.contains(&text.line));
            }
            self.tokens.drain(at..=end);
        }
    }

    /// The place behind the attribute if one that asks for `test` starts here.
    fn cfg_test(&self, at: usize) -> Option<usize> {
        if [self.text(at), self.text(at + 1), self.text(at + 2)] != ["#", "[", "cfg"] {
            return None;
        }
        let end = self.closing(at + 1, "[", "]");
        let words: Vec<_> = (at..end).map(|i| self.text(i)).collect();
        (words.contains(&"test") && !words.contains(&"not")).then_some(end + 1)
    }

    /// Where the bracket that opens at a place is closed.
    fn closing(&self, from: usize, open: &str, close: &str) -> usize {
        let mut depth = 0_usize;
        for at in from..self.tokens.len() {
            if self.text(at) == open {
                depth += 1;
            } else if self.text(at) == close {
                depth -= 1;
                if depth == 0 {
                    return at;
                }
            }
        }
        self.tokens.len() - 1
    }
}

fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

fn lexed(text: &str) -> Lexer<'_> {
    let mut lexer = Lexer { rest: text, line: 1, tokens: Vec::new(), comments: Vec::new(), literals: Vec::new() };
    while let Some(first) = lexer.rest.chars().next() {
        lexer.next(first);
    }
    lexer
}

struct Lexer<'a> {
    rest: &'a str,
    line: usize,
    tokens: Vec<Token>,
    comments: Vec<Token>,
    literals: Vec<Token>,
}

impl Lexer<'_> {
    fn next(&mut self, first: char) {
        let word = self.rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(self.rest.len());
        if self.rest.starts_with("//") {
            let length = self.rest.find('\n').unwrap_or(self.rest.len());
            self.comments.push(self.written(length));
            self.skip(length);
        } else if self.rest.starts_with("/*") {
            let length = block_comment(self.rest);
            self.comments.push(self.written(length));
            self.skip(length);
        } else if let Some(length) = string(self.rest) {
            self.literals.push(self.written(length));
            for line in self.line..=self.line + self.rest[..length].matches('\n').count() {
                self.tokens.push(Token { line, text: "\"".to_owned() });
            }
            self.skip(length);
        } else if word > 0 {
            self.token(word);
        } else if self.rest.starts_with("::") {
            self.token(2);
        } else if first.is_whitespace() {
            self.skip(first.len_utf8());
        } else if first == '\'' {
            self.skip(quoted(self.rest));
        } else {
            self.token(first.len_utf8());
        }
    }

    fn token(&mut self, length: usize) {
        self.tokens.push(self.written(length));
        self.skip(length);
    }

    fn written(&self, length: usize) -> Token {
        Token { line: self.line, text: self.rest[..length].to_owned() }
    }

    fn skip(&mut self, length: usize) {
        self.line += self.rest[..length].matches('\n').count();
        self.rest = &self.rest[length..];
    }
}

/// The length of a block comment with those inside it.
fn block_comment(text: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        if text[at..].starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if text[at..].starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                break;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    at
}

/// The length of a text literal, raw or not, if one starts here.
fn string(text: &str) -> Option<usize> {
    let quote = text.find('"')?;
    let (prefix, hashes) = text[..quote].split_at(text[..quote].find('#').unwrap_or(quote));
    if !matches!(prefix, "" | "b" | "c" | "r" | "br" | "cr") || hashes.contains(|c| c != '#') {
        return None;
    }
    let start = quote + 1;
    if prefix.ends_with('r') {
        let end = format!("\"{hashes}");
        return Some(start + text[start..].find(&end)? + end.len());
    }
    if !hashes.is_empty() {
        return None;
    }
    let mut escaped = false;
    let end = text[start..].find(|c| {
        let closes = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        closes
    })?;
    Some(start + end + 1)
}

/// The length of a character literal, or of the mark alone where a lifetime starts.
fn quoted(text: &str) -> usize {
    let mut chars = text[1..].chars();
    match (chars.next(), chars.next()) {
        (Some('\\'), Some(escaped)) => {
            let start = 2 + escaped.len_utf8();
            text[start..].find('\'').map_or(1, |end| start + end + 1)
        }
        (Some(only), Some('\'')) => only.len_utf8() + 2,
        _ => 1,
    }
}

#[test]
fn source_reader_finds_paths_in_groups() {
    let source = Source::read("src/a.rs", "use crate::{plan::{A, b::B}, engine};\nlet x = std::env::var(Y);");
    let paths: Vec<_> = source.paths().into_iter().map(|path| (path.line, path.segments.join("::"))).collect();
    let expected = ["crate::plan::A", "crate::plan::b::B", "crate::engine"].map(|path| (1, path.to_owned()));
    assert_eq!(paths[..3], expected);
    assert_eq!(paths[3..], [(2, "std::env::var".to_owned())]);
}

#[test]
fn source_reader_skips_comments_strings_and_test_code() {
    let text = r#"
// crate::engine
/* crate::engine /* nested */ crate::engine */
/// `crate::engine`
fn f<'a>(x: &'a str) -> char { let _ = ("crate::engine \" \\", r"crate::engine \", '"', '\'', b'"'); 'c' }
#[cfg(test)]
mod tests {
    use crate::engine::X;
}
#[cfg(test)]
mod fakes;
fn last() { crate::plan::y() }
"#;
    let source = Source::read("src/a.rs", text);
    let paths: Vec<_> = source.paths().into_iter().map(|path| path.segments.join("::")).collect();
    assert_eq!(paths, ["crate::plan::y"]);
    assert_eq!(source.test_modules, ["fakes"]);
    assert_eq!((source.lines, source.code_lines()), (6, 2));
    let texts = |tokens: &[Token]| tokens.iter().map(|token| (token.line, token.text.clone())).collect::<Vec<_>>();
    assert_eq!(texts(&source.comments)[2], (4, "/// `crate::engine`".to_owned()));
    assert_eq!((texts(&source.comments).len(), texts(&source.literals).len()), (3, 2));
}
