//! BCASTLOGGER: how much all services log, from now on.
//!
//! ```text
//! client → core     [BCASTLOGGER] [t] [] {"content":{"severity":"debug"}}
//! core → modules    [BCASTLOGGER] [] [] {"content":{"severity":"debug"}}
//! ```

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{Data, DataError};

/// How much is logged.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Everything.
    Debug,
    /// What an administrator follows in ordinary times.
    #[serde(alias = "notice")]
    Info,
    /// What may need a look.
    #[serde(alias = "warn")]
    Warning,
    /// What needs one.
    #[serde(alias = "critical", alias = "fatal")]
    Error,
    /// As much as the service was started with.
    Default,
}

/// Reads the body: `severity` in `content`, or by itself.
///
/// # Errors
/// When there is none, or it is no word that is known.
pub fn decode(data: &Data) -> Result<Severity, DataError> {
    #[derive(Deserialize)]
    struct Body {
        severity: Severity,
    }
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Spelling {
        Content { content: serde_json::Value },
        Plain(serde_json::Value),
    }
    let body = match data.decode::<Spelling>()? {
        Spelling::Content { content } => content,
        Spelling::Plain(body) => body,
    };
    Ok(serde_json::from_value::<Body>(body)?.severity)
}

/// Writes the body.
#[must_use]
pub fn encode(severity: Severity) -> Data {
    Data::from_value(&json!({ "content": { "severity": severity } }))
}
