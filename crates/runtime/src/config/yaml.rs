//! YAML text as a tree that remembers where each value stands and how it was spelled.
//!
//! Every scalar is kept as the text that was written: `vector: 0123456789012345` keeps its
//! leading zero, and whether `yes` is a truth or a word is decided by the key that holds it.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

/// A value and where it begins.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) value: Yaml,
    pub(super) line: u64,
    pub(super) column: u64,
}

/// What a value is.
#[derive(Debug, Clone)]
pub(super) enum Yaml {
    Null,
    /// A quoted text, or a plain one that is nothing but a text.
    Scalar(String),
    /// A plain scalar that YAML takes for a number or a truth value, as it was written.
    Plain(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

/// Text that is not YAML.
#[derive(Debug)]
pub(super) struct SyntaxError {
    pub(super) line: u64,
    pub(super) column: u64,
    pub(super) message: String,
}

/// Reads one document.
pub(super) fn parse(source: &str) -> Result<Node, SyntaxError> {
    let options = serde_saphyr::options! { with_snippet: false };
    let raw: Spanned<Raw> =
        serde_saphyr::from_str_with_options(source, options).map_err(|error| {
            let (line, column) = error
                .location()
                .map_or((0, 0), |place| (place.line(), place.column()));
            SyntaxError {
                line,
                column,
                message: explain(error.without_snippet().to_string()),
            }
        })?;
    Ok(spell(raw, source))
}

/// The parser's message with its most common cause in configurations of gorgone.
fn explain(message: String) -> String {
    let lower = message.to_lowercase();
    if lower.contains("anchor") || lower.contains("alias") {
        format!("{message}; a value that begins with * or & must be quoted, as in \"*:5555\"")
    } else {
        message
    }
}

/// What the deserializer tells; `Plain` is a scalar that it took for a number or a truth.
enum Raw {
    Null,
    Plain(String),
    Text(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(String, Spanned<Raw>)>),
}

fn spell(raw: Spanned<Raw>, source: &str) -> Node {
    let place = raw.referenced;
    let value = match raw.value {
        Raw::Null => Yaml::Null,
        Raw::Text(text) => Yaml::Scalar(text),
        Raw::Plain(text) => {
            let span = raw.defined.span();
            let written = span
                .byte_offset()
                .zip(span.byte_len())
                .and_then(|(start, length)| {
                    let start = usize::try_from(start).ok()?;
                    source.get(start..start.checked_add(usize::try_from(length).ok()?)?)
                })
                .map(str::trim)
                .filter(|text| !text.is_empty());
            Yaml::Plain(written.map_or(text, str::to_owned))
        }
        Raw::List(items) => Yaml::List(items.into_iter().map(|item| spell(item, source)).collect()),
        Raw::Map(entries) => Yaml::Map(
            entries
                .into_iter()
                .map(|(key, value)| (key, spell(value, source)))
                .collect(),
        ),
    };
    Node {
        value,
        line: place.line(),
        column: place.column(),
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Plain(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Plain(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Plain(value.to_string()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Raw, E> {
        Ok(Raw::Plain(value.to_string()))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Raw, E> {
        Ok(Raw::Plain(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Plain(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Text(value.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
        Raw::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = access.next_key::<String>()? {
            entries.push((key, access.next_value()?));
        }
        Ok(Raw::Map(entries))
    }
}
