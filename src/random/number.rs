//! Random numbers and names, from the operating system.

/// A random number of 64 bits from the operating system. Other programs cannot predict it, and no two runs share it.
///
/// # Panics
/// The operating system has no random numbers. The standard library's hash maps panic then, too.
#[expect(clippy::expect_used, reason = "the hash maps of the standard library panic for the same reason")]
pub(crate) fn number() -> u64 {
    getrandom::u64().expect("the operating system has random numbers")
}

/// 128 random bits as 32 hexadecimal digits, for a name that no other process uses.
pub(crate) fn name() -> String {
    format!("{:016x}{:016x}", number(), number())
}

/// A random number in [0, 1).
pub(crate) fn fraction() -> f64 {
    let bits = number() >> 32;
    f64::from(u32::try_from(bits).unwrap_or_default()) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_names_differ_and_have_32_digits() {
        let names: std::collections::BTreeSet<_> = (0..100).map(|_| name()).collect();
        assert_eq!(names.len(), 100);
        assert!(names.iter().all(|name| name.len() == 32 && name.bytes().all(|c| c.is_ascii_hexdigit())));
    }

    #[test]
    fn random_fractions_are_below_one_and_spread() {
        let all: Vec<_> = (0..1000).map(|_| fraction()).collect();
        assert!(all.iter().all(|one| (0.0..1.0).contains(one)));
        // Each half of the range has some of a thousand numbers.
        assert!(all.iter().any(|one| *one < 0.5) && all.iter().any(|one| *one >= 0.5));
    }
}
