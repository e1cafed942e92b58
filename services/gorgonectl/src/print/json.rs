//! JSON that can be shown on a terminal.

use super::text::is_unsafe;

/// Writes as `\uXXXX` what JSON allows in a text and a terminal would act on. Such characters
/// stand only inside texts, so the JSON stays the same.
pub(super) fn safe(json: String) -> String {
    let steers = |c: char| is_unsafe(c) && !matches!(c, '\n');
    if !json.contains(steers) {
        return json;
    }
    let mut safe = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if steers(c) {
            safe.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            safe.push(c);
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::safe;

    #[test]
    fn json_cannot_steer_the_terminal_and_stays_the_same_json() {
        let value = serde_json::json!({ "a": "x\u{9b}31m\u{7f}\u{202e}\n\u{1b}ä" });
        let shown = safe(value.to_string());
        assert_eq!(shown, r#"{"a":"x\u009b31m\u007f\u202e\n\u001bä"}"#);
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&shown).unwrap(),
            value
        );
    }
}
