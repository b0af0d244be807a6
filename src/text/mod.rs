//! Makes third-party text safe to show: to people, to terminals, and to CI systems that read logs for commands.

mod chain;
mod json;
mod printable;
mod redact;
mod sanitize;
mod shown;

pub use chain::chain;
pub(crate) use chain::innermost;
pub use json::Json;
pub(crate) use printable::printable;
pub(crate) use redact::MIN_HIDDEN;
pub use redact::Redactor;
pub use sanitize::{MAX_COMPOSED_LINE, MAX_INPUT_LINE, MAX_SHOWN_LINE, MAX_TEXT_LINES};
pub use shown::Text;
