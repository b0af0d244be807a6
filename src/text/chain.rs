//! An error and its causes, in one line.

use std::error::Error;

/// The error's text and the texts of its causes. A cause that is part of the text already is not repeated.
///
/// The numbers of the operating system, as in `(os error 2)`, are left out: the words before them say the same.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    without_numbers(&text)
}

/// The innermost message of an error's chain: the event itself, without the layers that passed it on.
pub(crate) fn innermost(error: &dyn Error) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

/// `text` without the numbers that Rust's standard library adds to errors of the operating system.
fn without_numbers(text: &str) -> String {
    const START: &str = " (os error ";
    let (mut plain, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((before, after)) = rest.split_once(START) {
        plain.push_str(before);
        match after.split_once(')') {
            Some((number, after)) if number.bytes().all(|digit| digit.is_ascii_digit()) => rest = after,
            _ => {
                plain.push_str(START);
                rest = after;
            }
        }
    }
    plain + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Outer(&'static str, #[source] std::io::Error);

    #[test]
    fn chain_names_each_cause_once() {
        let refused = || std::io::Error::other("connection refused");
        assert_eq!(chain(&Outer("ping engine x86", refused())), "ping engine x86: connection refused");
        assert_eq!(chain(&Outer("connection refused", refused())), "connection refused");
    }

    #[test]
    fn chain_has_no_number_of_the_system() {
        let missing = std::io::Error::from_raw_os_error(2);
        assert_eq!(chain(&Outer("read a", missing)), "read a: No such file or directory");
        for kept in ["a (os error ", "a (os error x)", "a (os error"] {
            assert_eq!(without_numbers(kept), kept);
        }
    }
}
