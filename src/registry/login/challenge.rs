//! The login that a registry requests: `WWW-Authenticate` (RFC 9110 §11.6.1; distribution, "Token authentication").

/// The longest header that polyarch reads, in bytes.
const MAX_HEADER: usize = 8 << 10;

/// A challenge that polyarch supports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// A user and a password with every request.
    Basic,
    /// A token from the server at `realm`.
    Bearer {
        /// The token server's address, as the registry names it. polyarch must not trust it.
        realm: String,
        /// The token server's name for this registry.
        service: Option<String>,
    },
}

impl Challenge {
    /// Selects a challenge from the headers: a token if the registry offers one, else a password.
    pub(crate) fn choose<'a>(headers: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let mut basic = None;
        for (scheme, params) in headers.into_iter().flat_map(parse) {
            let param = |name: &str| {
                params.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone())
            };
            if scheme.eq_ignore_ascii_case("Bearer") {
                if let Some(realm) = param("realm") {
                    return Some(Self::Bearer { realm, service: param("service") });
                }
            } else if scheme.eq_ignore_ascii_case("Basic") {
                basic = Some(Self::Basic);
            }
        }
        basic
    }
}

/// Whether a challenge reports that the registry accepts the login, but the login has no permission for the request
/// (RFC 6750, 3.1; distribution's `token` access controller).
pub(super) fn is_of_scope<'a>(headers: impl IntoIterator<Item = &'a str>) -> bool {
    let says = |(key, value): &(String, String)| key.eq_ignore_ascii_case("error") && value == "insufficient_scope";
    headers.into_iter().flat_map(parse).any(|(_, params)| params.iter().any(says))
}

type Params = Vec<(String, String)>;

/// The schemes of one header with their parameters. The parser stops at text that it cannot read.
fn parse(header: &str) -> Vec<(String, Params)> {
    let mut challenges: Vec<(String, Params)> = Vec::new();
    if header.len() > MAX_HEADER {
        return challenges;
    }
    let mut rest = header;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let Some((word, after)) = token(rest) else { return challenges };
        match (after.trim_start().strip_prefix('='), challenges.last_mut()) {
            // `word =` is a parameter only after a scheme.
            (Some(value), Some((_, params))) => {
                // The padding of a token68 (`Negotiate abc==`) looks like a parameter without a value.
                let Some((value, after)) = value_of(value.trim_start_matches(['=', ' ', '\t'])) else {
                    return challenges;
                };
                params.push((word.to_owned(), value));
                rest = after;
            }
            (Some(_), None) => return challenges,
            (None, _) => {
                challenges.push((word.to_owned(), Params::new()));
                rest = after;
            }
        }
    }
}

/// The token at the beginning, and the text after it. `/` belongs to token68, not to RFC 9110's tokens.
fn token(text: &str) -> Option<(&str, &str)> {
    let of_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~/".contains(c);
    let end = text.find(|c| !of_token(c)).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

/// The token or quoted string at the beginning, and the text after it. The value is empty before a comma or the end.
fn value_of(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        // Some registries write realms without quotes. Such a realm ends at a comma.
        let end = text.find([',', ' ', '\t', '"']).unwrap_or(text.len());
        let (value, after) = text.split_at(end);
        return Some((value.to_owned(), after));
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => value.push(chars.next()?.1),
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bearer(realm: &str, service: Option<&str>) -> Challenge {
        Challenge::Bearer { realm: realm.to_owned(), service: service.map(str::to_owned) }
    }

    #[test]
    fn real_world_challenges_are_read() {
        let cases = [
            (
                r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull""#,
                Some(bearer("https://auth.docker.io/token", Some("registry.docker.io"))),
            ),
            (r#"bearer service=s , REALM = "https://a/t""#, Some(bearer("https://a/t", Some("s")))),
            (r#"Bearer realm="a \"quoted\", realm""#, Some(bearer(r#"a "quoted", realm"#, None))),
            ("Bearer realm=https://a/t,service=s", Some(bearer("https://a/t", Some("s")))),
            (r#"Basic realm="Registry Realm""#, Some(Challenge::Basic)),
            ("Basic", Some(Challenge::Basic)),
            (r#"Basic realm="x", Bearer realm="https://a/t""#, Some(bearer("https://a/t", None))),
            (r#"Negotiate abc/+==, Basic realm="x""#, Some(Challenge::Basic)),
            (r#"Negotiate, Bearer realm="https://a/t",scope="a,b""#, Some(bearer("https://a/t", None))),
            (r#"Bearer service="no realm""#, None),
            (r#"Digest realm="x""#, None),
            (r#"Bearer realm="unterminated"#, None),
            (r#"realm="x""#, None),
            ("", None),
        ];
        for (header, expected) in cases {
            assert_eq!(Challenge::choose([header]), expected, "{header}");
        }
        assert_eq!(Challenge::choose(["Basic", r#"Bearer realm="r""#]), Some(bearer("r", None)));
        assert_eq!(Challenge::choose([format!("Bearer realm=\"{}\"", "r".repeat(MAX_HEADER)).as_str()]), None);
    }

    #[test]
    fn insufficient_scope_is_distinguished_from_a_missing_login() {
        let challenge = |error: &str| format!(r#"Bearer realm="https://a/t",scope="repository:a:push"{error}"#);
        for (error, is) in [
            (r#",error="insufficient_scope""#, true),
            (",Error=insufficient_scope", true),
            (r#",error="invalid_token""#, false),
            (r#",error_description="insufficient_scope""#, false),
            ("", false),
        ] {
            assert_eq!(is_of_scope([challenge(error).as_str()]), is, "{error}");
        }
    }

    proptest! {
        #[test]
        fn challenge_parser_never_panics(header in ".{0,200}") {
            Challenge::choose([header.as_str()]);
        }

        #[test]
        fn challenge_parser_never_panics_on_near_challenges(header in r#"(Bearer|Basic|[ ,="\\a]){0,30}"#) {
            Challenge::choose([header.as_str()]);
        }

        #[test]
        fn quoted_realm_is_unquoted_exactly(realm in ".{0,60}") {
            let quoted = realm.replace('\\', "\\\\").replace('"', "\\\"");
            prop_assert_eq!(Challenge::choose([format!("Bearer realm=\"{quoted}\"").as_str()]), Some(bearer(&realm, None)));
        }
    }
}
