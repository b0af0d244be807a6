//! Rust source as the rules of the house see it: paths, names, texts and comments, with lines and without test code.

use std::collections::{BTreeMap, BTreeSet};
use std::iter::Peekable;

use proc_macro2::{Group, Ident, Spacing, Span, TokenStream, TokenTree, token_stream};
use syn::visit::{self, Visit};
use syn::{Attribute, Expr, ExprLit, Item, Lit, Meta, UseTree, Visibility};

/// A text as it is written, and the line that it begins on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Text {
    pub(crate) line: usize,
    pub(crate) text: String,
}

/// A path in code or, with its groups resolved, in a `use`: `crate::plan::Plan`. That of a macro ends in `!`.
#[derive(Debug)]
pub(crate) struct PathAt {
    pub(crate) line: usize,
    pub(crate) segments: Vec<String>,
}

/// A name that a `use` brings in, or `*` for all names of a module.
#[derive(Debug)]
pub(crate) struct Use {
    pub(crate) path: PathAt,
    pub(crate) name: String,
}

/// One file under `src`, without its items under `#[cfg(test)]`.
#[derive(Debug, Default)]
pub(crate) struct Source {
    /// Relative to the package, with `/`: `src/plan/model.rs`.
    pub(crate) path: String,
    /// The number of lines, blank lines and comments counted.
    pub(crate) lines: usize,
    pub(crate) code_lines: usize,
    pub(crate) comments: Vec<Text>,
    /// Text literals, with their quotes.
    pub(crate) literals: Vec<Text>,
    /// Every path of the code, also of one segment.
    pub(crate) paths: Vec<PathAt>,
    pub(crate) uses: Vec<Use>,
    /// The names of the items.
    pub(crate) defined: BTreeSet<String>,
    /// Modules whose file `#[path]` names.
    pub(crate) renamed_modules: Vec<(String, String)>,
    /// Modules that are declared under `#[cfg(test)]` and stand in a file of their own.
    pub(crate) test_modules: Vec<String>,
    /// The lines of the items that are not the declaration of a module and not a re-export.
    pub(crate) content: Vec<usize>,
}

impl Source {
    pub(crate) fn read(path: &str, text: &str) -> Self {
        let mut tokens = Tokens::default();
        let kept = tokens.without_tests(text.parse().unwrap());
        let mut source = Self { path: path.to_owned(), ..Self::default() };
        for (line, text) in (1..).zip(text.lines()).filter(|(line, _)| !tokens.tests.contains(line)) {
            source.lines += 1;
            source.code_lines += usize::from(tokens.ends.contains_key(&line));
            let behind = tokens.ends.get(&line).copied().unwrap_or_default();
            let comment = text.chars().skip(behind).collect::<String>().trim().to_owned();
            source.comments.extend(Some(Text { line, text: comment }).filter(|comment| !comment.text.is_empty()));
        }
        (source.literals, source.test_modules) = (tokens.literals, tokens.test_modules);
        let file = syn::parse2(kept).unwrap_or_else(|error| panic!("{path}:{}: {error}", line(error.span())));
        source.visit_file(&file);
        file.items.iter().for_each(|item| source.item(item));
        source
    }

    /// Every path of two or more segments, and every path of a `use`.
    pub(crate) fn named(&self) -> impl Iterator<Item = &PathAt> {
        self.uses.iter().map(|used| &used.path).chain(self.paths.iter().filter(|path| path.segments.len() > 1))
    }

    fn item(&mut self, item: &Item) {
        let name = match item {
            Item::Const(item) => Some(&item.ident),
            Item::Enum(item) => Some(&item.ident),
            Item::Fn(item) => Some(&item.sig.ident),
            Item::Macro(item) => item.ident.as_ref(),
            Item::Static(item) => Some(&item.ident),
            Item::Struct(item) => Some(&item.ident),
            Item::Trait(item) => Some(&item.ident),
            Item::Type(item) => Some(&item.ident),
            _ => None,
        };
        self.defined.extend(name.map(Ident::to_string));
        match item {
            Item::Mod(module) if module.content.is_none() => {
                let file = module.attrs.iter().find_map(file_name);
                self.renamed_modules.extend(file.map(|file| (module.ident.to_string(), file)));
            }
            Item::Use(item) if !matches!(item.vis, Visibility::Inherited) => {}
            _ => self.content.push(name.map_or(1, |name| line(name.span()))),
        }
    }

