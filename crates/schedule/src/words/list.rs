//! Lists and numbers as people say them.

/// `a`, `a and b`, `a, b and c`.
pub(super) fn joined(items: &[String], last: &str) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., end] => format!("{} {last} {end}", most.join(", ")),
    }
}

/// `1st`, `22nd`, `13th`.
pub(super) fn ordinal(number: u32) -> String {
    let ending = match (number % 10, number % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{number}{ending}")
}

/// Numbers, joined by `and`.
pub(super) fn numbers(values: &[u32]) -> String {
    let values: Vec<String> = values.iter().map(u32::to_string).collect();
    joined(&values, "and")
}
