//! Tokens: passwords that AWS issues for twelve hours (Amazon ECR API, `GetAuthorizationToken`).

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::auth::{Credential, Secret};
use crate::oci::RegistryHost;

use super::error::EcrErrorKind;

/// The lifetime of a token.
const LIFE: Duration = Duration::from_hours(12);
/// AWS issues new tokens. If less than this is left of a token's lifetime, one of the two clocks is wrong.
const LEAST: Duration = Duration::from_mins(10);

/// AWS's answer.
pub(in crate::ecr) struct AuthorizationData {
    /// `base64(AWS:PASSWORD)`
    pub(in crate::ecr) authorization: Secret,
    /// The end of the lifetime, by AWS's clock.
    pub(in crate::ecr) expires: Option<SystemTime>,
    /// The registry of the token, as AWS names it.
    pub(in crate::ecr) registry: Option<RegistryHost>,
}

/// A token that AWS issued.
#[derive(Debug, Clone)]
pub(in crate::ecr) struct Token {
    pub(in crate::ecr) credential: Credential,
    pub(in crate::ecr) registry: Option<RegistryHost>,
    /// The time from which polyarch requests a new token: after 80 % of its lifetime.
    pub(in crate::ecr) spent_at: Instant,
}

impl Token {
    /// Reads a token that AWS issued at `now`, by this machine's clock.
    pub(in crate::ecr) fn read(given: &AuthorizationData, now: SystemTime) -> Result<Self, EcrErrorKind> {
        let bad = EcrErrorKind::Answer("something that is not a token");
        let Ok(decoded) = STANDARD.decode(given.authorization.expose()).map(Zeroizing::new) else { return Err(bad) };
        let Some((username, password)) = std::str::from_utf8(&decoded).ok().and_then(|text| text.split_once(':'))
        else {
            return Err(bad);
        };
        let credential = Credential::Basic { username: username.to_owned(), password: Secret::new(password) };
        let spent_at = Instant::now() + life(given.expires, now).mul_f64(0.8);
        Ok(Self { credential, registry: given.registry.clone(), spent_at })
    }

    /// Whether this token is `credential`.
    pub(in crate::ecr) fn is(&self, credential: &Credential) -> bool {
        match (&self.credential, credential) {
            (Credential::Basic { password, .. }, Credential::Basic { password: other, .. }) => {
                password.expose() == other.expose()
            }
            _ => false,
        }
    }
}

/// The lifetime of a new token. Two clocks that differ must not make a token that expires at once or never.
fn life(expires: Option<SystemTime>, now: SystemTime) -> Duration {
    let left = expires.and_then(|expires| expires.duration_since(now).ok());
    left.filter(|left| *left >= LEAST).map_or(LIFE, |left| left.min(LIFE))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(authorization: &str, expires: Option<SystemTime>) -> AuthorizationData {
        AuthorizationData { authorization: Secret::new(STANDARD.encode(authorization)), expires, registry: None }
    }

    #[tokio::test(start_paused = true)]
    async fn token_is_renewed_at_80_percent_of_its_lifetime() {
        let now = SystemTime::now();
        let hours = |hours: u64| Duration::from_hours(hours);
        for (expires, life) in [
            (Some(now + hours(12)), hours(12)),
            (Some(now + hours(1)), hours(1)),
            (Some(now + hours(13)), hours(12)),
            (Some(now - hours(1)), hours(12)),
            (Some(SystemTime::UNIX_EPOCH), hours(12)),
            (Some(now + Duration::from_secs(1)), hours(12)),
            (None, hours(12)),
        ] {
            let token = Token::read(&given("AWS:p", expires), now).unwrap();
            assert_eq!(token.spent_at - Instant::now(), life.mul_f64(0.8), "{expires:?}");
        }
    }

    #[tokio::test]
    async fn ecr_token_may_contain_colons_and_must_have_a_user() {
        let token = Token::read(&given("AWS:a:b", None), SystemTime::now()).unwrap();
        let Credential::Basic { username, password } = token.credential else { panic!("{token:?}") };
        assert_eq!((username.as_str(), password.expose()), ("AWS", "a:b"));
        assert!(Token::read(&given("canary", None), SystemTime::now()).is_err());
    }
}
