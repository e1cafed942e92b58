//! Reads keys of a merged configuration into finished types, and collects everything that is
//! wrong on the way instead of stopping at the first.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use figment::value::{Dict, Value};
use gorgone_protocol::near_miss;

use super::layer::{Origins, nearest_place};
use super::problem::{Place, Problem};
use crate::context::system_hostname;

/// What all sections of one configuration share.
pub(super) struct Reader {
    pub(super) file: PathBuf,
    pub(super) origins: Origins,
    pub(super) problems: RefCell<Vec<Problem>>,
    pub(super) warnings: RefCell<Vec<Problem>>,
    pub(super) left_out: RefCell<Vec<Problem>>,
}

impl Reader {
    /// Notes what is wrong with a key.
    pub(super) fn problem(&self, key: &str, message: impl Into<String>) {
        self.problems.borrow_mut().push(self.note(key, message));
    }

    /// Notes what is worth knowing about a key.
    pub(super) fn warn(&self, key: &str, message: impl Into<String>) {
        self.warnings.borrow_mut().push(self.note(key, message));
    }

    /// Notes what is wrong with a part that the rest can do without.
    pub(super) fn leave_out(&self, key: &str, message: impl Into<String>) {
        self.left_out.borrow_mut().push(self.note(key, message));
    }

    /// Where a key was written.
    pub(super) fn place(&self, key: &str) -> Place {
        nearest_place(&self.origins, key, &self.file)
    }

    /// Whether YAML takes the value of this key for a number or a truth value.
    pub(super) fn is_plain(&self, key: &str) -> bool {
        self.origins.get(key).is_some_and(|origin| origin.plain)
    }

    fn note(&self, key: &str, message: impl Into<String>) -> Problem {
        Problem {
            place: self.place(key),
            key: key.to_owned(),
            message: message.into(),
        }
    }
}

/// A mapping of the configuration. Whatever nobody asked for by the time of
/// [`Section::finish`] is an unknown key.
pub(super) struct Section<'r> {
    reader: &'r Reader,
    path: String,
    values: Dict,
    known: RefCell<BTreeSet<String>>,
}

impl<'r> Section<'r> {
    pub(super) fn new(reader: &'r Reader, path: impl Into<String>, values: Dict) -> Self {
        Self {
            reader,
            path: path.into(),
            values,
            known: RefCell::default(),
        }
    }

    /// The key path of one of its keys.
    pub(super) fn path(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }

    pub(super) fn problem(&self, key: &str, message: impl Into<String>) {
        self.reader.problem(&self.path(key), message);
    }

    pub(super) fn warn(&self, key: &str, message: impl Into<String>) {
        self.reader.warn(&self.path(key), message);
    }

