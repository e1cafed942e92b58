//! Which run of which job a request is: the member `cron` that gorgone-cron puts into DATA.
//!
//! ```text
//! {"command":"…","cron":{"job":"backup","scheduled":"2026-11-24T02:30:00Z"}}
//! ```
//! Whoever does not know the member leaves it alone.

use serde::{Deserialize, Serialize};

use crate::Data;

/// A run of a job.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Occasion {
    /// The job's id.
    pub job: String,
    /// When the run was due: RFC 3339.
    pub scheduled: String,
    /// How many times it was begun before and failed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub retry: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Occasion {
    /// Looks for the member without reading the rest of the body. One that makes no sense, or
    /// could not stand in a variable of the environment, is as good as none: whatever the request
    /// asks for does not depend on it.
    #[must_use]
    pub fn peek(data: &Data) -> Option<Self> {
        #[derive(Deserialize)]
        struct Body {
            cron: Occasion,
        }
        let text = data.as_str();
        if !text.starts_with('{') || !text.contains("\"cron\"") {
            return None;
        }
        let occasion = data.decode::<Body>().ok()?.cron;
        let plain = |text: &str, most: usize| {
            !text.is_empty() && text.len() <= most && !text.chars().any(char::is_control)
        };
        let of_time =
            |c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | ':' | '.' | 'T' | 'Z');
        let good = plain(&occasion.job, 255)
            && plain(&occasion.scheduled, 40)
            && occasion.scheduled.chars().all(of_time);
        good.then_some(occasion)
    }
}
