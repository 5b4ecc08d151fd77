//! What all commands print with: text that survives a closed pipe, tables, and colour where a terminal wants it.

use std::fmt::Display;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::path::Path;

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use console::{Term, measure_text_width};

use crate::exit::{Exit, Failure};

/// How a word is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    Good,
    Doubtful,
    Bad,
}

/// Writes text and a newline to stdout. A reader who went away is no failure.
pub(crate) fn print(text: impl Display) -> Result<(), Failure> {
    match above_bars(|| writeln!(io::stdout(), "{text}")) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            let what = format!("cannot write to stdout: {error}");
            Err(Failure::new(Exit::Local, what, "Check where the output goes; the disk may be full."))
        }
        _ => Ok(()),
    }
}

/// Writes one line with a coloured label to stderr. On a terminal it is broken between words.
pub(crate) fn note(tone: Tone, label: &str, text: impl Display) {
    let line = labelled(tone, label, text);
    // Nobody is left to tell when stderr fails.
    let _ = above_bars(|| writeln!(io::stderr(), "{line}"));
}

/// What [`note`] writes.
pub(crate) fn labelled(tone: Tone, label: &str, text: impl Display) -> String {
    let (stderr, text) = (Term::stderr(), text.to_string());
    let painted = paint(tone, label, colour(&io::stderr()));
    match stderr.size_checked().filter(|_| stderr.is_term()) {
        Some((_, width)) => {
            format!("{painted} {}", wrapped(&text, measure_text_width(label) + 1, width.into()))
        }
        None => format!("{painted} {text}"),
    }
}

/// The text in lines of so many columns, of which the first has some taken and the others are indented. A word that is
/// longer than that stays whole.
fn wrapped(text: &str, taken: usize, width: usize) -> String {
    const INDENT: &str = "  ";
    let mut column = taken;
    let mut lines = String::new();
    for (n, word) in text.split(' ').enumerate() {
        let length = measure_text_width(word);
        if n > 0 && column + 1 + length > width {
            lines.push('\n');
            lines.push_str(INDENT);
            column = INDENT.len();
        } else if n > 0 {
            lines.push(' ');
            column += 1;
        }
        lines.push_str(word);
        column += length;
    }
    lines
}

/// Writes while no progress bar is in the way.
pub(crate) fn above_bars<T>(write: impl FnOnce() -> T) -> T {
    crate::progress::BARS.suspend(write)
}

/// Writes one line of JSON to stderr, where stdout belongs to the data.
pub(crate) fn note_json(value: &serde_json::Value) {
    let _ = above_bars(|| writeln!(io::stderr(), "{value}"));
}

/// Whether this stream shows colours: a terminal, and the user does not object (<https://no-color.org>).
pub(crate) fn colour(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// The text in the colour of its tone, or as it is.
pub(crate) fn paint(tone: Tone, text: &str, colour: bool) -> String {
    let code = match tone {
        Tone::Good => 32,
        Tone::Doubtful => 33,
        Tone::Bad => 31,
    };
    if colour { format!("\u{1b}[1;{code}m{text}\u{1b}[0m") } else { text.to_owned() }
}

/// A table without borders: the first column to the left, `numbers` of the columns after it to the right.
pub(crate) fn table(header: &[&str], numbers: usize) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header.iter().copied());
    table.set_content_arrangement(arrangement());
    for column in table.column_iter_mut().skip(1).take(numbers) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// A paragraph, in lines that a terminal has room for; elsewhere it is one line.
pub(crate) fn paragraph(text: &str) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(arrangement()).add_row([text]);
    for column in table.column_iter_mut() {
        column.set_padding((0, 0));
    }
    lines(&table)
}

/// Whether somebody reads this on a screen, rather than a program line by line.
pub(crate) fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

fn arrangement() -> ContentArrangement {
    if is_terminal() { ContentArrangement::Dynamic } else { ContentArrangement::Disabled }
}

/// The lines of a table, without the spaces that pad its last column.
pub(crate) fn lines(table: &Table) -> String {
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// A path without what could disturb a terminal.
pub(crate) fn path(path: &Path) -> String {
    plain(&path.to_string_lossy())
}

/// A text without what could disturb a terminal.
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_is_only_added_where_wanted() {
        assert_eq!(paint(Tone::Bad, "error:", false), "error:");
        assert_eq!(paint(Tone::Bad, "error:", true), "\u{1b}[1;31merror:\u{1b}[0m");
    }

    #[test]
    fn notes_are_broken_between_words() {
        assert_eq!(wrapped("one two three", 5, 20), "one two three");
        assert_eq!(wrapped("one two three", 7, 20), "one two three");
        assert_eq!(wrapped("one two three", 8, 20), "one two\n  three");
        assert_eq!(wrapped("one twothreefour five", 5, 10), "one\n  twothreefour\n  five");
        assert_eq!(wrapped("a  b ", 0, 20), "a  b ");
        assert_eq!(wrapped("", 5, 1), "");
    }

    #[test]
    fn numbers_stand_to_the_right() {
        let mut table = table(&["name", "n"], 1);
        table.add_row(["a", "100"]).add_row(["b", "1"]);
        assert_eq!(lines(&table), " name    n\n a     100\n b       1");
    }
}
