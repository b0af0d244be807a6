//! One call of the API: its login, its retries, and its turn.

pub(super) mod http;
pub(super) mod notice;
pub(super) mod pace;
pub(super) mod retry;
pub(super) mod slots;
