//! Writes Parquet as pandas and Hugging Face do, for tests.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;

/// What stands in a column.
pub(crate) enum Cells {
    Text(Vec<Option<&'static str>>),
    Number(Vec<i64>),
    Texts(Vec<Vec<&'static str>>),
    /// Bytes and path.
    Pictures(Vec<(Option<Vec<u8>>, Option<&'static str>)>),
    /// Bytes that are not marked as anything.
    Raw(Vec<Vec<u8>>),
}

/// A text column without gaps.
pub(crate) fn texts<const N: usize>(cells: [&'static str; N]) -> Cells {
    Cells::Text(cells.into_iter().map(Some).collect())
}

/// Writes a file of these row groups, all of the same columns; compressed as pandas does by default.
pub(crate) fn write(path: &Path, groups: &[Vec<(&str, Cells)>]) {
    write_with(path, groups, Compression::SNAPPY);
}

pub(crate) fn zstd() -> Compression {
    Compression::ZSTD(ZstdLevel::default())
}

pub(crate) fn write_with(path: &Path, groups: &[Vec<(&str, Cells)>], compression: Compression) {
    let field = |(name, cells): &(&str, Cells)| match cells {
        Cells::Text(_) => format!("optional binary {name} (UTF8);"),
        Cells::Number(_) => format!("optional int64 {name};"),
        Cells::Texts(_) => {
            format!(
                "optional group {name} (LIST) {{ repeated group list {{ optional binary element (UTF8); }} }}"
            )
        }
        Cells::Pictures(_) => {
            format!("optional group {name} {{ optional binary bytes; optional binary path (UTF8); }}")
        }
        Cells::Raw(_) => format!("optional binary {name};"),
    };
    let fields: String = groups[0].iter().map(field).collect();
    let schema = Arc::new(parse_message_type(&format!("message schema {{ {fields} }}")).unwrap());
    let properties = Arc::new(WriterProperties::builder().set_compression(compression).build());
    let mut writer = SerializedFileWriter::new(File::create(path).unwrap(), schema, properties).unwrap();
    for group in groups {
        let mut columns = writer.next_row_group().unwrap();
        for (_, cells) in group {
            cells.write(&mut columns);
        }
        columns.close().unwrap();
    }
    writer.close().unwrap();
}

impl Cells {
    fn write(&self, columns: &mut SerializedRowGroupWriter<'_, File>) {
        match self {
            Self::Text(cells) => {
                let levels: Vec<i16> = cells.iter().map(|cell| i16::from(cell.is_some())).collect();
                bytes(columns, cells.iter().flatten().map(|text| text.as_bytes()), &levels, None);
            }
            Self::Raw(cells) => {
                bytes(columns, cells.iter().map(Vec::as_slice), &vec![1; cells.len()], None);
            }
            Self::Number(cells) => {
                let mut column = columns.next_column().unwrap().unwrap();
                column.typed::<Int64Type>().write_batch(cells, Some(&vec![1; cells.len()]), None).unwrap();
                column.close().unwrap();
            }
            Self::Texts(cells) => {
                let (mut levels, mut repeated) = (Vec::new(), Vec::new());
                for list in cells {
                    if list.is_empty() {
                        levels.push(1);
                        repeated.push(0);
                    }
                    for at in 0..list.len() {
                        levels.push(3);
                        repeated.push(i16::from(at > 0));
                    }
                }
                let texts = cells.iter().flatten().map(|text| text.as_bytes());
                bytes(columns, texts, &levels, Some(&repeated));
            }
            Self::Pictures(cells) => {
                let level = |there: bool| 1 + i16::from(there);
                let levels: Vec<i16> = cells.iter().map(|(own, _)| level(own.is_some())).collect();
                bytes(columns, cells.iter().filter_map(|(own, _)| own.as_deref()), &levels, None);
                let levels: Vec<i16> = cells.iter().map(|(_, path)| level(path.is_some())).collect();
                bytes(columns, cells.iter().filter_map(|(_, path)| path.map(str::as_bytes)), &levels, None);
            }
        }
    }
}

fn bytes<'a>(
    columns: &mut SerializedRowGroupWriter<'_, File>,
    values: impl Iterator<Item = &'a [u8]>,
    levels: &[i16],
    repeated: Option<&[i16]>,
) {
    let values: Vec<ByteArray> = values.map(|value| ByteArray::from(value.to_vec())).collect();
    let mut column = columns.next_column().unwrap().unwrap();
    column.typed::<ByteArrayType>().write_batch(&values, Some(levels), repeated).unwrap();
    column.close().unwrap();
}
