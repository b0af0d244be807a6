//! The error for an answer that is not a success.

use std::time::SystemTime;

use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};

use super::challenge;
use crate::registry::error::{Answer, ErrorKind};
use crate::registry::transport::retry_after::retry_after;
use crate::registry::transport::wire::Reply;

/// The error for a status.
pub(in crate::registry) fn refusal(reply: &Reply, with_credentials: bool) -> ErrorKind {
    let answer = Answer::read(&reply.body);
    match reply.status.as_u16() {
        // polyarch sends no credentials to the target of a redirect.
        401 if !reply.is_direct => ErrorKind::Status { status: 401, answer, retry_after: None },
        401 if with_credentials && is_of_scope(&reply.headers) => ErrorKind::Denied(answer),
        401 if with_credentials => ErrorKind::LoginRefused(answer),
        401 => ErrorKind::LoginRequired(answer),
        403 => ErrorKind::Denied(answer),
        404 => ErrorKind::NotFound(answer),
        status => ErrorKind::Status { status, answer, retry_after: retry_after(&reply.headers, SystemTime::now()) },
    }
}

fn is_of_scope(headers: &HeaderMap) -> bool {
    challenge::is_of_scope(headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok()))
}
