//! What the sender of any request may ask of its delivery, in members of DATA.

use std::time::Duration;

use serde::Deserialize;

use super::lenient;
use crate::{Data, DataError};

/// `ttl` and `retries`, which every action shares.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Options {
    /// The request must begin within this time, else it ends KO `expired`.
    pub ttl: Option<Duration>,
    /// How many times it may be run again when its runner died in the middle.
    pub retries: u32,
}

impl Options {
    /// Looks for the options without reading the rest of the body.
    ///
    /// # Errors
    /// When one of them has the wrong type.
    pub fn peek(data: &Data) -> Result<Self, DataError> {
        #[derive(Deserialize)]
        struct Body {
            #[serde(default, deserialize_with = "lenient::integer")]
            ttl: Option<i64>,
            #[serde(default, deserialize_with = "lenient::integer")]
            retries: Option<i64>,
        }
        let text = data.as_str();
        if !text.starts_with('{') || !(text.contains("\"ttl\"") || text.contains("\"retries\"")) {
            return Ok(Self::default());
        }
        let body: Body = data.decode()?;
        Ok(Self {
            ttl: body
                .ttl
                .map(|seconds| Duration::from_secs(seconds.max(0).unsigned_abs())),
            retries: body
                .retries
                .map_or(0, |count| u32::try_from(count.max(0)).unwrap_or(u32::MAX)),
        })
    }
}
