use proptest::prelude::*;
use serde_json::json;

use super::super::fixture::{Cells, texts, write, write_with, zstd};
use super::*;

const COLUMNS: &[&str] = &["uid", "question", "choices", "image", "images", "raw"];

fn picture(seed: u8) -> Vec<u8> {
    // As a PNG begins; no decoder looks at it here.
    [&b"\x89PNG\r\n"[..], &[seed; 40]].concat()
}

fn group(first: i64) -> Vec<(&'static str, Cells)> {
    vec![
        ("uid", Cells::Number(vec![first, first + 1])),
        ("unknown", texts(["x", "y"])),
        ("question", Cells::Text(vec![Some("What is it?"), None])),
        ("choices", Cells::Texts(vec![vec!["cat", "dog"], vec![]])),
        ("image", Cells::Pictures(vec![(Some(picture(1)), Some("a.png")), (None, Some("b.png"))])),
        ("raw", Cells::Raw(vec![b"plain".to_vec(), picture(2)])),
    ]
}

fn read(path: &Path, most: usize) -> (Result<Vec<RawRecord>, String>, Pictures) {
    let mut pictures = Pictures::default();
    let rows = rows(path, COLUMNS, most, &mut pictures).map_err(|error| error.to_string());
    (rows, pictures)
}

#[test]
fn columns_lists_and_pictures_are_read_in_both_compressions_over_row_groups() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.parquet");
    for compression in
        [parquet::basic::Compression::SNAPPY, zstd(), parquet::basic::Compression::UNCOMPRESSED]
    {
        write_with(&path, &[group(0), group(2)], compression);
        let (rows, pictures) = read(&path, usize::MAX);
        let rows = rows.unwrap();
        assert_eq!(rows.len(), 4);
        let own = rows[0]["image"].as_str().unwrap();
        assert_eq!(pictures.read(own).unwrap(), picture(1));
        assert_eq!(pictures.read(rows[1]["raw"].as_str().unwrap()).unwrap(), picture(2));
        let mut expected =
            json!({"uid": 0, "question": "What is it?", "choices": ["cat", "dog"], "raw": "plain"});
        expected["image"] = rows[0]["image"].clone();
        assert_eq!(Value::Object(rows[0].clone()), expected);
        assert_eq!(
            (&rows[1]["image"], &rows[1]["question"], &rows[1]["choices"]),
            (&json!("b.png"), &Value::Null, &json!([]))
        );
        assert_eq!((&rows[3]["uid"], &rows[2]["image"]), (&json!(3), &json!(own)));
        assert_eq!(read(&path, 1).0.unwrap(), rows[..1]);
    }
}

#[test]
fn what_is_cut_short_or_unknown_is_told_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.parquet");
    write(&path, &[group(0)]);
    let whole = std::fs::read(&path).unwrap();
    for length in [4, 9, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&path, &whole[..length]).unwrap();
        let error = read(&path, usize::MAX).0.unwrap_err();
        assert!(error.contains("x.parquet") && error.contains("can't be read"), "{error}");
        assert!(error.len() < 500, "{error}");
    }
    write(&path, &[vec![("other", texts(["a"]))]]);
    let error = read(&path, usize::MAX).0.unwrap_err();
    assert!(error.contains("none of its columns is known (other)"), "{error}");
    // Of a format that is not compiled in the name is told.
    let gzip = parquet::basic::Compression::LZ4_RAW;
    let written = std::panic::catch_unwind(|| write_with(&path, &[group(0)], gzip));
    assert!(written.is_err(), "it is compiled in: the documentation must say so");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    /// Whatever bytes of a file are other than they should be, reading it ends, with rows or with an error
    /// that names it.
    #[test]
    fn damage_anywhere_is_an_error_or_harmless(at in 0.0f64..1.0, value: u8, more in 1usize..6) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.parquet");
        write(&path, &[group(0), group(2)]);
        let mut bytes = std::fs::read(&path).unwrap();
        let from = (at * bytes.len() as f64) as usize;
        let until = (from + more).min(bytes.len());
        bytes[from..until].fill(value);
        bytes[..4].copy_from_slice(b"PAR1");
        std::fs::write(&path, &bytes).unwrap();
        match read(&path, usize::MAX).0 {
            Ok(rows) => prop_assert!(rows.len() as i64 <= ROWS),
            Err(error) => prop_assert!(error.contains("x.parquet")),
        }
    }
}
