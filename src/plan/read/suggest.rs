//! "Did you mean": finds the nearest of several words.

/// A hint with the word of `known` that is nearest to `word`. If no word is near, the hint lists the first ones of
/// `known`.
pub(in crate::plan) fn suggest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let known: Vec<&str> = known.into_iter().collect();
    if known.is_empty() {
        return None;
    }
    did_you_mean(word, known.iter().copied()).or_else(|| {
        let few: Vec<&str> = known.iter().copied().take(MAX_LISTED).collect();
        let more = if known.len() > few.len() { ", …" } else { "" };
        Some(format!("use one of: {}{more}", few.join(", ")))
    })
}

/// A hint that names the word of `known` nearest to `word`, if one is near.
pub(crate) fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(word, known).map(|nearest| format!("did you mean `{nearest}`?"))
}

/// The word of `known` nearest to `word`, if one is near.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let near = known.into_iter().take(MAX_WORDS).map(|candidate| (distance(word, candidate), candidate));
    let (nearest, candidate) = near.min_by_key(|(distance, _)| *distance)?;
    (nearest <= (word.chars().count() / 3).max(1)).then_some(candidate)
}

/// The most words in a hint.
const MAX_LISTED: usize = 24;
/// The most words that are compared.
const MAX_WORDS: usize = 1_000;
/// The longest words that are compared, in characters. Names are short, and the comparison is quadratic.
const MAX_COMPARED: usize = 64;

/// Optimal string alignment: insertions, deletions, substitutions and swaps of neighbours. Upper and lower case are
/// equal.
fn distance(a: &str, b: &str) -> usize {
    let letters = |text: &str| text.chars().flat_map(char::to_lowercase).take(MAX_COMPARED).collect::<String>();
    strsim::osa_distance(&letters(a), &letters(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggestion_names_only_a_near_word() {
        let keys = ["dockerfile", "target", "args", "tags"];
        assert_eq!(suggest("dokcerfile", keys).unwrap(), "did you mean `dockerfile`?");
        assert_eq!(suggest("Args", keys).unwrap(), "did you mean `args`?");
        assert_eq!(suggest("zzzzz", keys).unwrap(), "use one of: dockerfile, target, args, tags");
        assert_eq!(suggest("x", []), None);
    }

    #[test]
    fn edit_distance_counts_edits() {
        for (a, b, edits) in [
            ("", "", 0),
            ("a", "", 1),
            ("tags", "tag", 1),
            ("agrs", "args", 1),
            ("ab", "ba", 1),
            ("abc", "xyz", 3),
            ("ÀB", "àb", 0),
        ] {
            assert_eq!(distance(a, b), edits, "{a} {b}");
        }
        // The words are cut before the comparison.
        assert_eq!(distance(&"a".repeat(100_000), ""), MAX_COMPARED);
    }
}
