//! Text for the person at the terminal. Answers go to the standard output, everything else (logs, progress,
//! what to try next) to the standard error, so that the output can be piped.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use crate::error::{CliError, Result};

/// Writes lines to the standard output.
///
/// # Errors
/// The output can't be written. A reader that has gone (`| head`) is no error: nobody is left to tell.
pub(crate) fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(CliError::file("standard output", error))
        }
        _ => Ok(()),
    }
}

/// Writes a value as indented JSON to the standard output.
///
/// # Errors
/// The output can't be written.
pub(crate) fn print_json(value: &impl Serialize) -> Result<()> {
    print(&serde_json::to_string_pretty(value).map_err(CliError::failed)?)
}

/// Writes a value as one line of JSON to the standard output.
///
/// # Errors
/// The output can't be written.
pub(crate) fn print_json_line(value: &impl Serialize) -> Result<()> {
    print(&serde_json::to_string(value).map_err(CliError::failed)?)
}

/// Writes lines to the standard error. Failing to is nothing that could be told to anybody.
pub(crate) fn note(text: &str) {
    let mut err = io::stderr().lock();
    let _ = err.write_all(text.as_bytes()).and_then(|()| err.write_all(b"\n"));
}

/// Whether a person reads the standard error.
pub(crate) fn on_terminal() -> bool {
    io::stderr().is_terminal()
}

/// Rows of cells as text: the first column to the left, the others to the right, two spaces between.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|c| rows.iter().filter_map(|row| row.get(c)).map(|cell| cell.chars().count()).max().unwrap_or(0))
        .collect();
    let lines = rows.iter().map(|row| {
        let mut line = String::new();
        for (c, cell) in row.iter().enumerate() {
            let pad = " ".repeat(widths[c] - cell.chars().count());
            if c > 0 {
                line.push_str("  ");
                line.push_str(&pad);
                line.push_str(cell);
            } else {
                line.push_str(cell);
                line.push_str(&pad);
            }
        }
        line.trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Bytes for people: 17 B, 23.6 KB, 1.2 GB (powers of 1,000).
pub(crate) fn bytes(count: u64) -> String {
    let mut value = count as f64;
    for unit in ["B", "KB", "MB", "GB"] {
        if value < 1000.0 || unit == "GB" {
            return if unit == "B" { format!("{count} B") } else { format!("{value:.1} {unit}") };
        }
        value /= 1000.0;
    }
    unreachable!("the last unit takes everything")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_aligned() {
        let rows = vec![
            vec!["stage".to_owned(), "ms".to_owned()],
            vec!["é".to_owned(), "1234.5".to_owned()],
            vec!["alone".to_owned()],
        ];
        assert_eq!(table(&rows), "stage      ms\né      1234.5\nalone");
        assert_eq!(table(&[]), "");
    }

    #[test]
    fn bytes_are_readable() {
        assert_eq!(bytes(17), "17 B");
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(23_600), "23.6 KB");
        assert_eq!(bytes(1_000_000), "1.0 MB");
        assert_eq!(bytes(5_400_000_000_000), "5400.0 GB");
    }
}
