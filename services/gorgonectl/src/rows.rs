//! How rows of the history look.

use std::io;

use gorgone_protocol::request::log::Row;
use gorgone_protocol::{Code, Dialect};
use serde_json::{Map, Value, json};

use crate::print::text::{cut, escape, width};
use crate::print::{BAD, FAINT, GOOD, HEAD, ODD, Screen};
use crate::time;

/// How much of a token tells it apart for people: those that are made here have 64 digits.
const SHORT_TOKEN: usize = 13;
/// How much of a value is shown.
const VALUE: usize = 120;
/// Columns of what stands before the token.
const BEFORE: usize = 8 + 2 + 19 + 2 + 7 + 2;
/// A row has at least so much room for its words before its token is shortened.
const WORDS: usize = 24;

/// A row as JSON.
pub(crate) fn json(row: &Row) -> Value {
    let mut whole = json!({
        "id": row.id, "token": row.token, "code": row.code.number(Dialect::Seed),
        "etime": row.etime, "ctime": row.ctime, "data": data(row),
    });
    if let Some(node) = row.node {
        whole["node"] = node.get().into();
    }
    whole
}

/// What a row says.
pub(crate) fn data(row: &Row) -> Value {
    serde_json::from_str(&row.data).unwrap_or_else(|_| Value::from(row.data.as_str()))
}

/// Rows one below the other, as they come.
pub(crate) struct Rows<'a> {
    screen: &'a Screen,
    /// Nothing is shortened.
    full: bool,
    headed: bool,
}

impl<'a> Rows<'a> {
    pub(crate) const fn new(screen: &'a Screen, full: bool) -> Self {
        Self {
            screen,
            full,
            headed: false,
        }
    }

    /// Shows a row, the first one on a terminal below a head.
    ///
    /// # Errors
    /// When the output is closed.
    pub(crate) fn show(&mut self, row: &Row) -> io::Result<()> {
        if self.screen.json() {
            return self.screen.object(&json(row));
        }
        let columns = self.screen.columns().filter(|_| !self.full);
        let token = escape(&row.token);
        let room = columns.map(|columns| columns.saturating_sub(BEFORE));
        let token = match room {
            Some(room) if width(&token) + 2 + WORDS > room => cut(&token, SHORT_TOKEN),
            _ => token,
        };
        if !self.headed && self.screen.columns().is_some() {
            let head = format!(
                "{:>8}  {:19}  {:7}  {:width$}  WHAT",
                "ID",
                "TIME",
                "CODE",
                "TOKEN",
                width = width(&token)
            );
            self.screen.line(&self.screen.styled(HEAD, &head))?;
        }
        self.headed = true;
        let (style, code) = match row.code {
            Code::Proceed => (FAINT, "proceed".to_owned()),
            Code::Ok => (GOOD, "OK".to_owned()),
            Code::Ko => (BAD, "KO".to_owned()),
            Code::Module(number) => (ODD, number.to_string()),
        };
        let mut words = words(&data(row), self.full);
        if let Some(node) = row.node {
            words = format!("node={node} {words}");
        }
        let words = match room {
            Some(room) => cut(&words, room.saturating_sub(width(&token) + 2).max(WORDS)),
            None => words,
        };
        let line = format!(
            "{:>8}  {}  {}{}  {}  {}",
            row.id,
            time::local(row.etime),
            self.screen.styled(style, &code),
            " ".repeat(7_usize.saturating_sub(code.len())),
            token,
            words,
        );
        self.screen.line(line.trim_end())
    }
}

/// What a row says, in one line: its message, and what else people look for.
fn words(data: &Value, full: bool) -> String {
    let shown = |value: &Value| {
        let text = match value {
            Value::String(text) => format!("{text:?}"),
            other => other.to_string(),
        };
        let text = escape(&text);
        if full { text } else { cut(&text, VALUE) }
    };
    let Value::Object(members) = data else {
        return match data {
            Value::Null => String::new(),
            Value::String(text) => escape(text),
            other => shown(other),
        };
    };
    let mut words: Vec<String> = Vec::new();
    if let Some(message) = members.get("message").and_then(Value::as_str) {
        words.push(escape(message));
    }
    let mut put = |name: &str, members: &Map<String, Value>| match members.get(name) {
        None | Some(Value::Null | Value::Object(_)) => {}
        Some(Value::String(text)) if text.is_empty() => {}
        Some(Value::String(text)) if is_word(text) => words.push(format!("{name}={text}")),
        Some(value) => words.push(format!("{name}={}", shown(value))),
    };
    for name in [
        "module",
        "reason",
        "exit_code",
        "index",
        "metadata",
        "error",
        "stream",
        "output",
        "stdout",
    ] {
        put(name, members);
    }
    if words.is_empty() && !members.is_empty() {
        return shown(data);
    }
    words.join(" ")
}

fn is_word(text: &str) -> bool {
    text.len() <= VALUE
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_.:/@".contains(c))
}

#[cfg(test)]
mod tests {
    use super::words;
    use serde_json::json;

    #[test]
    fn a_row_is_summed_up_in_one_line() {
        let ended = json!({ "message": "command has finished with exit code 3", "reason": "failed",
            "exit_code": 3, "stdout": "a\nb \u{1b}[31m", "output": { "out": "a", "err": "" },
            "start": 1, "end": 2 });
        assert_eq!(
            words(&ended, false),
            "command has finished with exit code 3 reason=failed exit_code=3 \
             stdout=\"a\\nb \\u{1b}[31m\""
        );
        let long = json!({ "stream": "stdout", "output": "x".repeat(500) });
        assert!(words(&long, false).ends_with('…'));
        assert!(words(&long, true).contains(&"x".repeat(500)));
        assert_eq!(words(&json!({ "other": 1 }), false), "{\"other\":1}");
        assert_eq!(words(&json!("text\u{7}"), false), "text\\u{7}");
        assert_eq!(words(&json!(null), false), "");
    }
}