    pub(super) fn reader(&self) -> &'r Reader {
        self.reader
    }

    /// Whether any of its keys was written.
    pub(super) fn is_written(&self) -> bool {
        !self.values.is_empty()
    }

    pub(super) fn keys(&self) -> Vec<String> {
        self.values.keys().cloned().collect()
    }

    /// Whether the key is there with something in it.
    pub(super) fn has(&self, key: &str) -> bool {
        self.value(key).is_some()
    }

    /// A key's value; an empty one counts as absent.
    fn value(&self, key: &str) -> Option<&Value> {
        self.known.borrow_mut().insert(key.to_owned());
        self.values
            .get(key)
            .filter(|value| !matches!(value, Value::String(_, text) if text.is_empty()))
    }

    /// Accepts a key without looking into it.
    pub(super) fn raw(&self, key: &str) -> Option<&Value> {
        self.value(key)
    }

    pub(super) fn text(&self, key: &str) -> Option<String> {
        match self.value(key)? {
            Value::String(_, text) => Some(text.clone()),
            other => {
                self.problem(key, format!("must be a single value, not {}", kind(other)));
                None
            }
        }
    }

    /// A key that is read by `parse`, whose error is a sentence that begins with the value.
    pub(super) fn parsed<T, E: Display>(
        &self,
        key: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let text = self.text(key)?;
        parse(&text)
            .map_err(|error| self.problem(key, error.to_string()))
            .ok()
    }

    pub(super) fn flag(&self, key: &str, default: bool) -> bool {
        self.parsed(key, |text| match text.to_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Ok(true),
            "false" | "no" | "off" | "0" => Ok(false),
            _ => Err(format!("'{text}' is neither true nor false")),
        })
        .unwrap_or(default)
    }

    pub(super) fn number(&self, key: &str, default: u64, range: RangeInclusive<u64>) -> u64 {
        self.parsed(key, |text| whole(text, &range, ""))
            .unwrap_or(default)
    }

    /// A count of things in memory.
    pub(super) fn count(&self, key: &str, default: usize, range: RangeInclusive<u64>) -> usize {
        let number = self.number(key, default as u64, range);
        usize::try_from(number).unwrap_or(usize::MAX)
    }

    pub(super) fn seconds(&self, key: &str, default: u64, range: RangeInclusive<u64>) -> Duration {
        let seconds = self
            .parsed(key, |text| whole(text, &range, " of seconds"))
            .unwrap_or(default);
        Duration::from_secs(seconds)
    }

    /// A file or folder; relative ones are relative to the working directory, `~/` is the
    /// home of whoever runs the daemon.
    pub(super) fn file(&self, key: &str) -> Option<PathBuf> {
        self.text(key).map(|text| match text.strip_prefix("~/") {
            Some(rest) => std::env::home_dir()
                .unwrap_or_else(|| PathBuf::from("/"))
                .join(rest),
            None => PathBuf::from(text),
        })
    }

    /// A module's name on the bus: a ZeroMQ identity that people can read. `{hostname}` in it
    /// is the system's host name, which each of several containers has for itself.
    pub(super) fn instance(&self, default: &str) -> String {
        self.parsed("instance", |text| {
            let name = text.replace("{hostname}", &system_hostname());
            let readable = |c: char| c.is_ascii_graphic() && c != ']';
            if (1..=255).contains(&name.len()) && name.chars().all(readable) {
                Ok(name)
            } else {
                Err("is no name of 1 to 255 letters, digits and signs other than ']'")
            }
        })
        .unwrap_or_else(|| default.to_owned())
    }

    pub(super) fn section(&self, key: &str) -> Option<Section<'r>> {
        let value = self.value(key)?;
        self.as_section(&self.path(key), value)
    }

    fn as_section(&self, path: &str, value: &Value) -> Option<Section<'r>> {
        match value {
            Value::Dict(_, values) => Some(Section::new(self.reader, path, values.clone())),
            other => {
                let message = format!("must be a mapping of keys, not {}", kind(other));
                self.reader.problem(path, message);
                None
            }
        }
    }

    /// The items of a list, with the key path of each.
    pub(super) fn list(&self, key: &str) -> Vec<(String, Value)> {
        match self.value(key) {
            None => Vec::new(),
            Some(Value::Array(_, items)) => items
                .iter()
                .enumerate()
                .map(|(index, item)| (format!("{}[{index}]", self.path(key)), item.clone()))
                .collect(),
            Some(other) => {
                let message = format!("must be a list, not {}; write [ … ]", kind(other));
                self.problem(key, message);
                Vec::new()
            }
        }
    }

    /// A list of mappings.
    pub(super) fn sections(&self, key: &str) -> Vec<Section<'r>> {
        self.list(key)
            .into_iter()
            .filter_map(|(path, item)| self.as_section(&path, &item))
            .collect()
    }

    /// A list whose items are texts, or mappings that say more.
    pub(super) fn texts_or_sections(&self, key: &str) -> Vec<(String, Item<'r>)> {
        self.list(key)
            .into_iter()
            .filter_map(|(path, item)| match item {
                Value::String(_, text) => Some((path, Item::Text(text))),
                other => {
                    let section = self.as_section(&path, &other)?;
                    Some((path, Item::Section(section)))
                }
            })
            .collect()
    }

    /// A list of texts, with the key path of each.
    pub(super) fn texts(&self, key: &str) -> Vec<(String, String)> {
        self.list(key)
            .into_iter()
            .filter_map(|(path, item)| match item {
                Value::String(_, text) => Some((path, text)),
                other => {
                    let message = format!("must be a single value, not {}", kind(&other));
                    self.reader.problem(&path, message);
                    None
                }
            })
            .collect()
    }

    /// Keys of older releases that change nothing here: accepted, with a warning.
    pub(super) fn ignore(&self, keys: &[&str]) {
        for key in keys {
            if self.has(key) {
                self.warn(key, "this release does not use this key; it can be removed");
            }
        }
    }

    /// Everything else is a key that we know nothing of.
    pub(super) fn finish(self) {
        let known = self.known.borrow();
        for key in self.values.keys().filter(|key| !known.contains(*key)) {
            let hint = near_miss(key, known.iter().map(String::as_str));
            let mend = hint.map_or_else(
                || "remove it".to_owned(),
                |hint| format!("did you mean '{hint}'?"),
            );
            self.reader
                .problem(&self.path(key), format!("unknown key; {mend}"));
        }
    }
}

/// An item of [`Section::texts_or_sections`].
pub(super) enum Item<'r> {
    Text(String),
    Section(Section<'r>),
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Dict(..) => "a mapping",
        Value::Array(..) => "a list",
        _ => "a single value",
    }
}

fn whole(text: &str, range: &RangeInclusive<u64>, unit: &str) -> Result<u64, String> {
    let (low, high) = (range.start(), range.end());
    text.parse::<u64>()
        .ok()
        .filter(|number| range.contains(number))
        .ok_or_else(|| match *high {
            u64::MAX => format!("'{text}' is not a whole number{unit} of at least {low}"),
            _ => format!("'{text}' is not a whole number{unit} from {low} to {high}"),
        })
}
