//! The headers of logins.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::HeaderValue;

use crate::auth::Credential;

/// A header with user and password.
pub(super) fn basic(credential: &Credential) -> Option<HeaderValue> {
    let Credential::Basic { username, password } = credential else { return None };
    header("Basic ", &STANDARD.encode(format!("{username}:{}", password.expose())))
}

/// A header that Debug never shows. `None` means that the token has bytes that a header cannot contain.
pub(in crate::registry) fn header(scheme: &str, token: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(&format!("{scheme}{token}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}
