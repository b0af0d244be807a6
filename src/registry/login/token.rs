//! Tokens from a token server, and their lifetime (distribution, "Token authentication", and "`OAuth2` token
//! authentication").

use std::time::SystemTime;

use bytes::Bytes;
use reqwest::header::{DATE, HeaderMap, HeaderValue};
use reqwest::{Method, Url};
use serde::Deserialize;
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::time::{Duration, Instant};

use super::header::basic;
use super::refusal::refusal;
use super::scope::Scope;
use crate::auth::{Credential, Secret};
use crate::registry::error::{Answer, ErrorKind, RegistryError};
use crate::registry::transport::retry_after::date;
use crate::registry::transport::target::place;
use crate::registry::transport::wire::{Read, Recipient, Request, Wire};

/// The longest answer of a token server, in bytes.
const MAX_TOKEN: usize = 64 << 10;
/// polyarch's name at token servers.
const CLIENT_ID: &str = "polyarch";
/// The lifetime of a token without an explicit one. The specification allows no shorter lifetime.
const SHORTEST_LIFE: Duration = Duration::from_mins(1);
/// The longest lifetime that polyarch accepts.
const LONGEST_LIFE: Duration = Duration::from_hours(24);
/// polyarch renews a token this long before its end, because a request takes time, too. For a short lifetime polyarch
/// uses a tenth of the lifetime.
const BEFORE_THE_END: Duration = Duration::from_secs(30);

/// A token, and the time to request a new one.
pub(in crate::registry) struct Token {
    pub(super) secret: Secret,
    pub(super) spent_at: Instant,
}

#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
    /// A value of any type. polyarch ignores nonsense.
    expires_in: Option<Value>,
    issued_at: Option<Value>,
}

impl TokenAnswer {
    /// The lifetime of the token from now on.
    fn life(&self, headers: &HeaderMap, now: SystemTime) -> Duration {
        let said = self.expires_in.as_ref().and_then(|value| match value {
            Value::Number(seconds) => seconds.as_f64(),
            Value::String(seconds) => seconds.trim().parse().ok(),
            _ => None,
        });
        let most = LONGEST_LIFE.as_secs_f64();
        let life = said.and_then(|seconds: f64| Duration::try_from_secs_f64(seconds.min(most)).ok());
        // Both times are from the server's clock, if it sends them. This machine's clock may differ.
        let now = headers.get(DATE).and_then(|value| date(value.to_str().ok()?)).unwrap_or(now);
        let issued = self.issued_at.as_ref().and_then(Value::as_str);
        let issued = issued.and_then(|text| OffsetDateTime::parse(text, &Rfc3339).ok());
        // Go's servers write an unset time as the first second of the year 1.
        let issued = issued.filter(|time| *time > OffsetDateTime::UNIX_EPOCH).map(SystemTime::from);
        let age = issued.and_then(|issued| now.duration_since(issued).ok()).unwrap_or_default();
        life.unwrap_or_default().saturating_sub(age).max(SHORTEST_LIFE)
    }
}

