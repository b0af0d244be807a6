//! Text from outside that may be shown: to people, to terminals, to CI systems that read logs for commands.

mod json;
mod sanitize;
mod shown;

pub use json::Json;
pub use sanitize::{MAX_COMPOSED_LINE, MAX_INPUT_LINE, MAX_SHOWN_LINE, MAX_TEXT_LINES};
pub use shown::Text;
