//! Takes secrets out of texts that are kept for people to read.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use regex::{Captures, Regex, RegexSet};

/// What stands for a secret.
const MASK: &str = "***";
/// What stands for the rest of a text that was cut.
const CUT: &str = "…";
/// How far into a text secrets are looked for. Much further than what is kept of it, so that a
/// secret is found even where the text is cut in its middle.
const WINDOW: usize = 64 * 1024;

/// Names under which secrets are given: `NAMES` in the patterns below.
const NAMES: &str = r"(?:passw(?:or)?d|passphrase|passcode|(?-u:\b)pass(?-u:\b)|(?-u:\b)pwd|secret|credential|community|(?:api|access|private)[_-]?key|(?:api|auth|access|bearer|refresh|session)[_-]?token)";

/// How secrets stand in what people ask for.
const BUILT_IN: [&str; 11] = [
    // {"password":"…"}, {"password":5}
    r#"(?i)NAMES[a-z0-9_.-]*"\s*:\s*"((?:[^"\\]|\\.)*)"#,
    r#"(?i)NAMES[a-z0-9_.-]*"\s*:\s*([^\s"{}\[\],]+)"#,
    // password=…, password: …, and both in quotes
    r#"(?i)NAMES[a-z0-9_.-]*(?:\\")?\s*[=:]\s*\\"(.*?)\\""#,
    r#"(?i)NAMES[a-z0-9_.-]*'?\s*[=:]\s*'([^']*)"#,
    r#"(?i)NAMES[a-z0-9_.-]*\s*[=:]\s*([^\s"'\\;&|]+)"#,
    // --password …, --token=…, ["--password","…"]
    r#"(?i)--?[a-z0-9_-]*(?:NAMES|token)[a-z0-9_-]*(?:"\s*,\s*"((?:[^"\\]|\\.)*)|(?:\s+|=)(?:\\?"(.*?)\\?"|'([^']*)|([^\s"'\\]+)))"#,
    // -p…, as clients of databases take it
    r#"(?:^|[\s"'])-p([^\s"'\\]+)"#,
    r#"(?-u:\b)sshpass\s+-p\s+(?:\\"(.*?)\\"|'([^']*)|([^\s"'\\]+))"#,
    // snmpwalk -c …, check_snmp -C …
    r#"(?-u:\b)snmp[a-z]*\s[^|;&"]*?-c\s*([^\s"'\\]+)|check_[a-z_]*snmp[a-z_]*\s[^|;&"]*?-C\s*([^\s"'\\]+)"#,
    // Authorization: Basic …, Bearer …
    r#"(?i)authorization(?:\\?["'])?\s*[=:]\s*(?:\\?["'])?(?:[a-z]+\s+)?([^\s"'\\]+)|(?-u:\b)bearer\s+([^\s"'\\]{8,})"#,
    // https://user:…@host, and keys in PEM
    r#"(?s)://[^/\s:@"']*:([^@\s/"']+)@|-----BEGIN [A-Z ]*PRIVATE KEY-----(.*?)(?:-----END|$)"#,
];

/// Finds secrets by patterns: those that it knows by itself, and those that it is given. Cheap
/// to clone.
#[derive(Clone, Debug)]
pub struct Redactor(Arc<Patterns>);

#[derive(Debug)]
struct Patterns {
    /// Which of them match at all; most texts match none.
    all: RegexSet,
    each: Vec<Regex>,
}

impl Redactor {
    /// Knows these patterns beside its own. Of a match, what its named groups matched is
    /// replaced; without any, what its groups matched; without groups, the whole of it.
    ///
    /// # Errors
    /// When one of them is not a regular expression, or too large.
    pub fn new(patterns: &[String]) -> Result<Self, regex::Error> {
        let own = BUILT_IN
            .iter()
            .map(|pattern| pattern.replace("NAMES", NAMES));
        let all: Vec<String> = own.chain(patterns.iter().cloned()).collect();
        Ok(Self(Arc::new(Patterns {
            all: RegexSet::new(&all)?,
            each: all
                .iter()
                .map(|pattern| Regex::new(pattern))
                .collect::<Result<_, _>>()?,
        })))
    }

    /// A text of about `limit` bytes at most, without the secrets that were in it.
    #[must_use]
    pub fn keep(&self, text: &Arc<str>, limit: usize) -> Arc<str> {
        let window = &text[..text.floor_char_boundary(WINDOW)];
        let mut kept = Cow::Borrowed(window);
        for index in self.0.all.matches(window) {
            if let Some(pattern) = self.0.each.get(index) {
                kept = Cow::Owned(mask(pattern, &kept));
            }
        }
        match &kept {
            Cow::Borrowed(_) if text.len() <= limit => Arc::clone(text),
            kept if kept.len() <= limit && text.len() <= WINDOW => (**kept).into(),
            kept => format!("{}{CUT}", &kept[..kept.floor_char_boundary(limit)]).into(),
        }
    }
}

fn mask(pattern: &Regex, text: &str) -> String {
    let named: Vec<&str> = pattern.capture_names().flatten().collect();
    let mut masked = String::with_capacity(text.len());
    let mut done = 0;
    for found in pattern.captures_iter(text) {
        for secret in secrets(&found, &named) {
            // Groups may lie within each other.
            if secret.start >= done {
                masked.push_str(&text[done..secret.start]);
                masked.push_str(MASK);
                done = secret.end;
            }
        }
    }
    masked.push_str(&text[done..]);
    masked
}

/// What of a match is secret, in the order of the text.
fn secrets(found: &Captures<'_>, named: &[&str]) -> Vec<Range<usize>> {
    let mut secrets: Vec<Range<usize>> = if named.is_empty() {
        let groups = found.iter().skip(1).flatten();
        groups.map(|group| group.range()).collect()
    } else {
        let groups = named.iter().filter_map(|name| found.name(name));
        groups.map(|group| group.range()).collect()
    };
    if secrets.is_empty() {
        secrets.extend(found.get(0).map(|whole| whole.range()));
    }
    secrets.sort_by_key(|range| range.start);
    secrets
}
