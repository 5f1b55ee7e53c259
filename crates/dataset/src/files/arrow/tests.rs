use std::sync::Arc;

use arrow_array::builder::{BinaryBuilder, ListBuilder, StringBuilder};
use arrow_array::{ArrayRef, Int8Array, LargeStringArray, StringArray};
use arrow_ipc::writer::{FileWriter, StreamWriter};
use arrow_schema::{Field, Fields};
use proptest::prelude::*;
use serde_json::json;

use super::*;

const COLUMNS: &[&str] = &["uid", "question", "choices", "image", "answers"];

fn picture(seed: u8) -> Vec<u8> {
    // As a PNG begins; no decoder looks at it here.
    [&b"\x89PNG\r\n"[..], &[seed; 40]].concat()
}

fn batch() -> RecordBatch {
    let mut choices = ListBuilder::new(StringBuilder::new());
    choices.append_value([Some("cat"), Some("dog")]);
    choices.append_value([None::<&str>; 0]);
    let mut bytes = BinaryBuilder::new();
    bytes.append_value(picture(1));
    bytes.append_null();
    let image = StructArray::new(
        Fields::from(vec![
            Field::new("bytes", DataType::Binary, true),
            Field::new("path", DataType::Utf8, true),
        ]),
        vec![Arc::new(bytes.finish()), Arc::new(StringArray::from(vec!["a.png", "b.png"]))],
        None,
    );
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("uid", Arc::new(Int8Array::from(vec![1, 2]))),
        ("unknown", Arc::new(StringArray::from(vec!["x", "y"]))),
        ("Question", Arc::new(LargeStringArray::from(vec![Some("What is it?"), None]))),
        ("choices", Arc::new(choices.finish())),
        ("image", Arc::new(image)),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true)))
        .unwrap()
}

/// The stream that `save_to_disk` writes, or the indexed form of Feather.
fn bytes(indexed: bool) -> Vec<u8> {
    let (batch, mut out) = (batch(), Vec::new());
    if indexed {
        let mut writer = FileWriter::try_new(&mut out, &batch.schema()).unwrap();
        writer.write(&batch).unwrap();
        writer.write(&batch).unwrap();
        writer.finish().unwrap();
    } else {
        let mut writer = StreamWriter::try_new(&mut out, &batch.schema()).unwrap();
        writer.write(&batch).unwrap();
        writer.write(&batch).unwrap();
        writer.finish().unwrap();
    }
    out
}

fn read(content: &[u8], most: usize) -> (Result<Vec<RawRecord>, String>, Pictures) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.arrow");
    std::fs::write(&path, content).unwrap();
    let mut pictures = Pictures::default();
    let rows = super::super::rows(&path, COLUMNS, most, &mut pictures).map_err(|error| error.to_string());
    (rows, pictures)
}

#[test]
fn columns_lists_and_pictures_are_read_in_both_forms_over_batches() {
    for indexed in [false, true] {
        let content = bytes(indexed);
        let (rows, pictures) = read(&content, usize::MAX);
        let rows = rows.unwrap();
        assert_eq!(rows.len(), 4);
        assert_eq!(pictures.read(rows[0]["image"].as_str().unwrap()).unwrap(), picture(1));
        let mut expected = json!({"uid": 1, "question": "What is it?", "choices": ["cat", "dog"]});
        expected["image"] = rows[0]["image"].clone();
        assert_eq!(Value::Object(rows[0].clone()), expected);
        assert_eq!(
            Value::Object(rows[3].clone()),
            json!({"uid": 2, "question": null, "choices": [], "image": "b.png"})
        );
        assert_eq!(read(&content, 3).0.unwrap(), rows[..3]);
    }
}

#[test]
fn a_stream_without_the_mark_of_its_end_is_whole() {
    let content = bytes(false);
    let rows = read(&content[..content.len() - 8], usize::MAX).0.unwrap();
    assert_eq!(rows.len(), 4);
}

#[test]
fn what_is_cut_short_is_told_by_its_name() {
    for indexed in [false, true] {
        let whole = bytes(indexed);
        for length in [6, 9, whole.len() / 3, whole.len() / 2, whole.len() - 100] {
            let error = read(&whole[..length], usize::MAX).0.unwrap_err();
            assert!(error.contains("x.arrow: an Arrow file that can't be read"), "{length}: {error}");
        }
    }
    // A head that announces more than there is takes no memory for it.
    let mut huge = CONTINUATION.to_vec();
    huge.extend(u32::MAX.to_le_bytes());
    assert!(read(&huge, 1).0.unwrap_err().contains("cut short"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    /// Whatever bytes of a file are other than they should be, reading it ends, with rows or with an error
    /// that names it.
    #[test]
    fn damage_anywhere_is_an_error_or_harmless(indexed: bool, at in 0.0f64..1.0, value: u8, more in 1usize..6) {
        let mut content = bytes(indexed);
        let from = (at * content.len() as f64) as usize;
        let until = (from + more).min(content.len());
        content[from..until].fill(value);
        let head: &[u8] = if indexed { MAGIC } else { &CONTINUATION };
        content[..head.len()].copy_from_slice(head);
        match read(&content, usize::MAX).0 {
            Ok(rows) => prop_assert!(rows.len() <= ROWS),
            Err(error) => prop_assert!(error.contains("x.arrow")),
        }
    }
}
