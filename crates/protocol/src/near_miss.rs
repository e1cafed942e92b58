//! What somebody probably meant who wrote a name that does not exist.

/// The known word that is most like this one, if any is much like it.
pub fn near_miss<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= (word.len() / 3).clamp(1, 3))
        .min()
        .map(|(_, candidate)| candidate)
}
