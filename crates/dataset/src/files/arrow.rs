//! Arrow, as Hugging Face's `save_to_disk` writes it (a stream of record batches) and as Feather has it (the
//! same with an index at its end).

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{
    Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use arrow_array::{Array, RecordBatch, StructArray};
use arrow_ipc::reader::{FileReader, StreamReader};
use arrow_ipc::root_as_message;
use arrow_schema::{ArrowError, DataType, Schema};
use serde_json::Value;

use super::binary::{self, DEPTH, Extracted};
use super::pictures::Pictures;
use super::raw_record::{RawRecord, canonical};
use crate::DatasetError;

/// What a file of the indexed form begins with.
pub(super) const MAGIC: &[u8; 6] = b"ARROW1";
/// Stands before every message of a stream.
pub(super) const CONTINUATION: [u8; 4] = [0xFF; 4];
/// Rows of a file: each becomes a record.
const ROWS: usize = 2_000_000;
/// Bytes of the head of a message: the names and types of its columns, or the lengths of their parts.
const HEAD_BYTES: u64 = 64 << 20;

/// The first `most` rows of a file, in order, with those of these columns that it has. Pictures go into
/// `pictures`.
///
/// # Errors
/// A file that can't be read, is too large, cut short, damaged or compressed.
pub(super) fn rows(
    path: &Path,
    columns: &[&str],
    most: usize,
    pictures: &mut Pictures,
) -> Result<Vec<RawRecord>, DatasetError> {
    binary::rows(path, "an Arrow file", |file| read(file, columns, most, pictures))
}

fn read(
    mut file: File,
    columns: &[&str],
    most: usize,
    pictures: &mut Pictures,
) -> Result<Vec<RawRecord>, String> {
    let mut magic = [0; MAGIC.len()];
    let indexed = file.read_exact(&mut magic).is_ok() && &magic == MAGIC;
    file.seek(SeekFrom::Start(0)).map_err(|error| error.to_string())?;
    let mut extracted = Extracted::new(pictures);
    let mut rows = Vec::new();
    if indexed {
        let again = |file: &File| file.try_clone().map(BufReader::new).map_err(|error| error.to_string());
        let reader = FileReader::try_new(again(&file)?, None).map_err(told)?;
        let wanted = projection(&reader.schema(), columns)?;
        let reader = FileReader::try_new(again(&file)?, Some(wanted)).map_err(told)?;
        batches(reader, most, &mut extracted, &mut rows)?;
    } else {
        lengths(&mut file)?;
        let mut file = BufReader::new(file);
        let schema = StreamReader::try_new(&mut file, None).map_err(told)?.schema();
        let wanted = projection(&schema, columns)?;
        file.seek(SeekFrom::Start(0)).map_err(|error| error.to_string())?;
        let reader = StreamReader::try_new(file, Some(wanted)).map_err(told)?;
        batches(reader, most, &mut extracted, &mut rows)?;
    }
    Ok(rows)
}

#[allow(clippy::needless_pass_by_value, reason = "handed to map_err")]
fn told(error: ArrowError) -> String {
    error.to_string()
}

/// Whether the messages of a stream are as long as they say: the library takes memory for what a head
/// announces before it reads.
fn lengths(file: &mut File) -> Result<(), String> {
    let failed = |error: std::io::Error| error.to_string();
    let cut = || "it is cut short".to_owned();
    let total = file.metadata().map_err(failed)?.len();
    let mut reader = BufReader::new(&mut *file);
    let mut at = 0u64;
    loop {
        let mut word = [0; 4];
        if reader.read_exact(&mut word).is_err() {
            // Writers may leave the mark of the end out.
            break;
        }
        at += 4;
        if word == CONTINUATION {
            reader.read_exact(&mut word).map_err(|_| cut())?;
            at += 4;
        }
        let head = u64::from(u32::from_le_bytes(word));
        if head == 0 {
            break;
        }
        if head > HEAD_BYTES || at + head > total {
            return Err(cut());
        }
        let mut message = vec![0; usize::try_from(head).map_err(|_| cut())?];
        reader.read_exact(&mut message).map_err(|_| cut())?;
        at += head;
        let body = root_as_message(&message).map_err(|_| "it is damaged".to_owned())?.bodyLength();
        let body = u64::try_from(body).map_err(|_| cut())?;
        if body > total - at {
            return Err(cut());
        }
        at += body;
        reader.seek_relative(i64::try_from(body).map_err(|_| cut())?).map_err(failed)?;
    }
    drop(reader);
    file.seek(SeekFrom::Start(0)).map_err(failed).map(|_| ())
}

/// The columns that are wanted, of those that there are.
fn projection(schema: &Schema, columns: &[&str]) -> Result<Vec<usize>, String> {
    let names = || schema.fields().iter().map(|field| field.name());
    let wanted: Vec<usize> = names()
        .enumerate()
        .filter(|(_, name)| columns.contains(&&*canonical(name)))
        .map(|(at, _)| at)
        .collect();
    if wanted.is_empty() {
        return Err(binary::no_column(names().map(String::as_str)));
    }
    Ok(wanted)
}

fn batches(
    batches: impl Iterator<Item = Result<RecordBatch, ArrowError>>,
    most: usize,
    extracted: &mut Extracted<'_>,
    rows: &mut Vec<RawRecord>,
) -> Result<(), String> {
    for batch in batches {
        let batch = batch.map_err(told)?;
        for at in 0..batch.num_rows() {
            if rows.len() == most {
                return Ok(());
            }
            if rows.len() == ROWS {
                return Err(format!("more than {ROWS} rows"));
            }
            let mut row = RawRecord::new();
            for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
                let cell = value(column.as_ref(), at, DEPTH, extracted)
                    .map_err(|what| format!("column {}, row {}: {what}", field.name(), rows.len() + 1))?;
                row.entry(canonical(field.name())).or_insert(cell);
            }
            rows.push(row);
        }
    }
    Ok(())
}

