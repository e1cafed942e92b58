//! Text of others, made fit for a terminal: nothing that steers it, and as wide as it will be.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Whether a terminal may act on this character instead of showing it: control characters, and
/// those that change the direction of what follows.
pub(super) fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// One line that shows what the text holds, control characters as `\n`, `\t` or `\u{1b}`.
pub(crate) fn escape(text: &str) -> String {
    if !text.contains(is_unsafe) {
        return text.to_owned();
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_unsafe(c) {
            escaped.extend(c.escape_default());
        } else {
            escaped.push(c);
        }
    }
    escaped
}

/// How many columns a text takes on a terminal.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

/// The text, or as much of its beginning as fits, with `…` behind it.
pub(crate) fn cut(text: &str, columns: usize) -> String {
    if fitting(text, columns) == text.len() {
        return text.to_owned();
    }
    let end = fitting(text, columns.saturating_sub(1));
    format!("{}…", text[..end].trim_end())
}

/// The text in lines that fit, broken at spaces where there are some.
pub(super) fn wrap(text: &str, columns: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut rest = text;
    loop {
        // At least one character a line, however narrow the terminal.
        let first = rest.chars().next().map_or(0, char::len_utf8);
        let end = fitting(rest, columns).max(first);
        if end == rest.len() {
            lines.push(rest.to_owned());
            return lines;
        }
        let at = match rest[..end].rfind(' ') {
            _ if rest[end..].starts_with(' ') => end,
            Some(space) if space > 0 => space,
            _ => end,
        };
        lines.push(rest[..at].trim_end().to_owned());
        rest = rest[at..].trim_start();
    }
}

/// How many bytes of the text surely fit into so many columns. Looks no further than that.
fn fitting(text: &str, columns: usize) -> usize {
    let mut taken = 0;
    for (at, c) in text.char_indices() {
        taken += c.width().unwrap_or(0);
        if taken > columns {
            return at;
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::{cut, escape, width, wrap};

    #[test]
    fn what_steers_a_terminal_is_shown_instead() {
        assert_eq!(escape("a\x1b[31mb\r\n\t"), "a\\u{1b}[31mb\\r\\n\\t");
        assert_eq!(escape("\u{9b}2J \u{202e}x"), "\\u{9b}2J \\u{202e}x");
        assert_eq!(escape("Müller 日本"), "Müller 日本");
    }

    #[test]
    fn wide_and_combining_characters_are_counted_as_they_are_shown() {
        assert_eq!(width("日本"), 4);
        assert_eq!(width("e\u{301}"), 1);
        assert_eq!(cut("日本語", 5), "日本…");
        assert_eq!(cut("日本語", 4), "日…");
        assert_eq!(cut("short", 5), "short");
    }

    #[test]
    fn text_is_broken_at_spaces_or_where_it_must() {
        assert_eq!(wrap("one two three", 8), ["one two", "three"]);
        assert_eq!(wrap("one two", 7), ["one two"]);
        assert_eq!(wrap("abcdef", 4), ["abcd", "ef"]);
        assert_eq!(wrap("日本語", 1), ["日", "本", "語"]);
    }
}
