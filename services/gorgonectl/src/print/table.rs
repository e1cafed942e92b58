//! Tables for people: columns as wide as they need to be, the last one broken to fit.

use anstyle::Style;

use super::text::{escape, width, wrap};
use super::{HEAD, PLAIN, styled};

/// Between two columns.
const GAP: usize = 2;
/// The last column is broken no narrower than this.
const NARROWEST: usize = 16;

/// One field of a table.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    text: String,
    style: Style,
    right: bool,
}

impl Cell {
    /// A text, made safe for the terminal.
    pub(crate) fn new(text: impl AsRef<str>) -> Self {
        Self {
            text: escape(text.as_ref()),
            style: PLAIN,
            right: false,
        }
    }

    /// A text in a style.
    pub(crate) fn styled(style: Style, text: impl AsRef<str>) -> Self {
        Self {
            style,
            ..Self::new(text)
        }
    }

    /// The same in a style.
    pub(crate) fn in_style(self, style: Style) -> Self {
        Self { style, ..self }
    }

    /// A number: stands at the right of its column.
    pub(crate) fn number(number: impl std::fmt::Display) -> Self {
        Self {
            right: true,
            ..Self::new(number.to_string())
        }
    }
}

/// Rows below a head.
pub(crate) struct Table {
    head: Vec<Cell>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table with these columns and no rows yet.
    pub(crate) fn new(head: &[&str]) -> Self {
        Self {
            head: head.iter().map(|title| Cell::styled(HEAD, title)).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row: as many cells as there are columns.
    pub(crate) fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// The lines, without line breaks; none where there are no rows.
    pub(super) fn lines(&self, columns: Option<usize>, colour: bool) -> Vec<String> {
        let Some(first) = self.rows.first() else {
            return Vec::new();
        };
        // A head stands where its numbers stand.
        let mut head = self.head.clone();
        for (title, cell) in head.iter_mut().zip(first) {
            title.right = cell.right;
        }
        let mut widths = vec![0; head.len()];
        for row in std::iter::once(&head).chain(&self.rows) {
            for (widest, cell) in widths.iter_mut().zip(row) {
                *widest = (*widest).max(width(&cell.text));
            }
        }
        let before: usize = widths.iter().rev().skip(1).map(|width| width + GAP).sum();
        let last = columns.map(|columns| columns.saturating_sub(before).max(NARROWEST));
        std::iter::once(&head)
            .chain(&self.rows)
            .flat_map(|row| lines(row, &widths, before, last, colour))
            .collect()
    }
}

/// One row: the lines of its last cell, the first of them behind the other cells.
fn lines(
    row: &[Cell],
    widths: &[usize],
    before: usize,
    room: Option<usize>,
    colour: bool,
) -> Vec<String> {
    let Some((last, cells)) = row.split_last() else {
        return Vec::new();
    };
    let mut line = String::new();
    for (cell, widest) in cells.iter().zip(widths) {
        let space = " ".repeat(widest.saturating_sub(width(&cell.text)));
        let text = styled(colour, cell.style, &cell.text);
        line.push_str(&if cell.right {
            format!("{space}{text}")
        } else {
            format!("{text}{space}")
        });
        line.push_str(&" ".repeat(GAP));
    }
    let parts = match room {
        Some(room) => wrap(&last.text, room),
        None => vec![last.text.clone()],
    };
    let mut lines = Vec::new();
    for part in parts {
        let space = match (last.right, widths.last()) {
            (true, Some(widest)) => widest.saturating_sub(width(&part)),
            _ => 0,
        };
        line.push_str(&" ".repeat(space));
        line.push_str(&styled(colour, last.style, &part));
        lines.push(line.trim_end().to_owned());
        line = " ".repeat(before);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::{Cell, Table};
    use crate::print::GOOD;

    fn table() -> Table {
        let mut table = Table::new(&["NAME", "COUNT", "WHAT"]);
        table.row(vec![
            Cell::new("日本"),
            Cell::number(7),
            Cell::new("one two three four five six"),
        ]);
        table.row(vec![
            Cell::styled(GOOD, "a\x1bb"),
            Cell::number(12),
            Cell::new(""),
        ]);
        table
    }

    #[test]
    fn columns_stand_below_each_other_and_the_last_is_broken_to_fit() {
        let lines = table().lines(Some(32), false);
        assert_eq!(
            lines,
            [
                "NAME      COUNT  WHAT",
                "日本          7  one two three",
                "                 four five six",
                "a\\u{1b}b     12",
            ]
        );
        assert_eq!(
            table().lines(None, false)[1],
            "日本          7  one two three four five six"
        );
    }

    #[test]
    fn colour_takes_no_room() {
        let plain = table().lines(None, false);
        let coloured = table().lines(None, true);
        let stripped = |line: &str| {
            let mut text = String::new();
            let mut rest = line;
            while let Some((before, after)) = rest.split_once('\x1b') {
                text.push_str(before);
                rest = after.split_once('m').map_or("", |(_, rest)| rest);
            }
            text + rest
        };
        assert!(coloured[2].contains('\x1b'));
        for (plain, coloured) in plain.iter().zip(&coloured) {
            assert_eq!(stripped(coloured), *plain);
        }
    }

    #[test]
    fn a_table_without_rows_is_nothing() {
        assert!(Table::new(&["A"]).lines(None, false).is_empty());
    }
}