/// Gets a token for `scope` from the server at `realm`.
pub(in crate::registry) async fn exchange(
    wire: &Wire,
    realm: Url,
    service: Option<&str>,
    scope: Option<&Scope>,
    credential: &Credential,
) -> Result<Token, RegistryError> {
    let mut params: Vec<(&str, &str)> = service.map(|service| ("service", service)).into_iter().collect();
    let scopes = scope.map(Scope::words).unwrap_or_default();
    // A query repeats the parameter. A form has it once.
    let together = scopes.join(" ");
    let is_form = matches!(credential, Credential::IdentityToken(_));
    if is_form && scope.is_some() {
        params.push(("scope", &together));
    } else {
        params.extend(scopes.iter().map(|scope| ("scope", scope.as_str())));
    }
    let basic = basic(credential);
    let mut url = realm;
    let mut method = Method::GET;
    let mut content = None;
    if let Credential::IdentityToken(token) = credential {
        params.extend([("grant_type", "refresh_token"), ("client_id", CLIENT_ID), ("refresh_token", token.expose())]);
        method = Method::POST;
        content = Some((HeaderValue::from_static("application/x-www-form-urlencoded"), form(&url, &params)));
    } else {
        url.query_pairs_mut().extend_pairs(&params);
    }
    let request = Request {
        method,
        url,
        authorization: basic.as_ref(),
        accept: None,
        range: None,
        content,
        read: Read::Whole(MAX_TOKEN),
        to: Recipient::TokenServer,
    };
    let asked = Instant::now();
    let server = place(&request.url);
    let of_server = |kind| ErrorKind::TokenServer { server: server.clone(), kind: Box::new(kind) };
    let told = |kind| match kind {
        // These errors are the registry's own. A login that its token server refuses is unknown to the registry, too.
        // And the registry itself named the forbidden address.
        kind @ (ErrorKind::LoginRequired(_) | ErrorKind::LoginRefused(_) | ErrorKind::Target(_)) => kind,
        ErrorKind::NotFound(answer) => of_server(ErrorKind::Status { status: 404, answer, retry_after: None }),
        kind => of_server(kind),
    };
    let reply = wire.exchange(request).await.map_err(|error| error.map_kind(told))?;
    let fail = |kind| RegistryError::new(&wire.host, reply.request.as_str(), told(kind));
    match reply.status.as_u16() {
        200 => {}
        // 400 is OAuth2's `invalid_grant`: the identity token was withdrawn.
        400 | 401 | 403 => return Err(fail(refused(credential, Answer::read(&reply.body)))),
        _ => return Err(fail(refusal(&reply, false))),
    }
    let no_token = || RegistryError::new(&wire.host, reply.request.as_str(), ErrorKind::Token);
    let answer: TokenAnswer = serde_json::from_slice(&reply.body).map_err(|_| no_token())?;
    let life = answer.life(&reply.headers, SystemTime::now());
    let token = answer.token.filter(|token| !token.is_empty()).or(answer.access_token);
    let secret = token.filter(|token| !token.is_empty()).map(Secret::new).ok_or_else(no_token)?;
    Ok(Token { secret, spent_at: asked + life - BEFORE_THE_END.min(life / 10) })
}

fn refused(credential: &Credential, answer: Answer) -> ErrorKind {
    match credential {
        Credential::Anonymous => ErrorKind::LoginRequired(answer),
        _ => ErrorKind::LoginRefused(answer),
    }
}

/// `application/x-www-form-urlencoded`, the same encoding as a URL's query.
fn form(base: &Url, params: &[(&str, &str)]) -> Bytes {
    let mut url = base.clone();
    url.query_pairs_mut().clear().extend_pairs(params);
    Bytes::from(url.query().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_lifetime_follows_expires_in_with_a_minimum() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let dated = HeaderMap::from_iter([(DATE, HeaderValue::from_static("Sun, 06 Nov 1994 08:49:37 GMT"))]);
        for (said, seconds) in [
            (r#""expires_in":300"#, 300),
            (r#""expires_in":3600,"issued_at":"1994-11-06T08:49:37Z""#, 3600),
            (r#""expires_in":3600,"issued_at":"1994-11-06T09:39:37.5+01:00""#, 3000),
            (r#""expires_in":"300""#, 300),
            (r#""expires_in":300.0"#, 300),
            (r#""expires_in":10"#, 60),
            (r#""expires_in":null,"issued_at":null"#, 60),
            (r#""issued_at":"1994-11-06T08:49:37Z""#, 60),
            (r#""expires_in":-5"#, 60),
            (r#""expires_in":1e300"#, 86400),
            (r#""expires_in":18446744073709551615"#, 86400),
            (r#""expires_in":{},"issued_at":7"#, 60),
            (r#""expires_in":300,"issued_at":"yesterday""#, 300),
            (r#""expires_in":300,"issued_at":"0001-01-01T00:00:00Z""#, 300),
            (r#""expires_in":300,"issued_at":"1994-11-05T08:49:37Z""#, 60),
            (r#""expires_in":300,"issued_at":"2094-11-06T08:49:37Z""#, 300),
        ] {
            let answer: TokenAnswer = serde_json::from_str(&format!(r#"{{"token":"t",{said}}}"#)).unwrap();
            for clock in [now, now - LONGEST_LIFE, now + LONGEST_LIFE] {
                assert_eq!(answer.life(&dated, clock).as_secs(), seconds, "{said}");
            }
            assert_eq!(answer.life(&HeaderMap::new(), now).as_secs(), seconds, "{said}");
        }
    }
}
