//! The only place that writes to the terminal.

use std::io::{IsTerminal, Write, stderr, stdout};

/// Whether people look at the output.
pub(crate) fn for_people() -> bool {
    stdout().is_terminal()
}

/// Writes a line. A reader that went away (`| head`) ends the program quietly.
pub(crate) fn line(text: &str) {
    raw(text);
    raw("\n");
}

/// Writes text as it is.
pub(crate) fn raw(text: &str) {
    let mut out = stdout().lock();
    if out
        .write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .is_err()
    {
        std::process::exit(0);
    }
}

/// Writes text to the error output as it is.
pub(crate) fn raw_error(text: &str) {
    // Nobody is left to be told that this failed.
    let _ = stderr().lock().write_all(text.as_bytes());
}

/// Writes a line to the error output.
pub(crate) fn error(text: &str) {
    raw_error(&format!("{text}\n"));
}

/// Text in a colour, for people: 31 red, 32 green, 33 yellow, 2 faint.
pub(crate) fn coloured(colour: u8, text: &str) -> String {
    if for_people() && std::env::var_os("NO_COLOR").is_none() {
        format!("\x1b[{colour}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}
