//! Numbers as peers write them: `5`, `"5"`, `5.0`; absent, `null` and `""` mean none.

use std::time::Duration;

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

/// A length of time in seconds, perhaps with a fraction: for
/// `#[serde(default, deserialize_with = "lenient::seconds")]`. What is negative is no time.
///
/// # Errors
/// When the value is no number in either spelling.
pub fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let number = match &value {
        Value::Null => return Ok(None),
        Value::String(text) if text.is_empty() => return Ok(None),
        Value::String(text) => text.trim().parse::<f64>().ok(),
        Value::Number(number) => number.as_f64(),
        _ => None,
    };
    let number = number
        .filter(|number| number.is_finite())
        .ok_or_else(|| serde::de::Error::custom(format!("{value} is no number of seconds")))?;
    Ok(Some(
        Duration::try_from_secs_f64(number.max(0.0)).unwrap_or(Duration::MAX),
    ))
}

/// The seconds of a time stamp; newer daemons add a fraction, which is cut off.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the range is checked, the fraction is cut off on purpose"
)]
fn whole(number: f64) -> Option<i64> {
    (number.is_finite() && number.abs() < 9.0e15).then_some(number.trunc() as i64)
}