/// What stands at a place of a column.
fn value(
    column: &dyn Array,
    at: usize,
    depth: usize,
    extracted: &mut Extracted<'_>,
) -> Result<Value, String> {
    if depth == 0 {
        return Err(binary::too_deep());
    }
    if column.is_null(at) {
        return Ok(Value::Null);
    }
    let elements = |list: &dyn Array, extracted: &mut Extracted<'_>| -> Result<Value, String> {
        (0..list.len()).map(|at| value(list, at, depth - 1, extracted)).collect()
    };
    Ok(match column.data_type() {
        DataType::Boolean => Value::from(column.as_boolean().value(at)),
        DataType::Int8 => Value::from(column.as_primitive::<Int8Type>().value(at)),
        DataType::Int16 => Value::from(column.as_primitive::<Int16Type>().value(at)),
        DataType::Int32 => Value::from(column.as_primitive::<Int32Type>().value(at)),
        DataType::Int64 => Value::from(column.as_primitive::<Int64Type>().value(at)),
        DataType::UInt8 => Value::from(column.as_primitive::<UInt8Type>().value(at)),
        DataType::UInt16 => Value::from(column.as_primitive::<UInt16Type>().value(at)),
        DataType::UInt32 => Value::from(column.as_primitive::<UInt32Type>().value(at)),
        DataType::UInt64 => Value::from(column.as_primitive::<UInt64Type>().value(at)),
        DataType::Float16 => Value::from(column.as_primitive::<Float16Type>().value(at).to_f64()),
        DataType::Float32 => Value::from(f64::from(column.as_primitive::<Float32Type>().value(at))),
        DataType::Float64 => Value::from(column.as_primitive::<Float64Type>().value(at)),
        DataType::Utf8 => extracted.text(column.as_string::<i32>().value(at))?,
        DataType::LargeUtf8 => extracted.text(column.as_string::<i64>().value(at))?,
        DataType::Utf8View => extracted.text(column.as_string_view().value(at))?,
        DataType::Binary => extracted.bytes(column.as_binary::<i32>().value(at))?,
        DataType::LargeBinary => extracted.bytes(column.as_binary::<i64>().value(at))?,
        DataType::BinaryView => extracted.bytes(column.as_binary_view().value(at))?,
        DataType::List(_) => elements(&column.as_list::<i32>().value(at), extracted)?,
        DataType::LargeList(_) => elements(&column.as_list::<i64>().value(at), extracted)?,
        DataType::FixedSizeList(..) => elements(&column.as_fixed_size_list().value(at), extracted)?,
        DataType::Struct(_) => group(column.as_struct(), at, depth - 1, extracted)?,
        DataType::Dictionary(..) => {
            let dictionary = column.as_any_dictionary();
            let key = dictionary.normalized_keys().get(at).copied().unwrap_or_default();
            value(dictionary.values().as_ref(), key, depth, extracted)?
        }
        // Times, decimals and maps: no column that is read has them.
        _ => Value::Null,
    })
}

/// A picture as Hugging Face writes it: its bytes, else its path. Any other group is an object.
fn group(
    group: &StructArray,
    at: usize,
    depth: usize,
    extracted: &mut Extracted<'_>,
) -> Result<Value, String> {
    if let (Some(bytes), Some(path)) = (group.column_by_name("bytes"), group.column_by_name("path")) {
        let own = match bytes.data_type() {
            _ if bytes.is_null(at) => None,
            DataType::Binary => Some(bytes.as_binary::<i32>().value(at)),
            DataType::LargeBinary => Some(bytes.as_binary::<i64>().value(at)),
            _ => None,
        };
        return match own {
            Some(own) => extracted.picture(own),
            None => value(path.as_ref(), at, depth, extracted),
        };
    }
    let mut fields = RawRecord::new();
    for (name, column) in group.column_names().into_iter().zip(group.columns()) {
        fields.insert(name.to_owned(), value(column.as_ref(), at, depth, extracted)?);
    }
    Ok(Value::Object(fields))
}

#[cfg(test)]
mod tests;
