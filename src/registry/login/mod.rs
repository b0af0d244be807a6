//! Logins: challenges, tokens and headers.

pub(crate) mod challenge;
mod header;
pub(super) mod logins;
pub(super) mod refusal;
pub(super) mod scope;
mod token;
