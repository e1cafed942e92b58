//! Numbers as peers write them: `5`, `"5"`, `5.0`; absent, `null` and `""` mean none.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// For `#[serde(default, deserialize_with = "lenient::integer")]`.
///
/// # Errors
/// When the value is no whole number in either spelling.
pub fn integer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    let wrong = |value: &Value| serde::de::Error::custom(format!("{value} is not a whole number"));
    match Value::deserialize(deserializer)? {
        Value::Null => Ok(None),
        Value::String(text) if text.is_empty() => Ok(None),
        Value::String(text) => match text.trim().parse::<i64>() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(wrong(&Value::String(text))),
        },
        Value::Number(number) => number
            .as_i64()
            .or_else(|| whole(number.as_f64()?))
            .map(Some)
            .ok_or_else(|| wrong(&Value::Number(number))),
        other => Err(wrong(&other)),
    }
}

/// The seconds of a time stamp; newer daemons add a fraction, which is cut off.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the range is checked, the fraction is cut off on purpose"
)]
fn whole(number: f64) -> Option<i64> {
    (number.is_finite() && number.abs() < 9.0e15).then_some(number.trunc() as i64)
}
