//! `gorgonecore.audit`: what is kept of who asked for what.

use std::time::Duration;

use regex::Regex;

use super::action::not_an_expression;
use super::section::Section;

/// What is kept of who asked for what, and for how long.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuditConfig {
    /// Whether anything is.
    pub enable: bool,
    /// How long each row is kept.
    pub keep: Duration,
    /// How many rows are kept at most; the oldest go first.
    pub max_rows: u64,
    /// Regular expressions that find secrets, beside those that are known anyway.
    pub redact: Vec<String>,
}

const DAY: u64 = 86_400;

impl Default for AuditConfig {
    fn default() -> Self {
        Self {
            enable: true,
            keep: Duration::from_secs(90 * DAY),
            max_rows: 10_000_000,
            redact: Vec::new(),
        }
    }
}

/// Reads the key `audit` of a section.
pub(super) fn read(core: &Section<'_>) -> AuditConfig {
    let Some(section) = core.section("audit") else {
        return AuditConfig::default();
    };
    let default = AuditConfig::default();
    let keep = default.keep.as_secs();
    let config = AuditConfig {
        enable: section.flag("enable", default.enable),
        keep: section.seconds("keep", keep, 60..=3660 * DAY),
        max_rows: section.number("max_rows", default.max_rows, 1..=i64::MAX.unsigned_abs()),
        redact: section
            .texts("redact")
            .into_iter()
            .map(|(path, text)| {
                if let Err(error) = Regex::new(&text) {
                    section.reader().problem(&path, not_an_expression(&error));
                }
                text
            })
            .collect(),
    };
    section.finish();
    config
}