    fn tree(&mut self, tree: &UseTree, mut segments: Vec<String>) {
        let (last, name) = match tree {
            UseTree::Path(path) => {
                segments.push(path.ident.to_string());
                return self.tree(&path.tree, segments);
            }
            UseTree::Group(group) => return group.items.iter().for_each(|tree| self.tree(tree, segments.clone())),
            UseTree::Name(name) => (&name.ident, &name.ident),
            UseTree::Rename(renamed) => (&renamed.ident, &renamed.rename),
            UseTree::Glob(glob) => {
                segments.push("*".to_owned());
                let path = PathAt { line: line(glob.star_token.spans[0]), segments };
                return self.uses.push(Use { path, name: "*".to_owned() });
            }
        };
        if last != "self" || segments.is_empty() {
            segments.push(last.to_string());
        }
        let name = if name == "self" { segments[segments.len() - 1].clone() } else { name.to_string() };
        self.uses.push(Use { path: PathAt { line: line(last.span()), segments }, name });
    }

    /// The paths and macros in the tokens of a macro or an attribute, which have no syntax of their own.
    fn tokens(&mut self, stream: TokenStream) {
        let mut trees = stream.into_iter().peekable();
        while let Some(tree) = trees.next() {
            match tree {
                TokenTree::Ident(word) => self.path(&word, &mut trees),
                TokenTree::Group(group) => self.tokens(group.stream()),
                _ => {}
            }
        }
    }

    fn path(&mut self, first: &Ident, trees: &mut Trees) {
        let mut segments = vec![first.to_string()];
        while is_mark(trees.peek(), ':', Spacing::Joint) {
            trees.nth(1);
            match trees.next_if(|tree| matches!(tree, TokenTree::Ident(_))) {
                Some(word) => segments.push(word.to_string()),
                None => break,
            }
        }
        segments.extend(is_mark(trees.peek(), '!', Spacing::Alone).then(|| "!".to_owned()));
        self.paths.push(PathAt { line: line(first.span()), segments });
    }
}

impl<'ast> Visit<'ast> for Source {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.tree(&item.tree, Vec::new());
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<_> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.paths.push(PathAt { line: line(path.segments[0].ident.span()), segments });
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, called: &'ast syn::Macro) {
        let before = self.paths.len();
        visit::visit_macro(self, called);
        self.paths[before].segments.push("!".to_owned());
        self.tokens(called.tokens.clone());
    }

    fn visit_meta_list(&mut self, list: &'ast syn::MetaList) {
        visit::visit_meta_list(self, list);
        self.tokens(list.tokens.clone());
    }
}

type Trees = Peekable<token_stream::IntoIter>;

/// The tokens of a file, without comments and test code.
#[derive(Default)]
struct Tokens {
    /// Behind which character the last token of a line ends.
    ends: BTreeMap<usize, usize>,
    /// The lines of items under `#[cfg(test)]`.
    tests: BTreeSet<usize>,
    literals: Vec<Text>,
    test_modules: Vec<String>,
}

impl Tokens {
    fn without_tests(&mut self, stream: TokenStream) -> TokenStream {
        let mut kept = Vec::new();
        let mut trees = stream.into_iter().peekable();
        while let Some(tree) = trees.next() {
            match (&tree, trees.peek()) {
                (TokenTree::Punct(mark), next) if mark.as_char() == '#' => {
                    let span = mark.span();
                    if span.end().column > span.start().column + 1 {
                        // A comment of documentation is an attribute whose tokens all have the place of the comment.
                        trees.next_if(|next| is_mark(Some(next), '!', Spacing::Alone));
                        trees.next();
                    } else if matches!(next, Some(TokenTree::Group(group)) if is_of_tests(group)) {
                        while matches!(&kept[..], [.., TokenTree::Punct(mark), TokenTree::Group(_)] if mark.as_char() == '#')
                        {
                            kept.truncate(kept.len() - 2);
                        }
                        self.skip_item(line(span), &mut trees);
                    } else {
                        self.keep(&tree);
                        kept.push(tree);
                    }
                }
                (TokenTree::Group(group), _) => {
                    self.ends_at(group.span_open());
                    let mut inner = Group::new(group.delimiter(), self.without_tests(group.stream()));
                    self.ends_at(group.span_close());
                    inner.set_span(group.span());
                    kept.push(inner.into());
                }
                _ => {
                    self.keep(&tree);
                    kept.push(tree);
                }
            }
        }
        kept.into_iter().collect()
    }

