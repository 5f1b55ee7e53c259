//! Parquet, as pandas and Hugging Face write it: flat columns, lists of texts, and pictures as a group of
//! `bytes` and `path`.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::{Field, Row as Record};
use parquet::schema::types::Type;
use serde_json::Value;

use super::binary::{self, DEPTH, Extracted};
use super::pictures::Pictures;
use super::raw_record::{RawRecord, canonical};
use crate::DatasetError;

/// Rows of a file: each becomes a record.
const ROWS: i64 = 2_000_000;
/// Row groups of a file.
const ROW_GROUPS: usize = 100_000;
/// Bytes of the columns that are read, before compression, by the file's own account.
const BYTES: i64 = 16 << 30;

/// The first `most` rows of a file, in order, with those of these columns that it has. Pictures go into
/// `pictures`.
///
/// # Errors
/// A file that can't be read, is too large, cut short or damaged, or compressed in a way that isn't read.
pub(super) fn rows(
    path: &Path,
    columns: &[&str],
    most: usize,
    pictures: &mut Pictures,
) -> Result<Vec<RawRecord>, DatasetError> {
    binary::rows(path, "a Parquet file", |file| read(file, columns, most, pictures))
}

fn read(
    file: File,
    columns: &[&str],
    most: usize,
    pictures: &mut Pictures,
) -> Result<Vec<RawRecord>, String> {
    let told = |error: ParquetError| error.to_string();
    let reader = SerializedFileReader::new(file).map_err(told)?;
    let wanted = projection(reader.metadata(), columns)?;
    check(reader.metadata(), &wanted)?;
    let mut extracted = Extracted::new(pictures);
    reader
        .get_row_iter(Some(wanted))
        .map_err(told)?
        .take(most)
        .map(|record| {
            let record = record.map_err(told)?;
            row(&record, &mut extracted)
        })
        .collect()
}

/// The columns that are wanted, of those that there are.
fn projection(metadata: &ParquetMetaData, columns: &[&str]) -> Result<Type, String> {
    let root = metadata.file_metadata().schema_descr().root_schema();
    let fields: Vec<Arc<Type>> = root
        .get_fields()
        .iter()
        .filter(|field| columns.contains(&&*canonical(field.name())))
        .cloned()
        .collect();
    if fields.is_empty() {
        return Err(binary::no_column(root.get_fields().iter().map(|field| field.name())));
    }
    Type::group_type_builder(root.name()).with_fields(fields).build().map_err(|error| error.to_string())
}

/// Whether the file is within bounds by its own account, before any of it is read.
fn check(metadata: &ParquetMetaData, wanted: &Type) -> Result<(), String> {
    let rows = metadata.file_metadata().num_rows();
    let groups = metadata.row_groups();
    let own: Option<i64> = groups.iter().try_fold(0i64, |sum, group| {
        Some(group.num_rows()).filter(|rows| *rows >= 0).and_then(|rows| sum.checked_add(rows))
    });
    if own != Some(rows) {
        return Err("its rows don't add up".to_owned());
    }
    if rows > ROWS || groups.len() > ROW_GROUPS {
        return Err(format!(
            "{rows} rows in {} groups are too many ({ROWS} and {ROW_GROUPS} at most)",
            groups.len()
        ));
    }
    let read = |path: &[String]| {
        path.first().is_some_and(|first| wanted.get_fields().iter().any(|f| f.name() == first))
    };
    let bytes = groups
        .iter()
        .flat_map(RowGroupMetaData::columns)
        .filter(|column| read(column.column_path().parts()))
        .try_fold(0i64, |sum, column| {
            Some(column.uncompressed_size()).filter(|size| *size >= 0).and_then(|size| sum.checked_add(size))
        });
    match bytes {
        Some(bytes) if bytes <= BYTES => Ok(()),
        _ => Err(format!("its columns are larger than {} GiB", BYTES >> 30)),
    }
}

fn row(record: &Record, extracted: &mut Extracted<'_>) -> Result<RawRecord, String> {
    let mut row = RawRecord::new();
    for (name, field) in record.get_column_iter() {
        let cell = value(field, DEPTH, extracted)?;
        row.entry(canonical(name)).or_insert(cell);
    }
    Ok(row)
}

fn value(field: &Field, depth: usize, extracted: &mut Extracted<'_>) -> Result<Value, String> {
    if depth == 0 {
        return Err(binary::too_deep());
    }
    Ok(match field {
        Field::Bool(value) => Value::from(*value),
        Field::Byte(value) => Value::from(*value),
        Field::Short(value) => Value::from(*value),
        Field::Int(value) => Value::from(*value),
        Field::Long(value) => Value::from(*value),
        Field::UByte(value) => Value::from(*value),
        Field::UShort(value) => Value::from(*value),
        Field::UInt(value) => Value::from(*value),
        Field::ULong(value) => Value::from(*value),
        Field::Float(value) => Value::from(f64::from(*value)),
        Field::Double(value) => Value::from(*value),
        Field::Str(text) => extracted.text(text)?,
        Field::Bytes(bytes) => extracted.bytes(bytes.data())?,
        Field::ListInternal(list) => list
            .elements()
            .iter()
            .map(|element| value(element, depth - 1, extracted))
            .collect::<Result<_, _>>()?,
        Field::Group(inner) => group(inner, depth - 1, extracted)?,
        // Times, decimals and maps: no column that is read has them.
        _ => Value::Null,
    })
}

/// A picture as Hugging Face writes it: its bytes, else its path. Any other group is an object.
fn group(group: &Record, depth: usize, extracted: &mut Extracted<'_>) -> Result<Value, String> {
    let named =
        |wanted: &str| group.get_column_iter().find(|(name, _)| *name == wanted).map(|(_, field)| field);
    match (named("bytes"), named("path")) {
        (Some(Field::Bytes(bytes)), _) => extracted.picture(bytes.data()),
        (Some(_), Some(path)) => value(path, depth, extracted),
        _ => group
            .get_column_iter()
            .map(|(name, field)| Ok((name.clone(), value(field, depth, extracted)?)))
            .collect::<Result<RawRecord, String>>()
            .map(Value::Object),
    }
}

#[cfg(test)]
mod tests;
