//! What commands print: aligned tables for people, JSON for programs, plain when not a terminal.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use crate::error::CommandError;

/// When to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Where and how a command prints.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    json: bool,
    color: bool,
}

impl Output {
    /// Decides by the global flags and by what standard output is.
    pub fn new(json: bool, color: Color) -> Self {
        let plain = || std::env::var_os("NO_COLOR").is_some() || !io::stdout().is_terminal();
        let color = match color {
            Color::Auto => !json && !plain(),
            Color::Always => !json,
            Color::Never => false,
        };
        Self { json, color }
    }

    /// Whether one JSON value is wanted instead of text.
    pub fn is_json(self) -> bool {
        self.json
    }

    /// Prints a JSON value with `--json`, else the text that `text` makes.
    ///
    /// # Errors
    /// Standard output cannot be written. A reader that has gone away is no error.
    pub fn show<T: Serialize>(self, value: &T, text: impl FnOnce() -> String) -> Result<(), CommandError> {
        let mut text = if self.json {
            serde_json::to_string(value).expect("the commands' values have text keys only")
        } else {
            text()
        };
        if !text.ends_with('\n') {
            text.push('\n');
        }
        print(text.as_bytes())
    }

    /// `text` in bold, where colours are wanted.
    pub fn bold(self, text: &str) -> String {
        self.styled("1", text)
    }

    /// `text` in green, where colours are wanted.
    pub fn good(self, text: &str) -> String {
        self.styled("32", text)
    }

    /// `text` in yellow, where colours are wanted.
    pub fn warn(self, text: &str) -> String {
        self.styled("33", text)
    }

    /// `text` in red, where colours are wanted.
    pub fn bad(self, text: &str) -> String {
        self.styled("31", text)
    }

    fn styled(self, code: &str, text: &str) -> String {
        if self.color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Writes to standard output at once.
///
/// # Errors
/// It cannot be written. A reader that has gone away (`| head`) is no error.
pub fn print(bytes: &[u8]) -> Result<(), CommandError> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(CommandError::failed(format!("cannot write the output: {error}"), "check where it is redirected to"))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Rows under headings, aligned: numbers to the right, text to the left.
#[derive(Debug, Clone, Default)]
pub struct Table {
    headings: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings.
    pub fn new<'a>(headings: impl IntoIterator<Item = &'a str>) -> Self {
        Self { headings: headings.into_iter().map(str::to_owned).collect(), rows: Vec::new() }
    }

    /// Adds a row.
    ///
    /// # Panics
    /// It has another number of cells than there are headings.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells: Vec<String> = cells.into_iter().collect();
        assert_eq!(cells.len(), self.headings.len(), "a row has a cell per heading");
        self.rows.push(cells);
    }

    /// The table as lines.
    pub fn text(&self) -> String {
        let width = |cell: &String| visible(cell).count();
        let columns = 0..self.headings.len();
        let widths: Vec<usize> = columns
            .clone()
            .map(|column| self.rows.iter().map(|row| width(&row[column])).max().unwrap_or(0))
            .zip(&self.headings)
            .map(|(cells, heading)| cells.max(width(heading)))
            .collect();
        let right: Vec<bool> = columns.map(|column| self.rows.iter().all(|row| is_number(&row[column]))).collect();
        let line = |cells: &[String]| {
            let padded = cells.iter().enumerate().map(|(column, cell)| {
                let padding = " ".repeat(widths[column] - width(cell));
                if right[column] { padding + cell } else { cell.clone() + &padding }
            });
            padded.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
        };
        std::iter::once(&self.headings).chain(&self.rows).map(|cells| line(cells)).collect()
    }
}

/// The characters that a terminal shows: without colours.
fn visible(cell: &str) -> impl Iterator<Item = char> {
    let mut within = false;
    cell.chars().filter(move |c| {
        let begins = *c == '\x1b';
        let hidden = within || begins;
        within = hidden && (begins || *c != 'm');
        !hidden
    })
}

fn is_number(cell: &str) -> bool {
    cell.is_empty()
        || cell == "-"
        || visible(cell).all(|c| c.is_ascii_digit() || matches!(c, '.' | ',' | '%' | '-' | '+' | '=' | ' '))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_to_the_right_and_text_to_the_left() {
        let mut table = Table::new(["register", "records"]);
        table.row(["civil".to_owned(), "12".to_owned()]);
        table.row(["đất đai".to_owned(), "1200".to_owned()]);
        assert_eq!(table.text(), "register  records\ncivil          12\nđất đai      1200\n");
    }

    #[test]
    fn colours_take_no_room() {
        let mut table = Table::new(["clean", "x"]);
        table.row([Output::new(false, Color::Always).good("0.99"), "a".to_owned()]);
        table.row(["-".to_owned(), "b".to_owned()]);
        assert_eq!(table.text(), "clean  x\n \x1b[32m0.99\x1b[0m  a\n    -  b\n");
    }

    #[test]
    fn a_table_without_rows_is_its_headings() {
        assert_eq!(Table::new(["a", "b"]).text(), "a  b\n");
    }

    #[test]
    fn json_is_never_coloured() {
        assert_eq!(Output::new(true, Color::Always).bad("no"), "no");
        assert_eq!(Output::new(false, Color::Always).bad("no"), "\x1b[31mno\x1b[0m");
    }
}
