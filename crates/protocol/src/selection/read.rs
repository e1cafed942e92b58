//! Text to selection.

use super::error::shown;
use super::{
    Condition, LabelKey, LabelValue, Requirement, Selection, SelectionError, SelectionProblem, Span,
};
use crate::NodeId;

/// Something wrong, and where in the text it is, in bytes.
type Wrong = (usize, SelectionProblem);

/// A piece of the text, and where it stands.
#[derive(Clone, Copy)]
struct Piece<'a> {
    text: &'a str,
    at: usize,
}

enum Item {
    Span(Span),
    Requirement(Requirement),
}

pub(super) fn selection(text: &str) -> Result<Selection, SelectionError> {
    read(text).map_err(|(at, problem)| SelectionError::new(text, at, problem))
}

fn read(text: &str) -> Result<Selection, Wrong> {
    if text.len() > Selection::MAX_BYTES {
        return Err((Selection::MAX_BYTES, SelectionProblem::TooLong));
    }
    let whole = Piece { text, at: 0 }.trimmed();
    if is_all(whole.text) {
        return Ok(Selection::All);
    }
    let mut spans = Vec::new();
    let mut requirements = Vec::new();
    for piece in items(whole)? {
        let mixed = |there: bool| match there {
            true => Err((piece.at, SelectionProblem::Mixed(shown(piece.text)))),
            false => Ok(()),
        };
        match item(piece)? {
            Item::Span(span) => {
                mixed(!requirements.is_empty())?;
                spans.push(span);
            }
            Item::Requirement(requirement) => {
                mixed(!spans.is_empty())?;
                requirements.push(requirement);
            }
        }
    }
    Ok(match requirements.is_empty() {
        true => Selection::Ids(spans.into()),
        false => Selection::Labels(requirements.into()),
    })
}

fn is_all(text: &str) -> bool {
    matches!(text, "*" | "all")
}

/// Whether a text reads as an id or as a range of ids.
pub(super) fn is_ids(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits(text)
        || text
            .split_once('-')
            .is_some_and(|(first, last)| digits(first.trim_end()) && digits(last.trim_start()))
}

/// What stands between the commas that are not in parentheses.
fn items(whole: Piece<'_>) -> Result<Vec<Piece<'_>>, Wrong> {
    let mut items = Vec::new();
    let mut from = 0;
    let mut open = None;
    for (at, c) in whole.text.char_indices() {
        match c {
            '(' if open.is_some() => {
                return Err((whole.at + at, SelectionProblem::Parenthesis('(')));
            }
            '(' => open = Some(at),
            ')' if open.is_none() => {
                return Err((whole.at + at, SelectionProblem::Parenthesis(')')));
            }
            ')' => open = None,
            ',' if open.is_none() => {
                items.push(whole.part(from, at));
                from = at + 1;
            }
            _ => {}
        }
    }
    if let Some(at) = open {
        return Err((whole.at + at, SelectionProblem::Parenthesis('(')));
    }
    items.push(whole.part(from, whole.text.len()));
    Ok(items)
}

fn item(piece: Piece<'_>) -> Result<Item, Wrong> {
    let text = piece.text;
    if text.is_empty() {
        Err((piece.at, SelectionProblem::EmptyItem))
    } else if is_all(text) {
        Err((piece.at, SelectionProblem::AllIsAlone(text.to_owned())))
    } else if is_ids(text) {
        span(piece).map(Item::Span)
    } else {
        requirement(piece).map(Item::Requirement)
    }
}

fn span(piece: Piece<'_>) -> Result<Span, Wrong> {
    let id = |text: &str| {
        let text = text.trim();
        NodeId::parse(text).map_err(|_| (piece.at, SelectionProblem::LargeId(shown(text))))
    };
    let Some((first, last)) = piece.text.split_once('-') else {
        let first = id(piece.text)?;
        return Ok(Span {
            first,
            last: first,
            single: true,
        });
    };
    let (first, last) = (id(first)?, id(last)?);
    if first > last {
        let problem = SelectionProblem::BackwardRange(shown(piece.text));
        return Err((piece.at, problem));
    }
    Ok(Span {
        first,
        last,
        single: false,
    })
}

fn requirement(piece: Piece<'_>) -> Result<Requirement, Wrong> {
    if let Some(rest) = piece.text.strip_prefix('!')
        && !rest.starts_with('=')
    {
        let key = key(piece.part(1, piece.text.len()))?;
        return Ok(Requirement {
            key,
            condition: Condition::Absent,
        });
    }
    let ends = |c: char| c.is_whitespace() || "=!(".contains(c);
    let end = piece.text.find(ends).unwrap_or(piece.text.len());
    let key = key(piece.part(0, end))?;
    let rest = piece.part(end, piece.text.len());
    let condition = if rest.text.is_empty() {
        Condition::Exists
    } else {
        condition(rest)?
    };
    Ok(Requirement { key, condition })
}

fn key(piece: Piece<'_>) -> Result<LabelKey, Wrong> {
    LabelKey::parse(piece.text).map_err(|error| (piece.at, error.into()))
}

/// What stands behind the key: an operator and what it takes.
fn condition(piece: Piece<'_>) -> Result<Condition, Wrong> {
    let operators = [
        ("==", false),
        ("=", false),
        ("!=", true),
        ("notin", true),
        ("in", false),
    ];
    let found = operators.iter().find(|(operator, _)| {
        let word = operator.starts_with(char::is_alphabetic);
        piece.text.strip_prefix(operator).is_some_and(|rest| {
            !word || rest.is_empty() || rest.starts_with(|c: char| c.is_whitespace() || c == '(')
        })
    });
    let Some((operator, not)) = found else {
        return Err((piece.at, SelectionProblem::Operator(shown(piece.text))));
    };
    let rest = piece.part(operator.len(), piece.text.len());
    let values = match rest.text.strip_prefix('(') {
        Some(inner) => {
            // The parentheses are balanced.
            let end = inner.find(')').unwrap_or(inner.len()) + 1;
            let behind = rest.part((end + 1).min(rest.text.len()), rest.text.len());
            if !behind.text.is_empty() {
                return Err((behind.at, SelectionProblem::Behind(shown(behind.text))));
            }
            values(rest.part(1, end))?
        }
        None if operator.starts_with(char::is_alphabetic) => {
            let operator = (*operator).to_owned();
            return Err((rest.at, SelectionProblem::NoValues(operator)));
        }
        None => vec![value(rest)?],
    };
    Ok(match not {
        true => Condition::NotIn(values),
        false => Condition::In(values),
    })
}

fn values(piece: Piece<'_>) -> Result<Vec<LabelValue>, Wrong> {
    let mut from = 0;
    let parts = piece.text.split(',').map(|part| {
        let found = piece.part(from, from + part.len());
        from += part.len() + 1;
        value(found)
    });
    parts.collect()
}

fn value(piece: Piece<'_>) -> Result<LabelValue, Wrong> {
    LabelValue::parse(piece.text).map_err(|error| (piece.at, error.into()))
}

impl<'a> Piece<'a> {
    /// A part of it, without white space around it.
    fn part(self, from: usize, to: usize) -> Self {
        let text = self.text.get(from..to).unwrap_or_default();
        Self {
            text,
            at: self.at + from,
        }
        .trimmed()
    }

    fn trimmed(self) -> Self {
        let start = self.text.trim_start();
        Self {
            at: self.at + self.text.len() - start.len(),
            text: start.trim_end(),
        }
    }
}
