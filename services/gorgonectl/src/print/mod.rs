//! The print room: the only place that writes to the terminal.
//!
//! What others wrote (messages, output in tables, names) passes through [`text::escape`], so that
//! it cannot steer the terminal. The output of a command is the exception: it is shown as it is.

mod json;
pub(crate) mod table;
pub(crate) mod text;

use std::cell::Cell;
use std::io::{self, IsTerminal, Write, stderr, stdout};

use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use rustix::termios::tcgetwinsize;
use serde_json::Value;

use table::Table;

/// It went well.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
/// It failed.
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
/// It may need a look.
pub(crate) const ODD: Style = AnsiColor::Yellow.on_default();
/// It matters less than the rest.
pub(crate) const FAINT: Style = Style::new().dimmed();
/// The head of a table.
pub(crate) const HEAD: Style = Style::new().bold();
/// Nothing special.
pub(crate) const PLAIN: Style = Style::new();

/// Where the terminal's cursor was left.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cursor {
    LineStart,
    MidLine,
    OnProgress,
}

/// The two outputs, and what their readers are.
pub(crate) struct Screen {
    json: bool,
    colour: bool,
    colour_error: bool,
    /// Columns of the terminal that the output goes to; none where it goes elsewhere.
    columns: Option<usize>,
    /// Columns of the terminal that progress is shown on; none where it is not.
    progress_columns: Option<usize>,
    cursor: Cell<Cursor>,
}

impl Screen {
    /// Looks at where the outputs go. `choice` is `--color`; NO_COLOR and its relatives are
    /// respected where it is automatic.
    pub(crate) fn new(json: bool, choice: ColorChoice) -> Self {
        let coloured = |automatic: ColorChoice| match choice {
            ColorChoice::Auto => automatic,
            asked => asked,
        } != ColorChoice::Never;
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let progress = stderr().is_terminal() && !json && !dumb;
        Self {
            json,
            colour: coloured(AutoStream::choice(&stdout())),
            colour_error: coloured(AutoStream::choice(&stderr())),
            columns: stdout().is_terminal().then(|| columns(stdout())),
            progress_columns: progress.then(|| columns(stderr())),
            cursor: Cell::new(Cursor::LineStart),
        }
    }

    /// Whether everything is to be JSON.
    pub(crate) const fn json(&self) -> bool {
        self.json
    }

    /// Columns of the terminal that the output goes to; none where it goes elsewhere.
    pub(crate) const fn columns(&self) -> Option<usize> {
        self.columns
    }

    /// Whether [`Screen::progress`] shows anything.
    pub(crate) const fn shows_progress(&self) -> bool {
        self.progress_columns.is_some()
    }

    /// Text in a style, where the output has colour.
    pub(crate) fn styled(&self, style: Style, text: &str) -> String {
        styled(self.colour, style, text)
    }

    /// The same for what goes to the error output.
    pub(crate) fn styled_note(&self, style: Style, text: &str) -> String {
        styled(self.colour_error, style, text)
    }

    /// Writes a line.
    pub(crate) fn line(&self, text: &str) -> io::Result<()> {
        self.raw(&format!("{text}\n"))
    }

    /// Writes a value as one line of JSON.
    pub(crate) fn object(&self, value: &Value) -> io::Result<()> {
        self.line(&json::safe(value.to_string()))
    }

    /// Writes a value as JSON for people.
    pub(crate) fn pretty(&self, value: &Value) -> io::Result<()> {
        self.line(&json::safe(format!("{value:#}")))
    }

    /// Writes a table; nothing where it has no rows.
    pub(crate) fn table(&self, table: &Table) -> io::Result<()> {
        for line in table.lines(self.columns, self.colour) {
            self.line(&line)?;
        }
        Ok(())
    }

    /// Writes text as it is.
    pub(crate) fn raw(&self, text: &str) -> io::Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        self.clear();
        let mut out = stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()?;
        if self.columns.is_some() {
            self.leave(text);
        }
        Ok(())
    }

    /// Writes text to the error output as it is.
    pub(crate) fn raw_error(&self, text: &str) {
        if text.is_empty() {
            return;
        }
        self.clear();
        // Nobody is left to be told that this failed.
        let _ = stderr().lock().write_all(text.as_bytes());
        if self.progress_columns.is_some() {
            self.leave(text);
        }
    }

    /// Writes one line to the error output, whatever the text holds.
    pub(crate) fn note(&self, text: &str) {
        let name = styled(self.colour_error, HEAD, "gorgonectl:");
        let start = match self.cursor.get() {
            Cursor::MidLine => "\n",
            Cursor::LineStart | Cursor::OnProgress => "",
        };
        self.raw_error(&format!("{start}{name} {}\n", text::escape(text)));
    }

    /// Shows what is waited for, in place of what was shown before; only on a terminal, and
    /// never into the middle of a line of output.
    pub(crate) fn progress(&self, text: &str) {
        let Some(columns) = self.progress_columns else {
            return;
        };
        if self.cursor.get() == Cursor::MidLine {
            return;
        }
        let text = text::cut(&text::escape(text), columns.saturating_sub(1));
        let shown = styled(self.colour_error, FAINT, &text);
        let _ = write!(stderr().lock(), "\r\x1b[K{shown}");
        self.cursor.set(Cursor::OnProgress);
    }

    /// Takes away what [`Screen::progress`] showed.
    pub(crate) fn clear(&self) {
        if self.cursor.get() == Cursor::OnProgress {
            let _ = write!(stderr().lock(), "\r\x1b[K");
            self.cursor.set(Cursor::LineStart);
        }
    }

    fn leave(&self, text: &str) {
        self.cursor.set(if text.ends_with('\n') {
            Cursor::LineStart
        } else {
            Cursor::MidLine
        });
    }
}

fn styled(colour: bool, style: Style, text: &str) -> String {
    if colour && style != PLAIN {
        format!("{style}{text}{style:#}")
    } else {
        text.to_owned()
    }
}

/// A terminal that does not know its size is as wide as terminals used to be.
fn columns(terminal: impl rustix::fd::AsFd) -> usize {
    match tcgetwinsize(terminal) {
        Ok(size) if size.ws_col > 0 => usize::from(size.ws_col),
        _ => 80,
    }
}
