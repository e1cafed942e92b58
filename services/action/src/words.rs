//! Command lines as words: read without a shell, and written so that a shell would read the
//! same words again.

/// A command line that only a shell could run as it is meant.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotWords {
    /// It holds something that a shell would act on.
    #[error("{what} needs a shell, and the rule that allows the command does not give it one")]
    NeedsShell {
        /// What it holds.
        what: String,
    },
    /// A quote is not closed, or the line ends in a backslash.
    #[error("a quote is not closed")]
    Unclosed,
    /// There is no word.
    #[error("the command is empty")]
    Empty,
}

/// Splits a line by the quoting rules of the POSIX shell. Nothing is expanded: patterns such as
/// `*` and `~` stay as they are written. What a shell would act on (`; & | < > ( ) $`, a
/// backquote, a line break, a leading assignment) is an error unless it is quoted.
///
/// # Errors
/// When the line is more than words.
pub fn split(line: &str) -> Result<Vec<String>, NotWords> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut plain_prefix = String::new();
    let mut chars = line.trim_matches([' ', '\t', '\n', '\r']).chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' => {
                words.extend(word.take());
                continue;
            }
            ';' | '&' | '|' | '<' | '>' | '(' | ')' | '$' | '`' => {
                return Err(needs_shell(format!("'{c}' outside quotes")));
            }
            '\n' | '\r' => return Err(needs_shell("a line break".to_owned())),
            '\'' => quoted(&mut chars, word.get_or_insert_default())?,
            '"' => double_quoted(&mut chars, word.get_or_insert_default())?,
            '\\' => match chars.next() {
                None => return Err(NotWords::Unclosed),
                Some('\n' | '\r') => return Err(needs_shell("a line break".to_owned())),
                Some(escaped) => word.get_or_insert_default().push(escaped),
            },
            c => {
                let text = word.get_or_insert_default();
                if words.is_empty() && c == '=' && is_name(text) && plain_prefix == *text {
                    return Err(needs_shell("an assignment before the command".to_owned()));
                }
                if words.is_empty() {
                    plain_prefix.push(c);
                }
                text.push(c);
            }
        }
    }
    words.extend(word);
    match words.first() {
        None => Err(NotWords::Empty),
        Some(program) if program.is_empty() => Err(NotWords::Empty),
        Some(_) => Ok(words),
    }
}

const fn needs_shell(what: String) -> NotWords {
    NotWords::NeedsShell { what }
}

fn quoted(chars: &mut std::str::Chars<'_>, word: &mut String) -> Result<(), NotWords> {
    loop {
        match chars.next() {
            None => return Err(NotWords::Unclosed),
            Some('\'') => return Ok(()),
            Some(c) => word.push(c),
        }
    }
}

fn double_quoted(chars: &mut std::str::Chars<'_>, word: &mut String) -> Result<(), NotWords> {
    loop {
        match chars.next() {
            None => return Err(NotWords::Unclosed),
            Some('"') => return Ok(()),
            Some(c @ ('$' | '`')) => {
                return Err(needs_shell(format!("'{c}' inside double quotes")));
            }
            Some('\\') => match chars.next() {
                None => return Err(NotWords::Unclosed),
                Some(c @ ('$' | '`' | '"' | '\\')) => word.push(c),
                Some('\n') => {}
                Some(c) => word.extend(['\\', c]),
            },
            Some(c) => word.push(c),
        }
    }
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Writes words as a line; words that need it stand in single quotes.
#[must_use]
pub fn join(words: &[String]) -> String {
    let mut line = String::new();
    for word in words {
        if !line.is_empty() {
            line.push(' ');
        }
        let plain = |c: char| c.is_alphanumeric() || "%+,-./:=@_^".contains(c);
        if !word.is_empty() && word.chars().all(plain) {
            line.push_str(word);
        } else {
            line.push('\'');
            line.push_str(&word.replace('\'', "'\\''"));
            line.push('\'');
        }
    }
    line
}
