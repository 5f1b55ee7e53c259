//! Files of records as rows, whatever they are written in: a JSON list, JSON Lines, Parquet or Arrow, told
//! apart by what they begin with; and CSV, which begins with nothing of its own, by its name.

mod arrow;
mod binary;
#[cfg(test)]
pub(crate) mod fixture;
mod parquet;
mod pictures;
mod raw_record;

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use serde_json::Value;

pub(crate) use pictures::Pictures;
use raw_record::canonical;
pub(crate) use raw_record::{RawRecord, data, name};

use crate::DatasetError;

/// Bytes of a file of text: it is held whole.
const TEXT_BYTES: u64 = 1 << 30;

/// The first `most` rows of a file, in order; of Parquet only these columns. Pictures that the file holds go
/// into `pictures`.
///
/// # Errors
/// A file that can't be read, is too large, cut short or damaged; a line that is no JSON object. The file,
/// and the line, are named.
pub(crate) fn rows(
    path: &Path,
    columns: &[&str],
    most: usize,
    pictures: &mut Pictures,
) -> Result<Vec<RawRecord>, DatasetError> {
    let mut file = File::open(path).map_err(|error| DatasetError::file(path, error))?;
    let mut head = [0; 6];
    let length = read_head(&mut file, &mut head).map_err(|error| DatasetError::file(path, error))?;
    let head = &head[..length];
    if head.starts_with(b"PAR1") {
        return parquet::rows(path, columns, most, pictures);
    }
    if head == arrow::MAGIC || head.starts_with(&arrow::CONTINUATION) {
        return arrow::rows(path, columns, most, pictures);
    }
    let text = text(path)?;
    if let Some(delimiter) = separated(path) {
        return table(path, &text, delimiter, most);
    }
    if text.trim_start().starts_with('[') {
        let rows: Vec<RawRecord> = serde_json::from_str(&text).map_err(|error| data(path, &error))?;
        return Ok(rows.into_iter().take(most).map(named).collect());
    }
    let line = |(index, line): (usize, &str)| {
        let row = serde_json::from_str(line);
        row.map(named).map_err(|error| data(path, &format!("line {}: {error}", index + 1)))
    };
    text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).take(most).map(line).collect()
}

/// A row with its columns as they are known. Of two that become the same the first counts.
fn named(row: RawRecord) -> RawRecord {
    let mut known = RawRecord::new();
    for (name, cell) in row {
        known.entry(canonical(&name)).or_insert(cell);
    }
    known
}

/// What stands between the cells of a table, by the name of its file.
fn separated(path: &Path) -> Option<u8> {
    match path.extension()?.to_str()?.to_lowercase().as_str() {
        "csv" => Some(b','),
        "tsv" => Some(b'\t'),
        _ => None,
    }
}

/// The rows of a table whose first line names the columns. What is empty is not there.
fn table(path: &Path, text: &str, delimiter: u8, most: usize) -> Result<Vec<RawRecord>, DatasetError> {
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).from_reader(text.as_bytes());
    let failed = |error: csv::Error| match error.position() {
        Some(place) => {
            data(path, &format!("line {}: its cells are not those of the first line", place.line()))
        }
        None => data(path, &"it is no table of cells"),
    };
    let names: Vec<String> = reader.headers().map_err(failed)?.iter().map(canonical).collect();
    let row = |record: Result<csv::StringRecord, csv::Error>| {
        let record = record.map_err(failed)?;
        let mut row = RawRecord::new();
        for (name, cell) in names.iter().zip(record.iter()).filter(|(_, cell)| !cell.trim().is_empty()) {
            row.entry(name.clone()).or_insert_with(|| Value::from(cell));
        }
        Ok(row)
    };
    reader.records().take(most).map(row).collect()
}

/// A whole file of text, without a byte order mark.
///
/// # Errors
/// A file that can't be read, is too large or no UTF-8.
pub(crate) fn text(path: &Path) -> Result<String, DatasetError> {
    let failed = |error| DatasetError::file(path, error);
    let mut text = String::new();
    File::open(path).and_then(|file| file.take(TEXT_BYTES + 1).read_to_string(&mut text)).map_err(failed)?;
    if text.len() as u64 > TEXT_BYTES {
        return Err(data(path, &format!("more than {} MiB of text", TEXT_BYTES >> 20)));
    }
    match text.strip_prefix('\u{feff}') {
        Some(rest) => Ok(rest.to_owned()),
        None => Ok(text),
    }
}

fn read_head(file: &mut File, head: &mut [u8]) -> std::io::Result<usize> {
    let mut length = 0;
    while length < head.len() {
        match file.read(&mut head[length..])? {
            0 => break,
            more => length += more,
        }
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content: &[u8]) -> Result<Vec<RawRecord>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("some.file");
        std::fs::write(&path, content).unwrap();
        rows(&path, &["uid"], usize::MAX, &mut Pictures::default()).map_err(|error| error.to_string())
    }

    #[test]
    fn lists_and_lines_are_told_apart_by_what_they_begin_with() {
        let expected = [7, 8].map(|uid| {
            let mut row = RawRecord::new();
            row.insert("uid".into(), uid.into());
            row
        });
        for text in [
            "[{\"uid\": 7}, {\"uid\": 8}]",
            "{\"uid\": 7}\n\n{\"uid\": 8}\n",
            "\u{feff} [{\"uid\":7},{\"uid\":8}]",
        ] {
            assert_eq!(read(text.as_bytes()).unwrap(), expected, "{text}");
        }
        assert!(read(b"").unwrap().is_empty());
    }

    #[test]
    fn what_is_neither_is_named_with_its_place() {
        for (content, named) in [
            (&b"{\"uid\": 1}\n{\"uid\""[..], "some.file: line 2"),
            (b"[{\"uid\": 1}", "some.file: "),
            (b"[1, 2]", "some.file: "),
            (b"\xff\xfe\x00", "some.file: "),
            (b"PAR1", "some.file: "),
        ] {
            let error = read(content).unwrap_err();
            assert!(error.contains(named), "{error}");
        }
    }
}
