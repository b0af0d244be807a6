//! Tokens: passwords that AWS gives out for twelve hours (Amazon ECR API, `GetAuthorizationToken`).

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::auth::{Credential, Secret};
use crate::oci::RegistryHost;

use super::error::EcrErrorKind;

/// How long a token lives.
const LIFE: Duration = Duration::from_hours(12);
/// What is left of its life less than this is a clock that goes wrong, here or there: tokens are given out new.
const LEAST: Duration = Duration::from_mins(10);

/// What AWS answers.
pub(super) struct Given {
    /// `base64(AWS:PASSWORD)`
    pub(super) authorization: Secret,
    /// By AWS's clock.
    pub(super) expires: Option<SystemTime>,
    /// The registry that it is for, as AWS names it.
    pub(super) registry: Option<RegistryHost>,
}

/// A token that was given out.
#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) credential: Credential,
    pub(super) registry: Option<RegistryHost>,
    /// From when on another one is asked for: 80 % of its life.
    pub(super) spent_at: Instant,
}

impl Token {
    /// What was given out at `now`, by this machine's clock.
    pub(super) fn read(given: &Given, now: SystemTime) -> Result<Self, EcrErrorKind> {
        let bad = EcrErrorKind::Answer("something that is no token");
        let Ok(decoded) = STANDARD.decode(given.authorization.expose()).map(Zeroizing::new) else { return Err(bad) };
        let Some((username, password)) = std::str::from_utf8(&decoded).ok().and_then(|text| text.split_once(':'))
        else {
            return Err(bad);
        };
        let credential = Credential::Basic { username: username.to_owned(), password: Secret::new(password) };
        let spent_at = Instant::now() + life(given.expires, now).mul_f64(0.8);
        Ok(Self { credential, registry: given.registry.clone(), spent_at })
    }

    /// Whether this is what `credential` is.
    pub(super) fn is(&self, credential: &Credential) -> bool {
        match (&self.credential, credential) {
            (Credential::Basic { password, .. }, Credential::Basic { password: other, .. }) => {
                password.expose() == other.expose()
            }
            _ => false,
        }
    }
}

/// How long a new token lives. Two clocks that differ make no token that is spent at once and asked for without end, nor
/// one that never is.
fn life(expires: Option<SystemTime>, now: SystemTime) -> Duration {
    let left = expires.and_then(|expires| expires.duration_since(now).ok());
    left.filter(|left| *left >= LEAST).map_or(LIFE, |left| left.min(LIFE))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(authorization: &str, expires: Option<SystemTime>) -> Given {
        Given { authorization: Secret::new(STANDARD.encode(authorization)), expires, registry: None }
    }

    #[tokio::test(start_paused = true)]
    async fn d12_a_token_is_spent_after_four_fifths_of_its_life_whatever_the_clocks_say() {
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
    async fn a_password_may_have_colons_and_what_is_no_token_is_refused() {
        let token = Token::read(&given("AWS:a:b", None), SystemTime::now()).unwrap();
        let Credential::Basic { username, password } = token.credential else { panic!("{token:?}") };
        assert_eq!((username.as_str(), password.expose()), ("AWS", "a:b"));
        assert!(Token::read(&given("canary", None), SystemTime::now()).is_err());
    }
}
