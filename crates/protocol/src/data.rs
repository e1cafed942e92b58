//! The DATA of a message: one JSON value, carried as text.

use std::sync::Arc;

use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};

/// JSON text that was checked once and is then carried opaquely: whoever routes a message
/// reads its header and never its data. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Data(Arc<str>);

/// DATA that is not JSON, or not the JSON that its action wants.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct DataError(#[from] serde_json::Error);

impl Data {
    /// `{}`: what an empty DATA means.
    #[must_use]
    pub fn empty() -> Self {
        Self("{}".into())
    }

    /// Checks that a text is one JSON value. Raw line breaks inside strings, which some peers
    /// send, are accepted and written as `\n` from here on.
    ///
    /// # Errors
    /// When it is not JSON, with the place.
    pub fn parse(text: &str) -> Result<Self, DataError> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(Self::empty());
        }
        match serde_json::from_str::<IgnoredAny>(text) {
            Ok(_) => Ok(Self(text.into())),
            Err(error) if has_raw_control(text) => {
                let mended = escape_raw_controls(text);
                serde_json::from_str::<IgnoredAny>(&mended)
                    .map(|_| Self(mended.into()))
                    .map_err(|_| DataError(error))
            }
            Err(error) => Err(DataError(error)),
        }
    }

    /// Writes a value as JSON. A value that cannot be written (a map with keys that are not
    /// text) becomes `null`; the types of this crate all can.
    #[must_use]
    pub fn from_value(value: &impl Serialize) -> Self {
        Self(
            serde_json::to_string(value)
                .unwrap_or_else(|_| "null".to_owned())
                .into(),
        )
    }

    /// Reads the body. Done once, by the owner of the action.
    ///
    /// # Errors
    /// When the JSON is not what the action wants, with what and where.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, DataError> {
        serde_json::from_str(&self.0).map_err(DataError)
    }

    /// The JSON text, shared.
    #[must_use]
    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }

    /// The JSON text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn has_raw_control(text: &str) -> bool {
    text.bytes().any(|byte| byte < 0x20)
}

fn escape_raw_controls(text: &str) -> String {
    let mut mended = String::with_capacity(text.len() + 16);
    let mut in_string = false;
    let mut escaped = false;
    for c in text.chars() {
        match c {
            '"' if !escaped => in_string = !in_string,
            '\n' if in_string => {
                mended.push_str("\\n");
                continue;
            }
            '\r' if in_string => {
                mended.push_str("\\r");
                continue;
            }
            '\t' if in_string => {
                mended.push_str("\\t");
                continue;
            }
            _ => {}
        }
        escaped = c == '\\' && !escaped;
        mended.push(c);
    }
    mended
}