    fn skip_item(&mut self, first: usize, trees: &mut Trees) {
        let (mut last, mut module) = (first, None);
        while let Some(tree) = trees.next() {
            last = tree.span().end().line;
            let is_block =
                matches!(&tree, TokenTree::Group(group) if group.delimiter() == proc_macro2::Delimiter::Brace);
            if is_mark(Some(&tree), ';', Spacing::Alone) {
                self.test_modules.extend(module);
                break;
            } else if is_block && trees.next_if(|next| is_mark(Some(next), ';', Spacing::Alone)).is_none() {
                break;
            } else if matches!(&tree, TokenTree::Ident(word) if word == "mod") {
                module = trees.peek().map(ToString::to_string);
            }
        }
        self.tests.extend(first..=last);
    }

    fn keep(&mut self, tree: &TokenTree) {
        self.ends_at(tree.span());
        if let TokenTree::Literal(literal) = tree
            && let text = literal.to_string()
            && text.trim_start_matches(['b', 'c', 'r', '#']).starts_with('"')
        {
            self.literals.push(Text { line: line(tree.span()), text });
        }
    }

    fn ends_at(&mut self, span: Span) {
        let end = span.end();
        // Nothing behind a token that goes on in the next line is a comment.
        self.ends.extend((line(span)..end.line).map(|line| (line, usize::MAX)));
        self.ends.insert(end.line, end.column);
    }
}

fn line(span: Span) -> usize {
    span.start().line
}

fn is_mark(tree: Option<&TokenTree>, wanted: char, spacing: Spacing) -> bool {
    matches!(tree, Some(TokenTree::Punct(mark)) if mark.as_char() == wanted && mark.spacing() == spacing)
}

/// Whether an attribute asks for `test`.
fn is_of_tests(attribute: &Group) -> bool {
    let text = attribute.stream().to_string();
    let words: Vec<_> = text.split(|c: char| !c.is_alphanumeric()).collect();
    words[0] == "cfg" && words.contains(&"test") && !words.contains(&"not")
}

/// The file that `#[path = "…"]` names.
fn file_name(attribute: &Attribute) -> Option<String> {
    let Meta::NameValue(pair) = &attribute.meta else { return None };
    let Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) = &pair.value else { return None };
    pair.path.is_ident("path").then(|| text.value())
}

#[test]
fn source_reader_finds_paths_in_groups() {
    let text =
        "use crate::{plan::{A, b::B as C}, engine::{self, *}};\nfn f() { x!(y => std::env::var::<T>(Y), z!()); }";
    let source = Source::read("src/a.rs", text);
    let paths: Vec<_> = source.named().map(|path| (path.line, path.segments.join("::"))).collect();
    let expected = ["crate::plan::A", "crate::plan::b::B", "crate::engine", "crate::engine::*"];
    assert_eq!(paths[..4], expected.map(|path| (1, path.to_owned())));
    assert_eq!(paths[4..], ["x::!", "std::env::var", "z::!"].map(|path| (2, path.to_owned())));
    assert_eq!(source.uses.iter().map(|used| &*used.name).collect::<Vec<_>>(), ["A", "C", "engine", "*"]);
}

#[test]
fn source_reader_skips_comments_strings_and_test_code() {
    let text = r#"
// crate::engine
/* crate::engine /* nested */ crate::engine */
/// `crate::engine`
fn f<'a>(x: &'a str) -> char { let _ = ("crate::engine \" \\", r"crate::engine \", '"', '\'', b'"'); 'c' }
#[expect(dead_code)]
#[cfg(test)]
mod tests {
    use crate::engine::X;
}
#[cfg(test)]
use crate::engine::{X, Y};
#[cfg(test)]
mod fakes;
fn last() { crate::plan::y() } // Last.
"#;
    let source = Source::read("src/a.rs", text);
    let paths: Vec<_> = source.named().map(|path| path.segments.join("::")).collect();
    assert_eq!(paths, ["crate::plan::y"]);
    assert_eq!(source.test_modules, ["fakes"]);
    assert_eq!((source.lines, source.code_lines), (7, 3));
    let texts = |texts: &[Text]| texts.iter().map(|text| (text.line, text.text.clone())).collect::<Vec<_>>();
    assert_eq!(texts(&source.comments)[2..], [(4, "/// `crate::engine`".to_owned()), (15, "// Last.".to_owned())]);
    assert_eq!((texts(&source.comments).len(), texts(&source.literals).len()), (4, 2));
}
