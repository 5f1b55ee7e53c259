use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io;

use image::{DynamicImage, Rgba, RgbaImage};
use reasonedit_imaging::{decode, encode_jpeg, encode_png};
use serde_json::Value;

use std::sync::Arc;

use reasonedit_codebook::GenerationId;
use reasonedit_imaging::DecodeLimits;

use super::*;
use crate::options::{ReasoningPlace, Trainer, TrainingTask};
use crate::testing::{Stored, picture, record};

/// Two edits about pictures of their own, both with a wrong answer before.
fn two() -> Stored {
    let mut stored = Stored::new();
    stored.add(record(1), &encode_jpeg(&picture(1), 90).unwrap());
    stored.add(record(2), &encode_png(&picture(2)).unwrap());
    stored
}

fn lines(content: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(content).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Every file that is text, as it stands in the archive; of pictures the names.
fn shown(stored: &Stored, options: &TrainingOptions) -> String {
    let mut shown = String::new();
    for (name, content) in stored.written(options).1 {
        match std::str::from_utf8(&content).ok().filter(|_| name.contains(".json")) {
            Some(text) => writeln!(shown, "== {name}\n{text}").unwrap(),
            None => writeln!(shown, "== {name}").unwrap(),
        }
    }
    shown
}

#[test]
fn wire_forms() {
    let stored = two();
    for format in [Trainer::Trl, Trainer::LlamaFactory, Trainer::MsSwift] {
        for task in [TrainingTask::Sft, TrainingTask::Dpo] {
            // With this seed one of the pictures is kept for testing.
            let options = TrainingOptions { split: 0.5, seed: 2, ..TrainingOptions::new(format, task) };
            insta::assert_snapshot!(
                format!("{}_{}", format.word().replace('-', "_"), task.word()),
                shown(&stored, &options)
            );
        }
    }
}

#[test]
fn pictures_stand_in_the_rows_where_that_is_asked_for() {
    for format in [Trainer::Trl, Trainer::MsSwift] {
        let options = TrainingOptions {
            images: PicturePlace::Inline,
            ..TrainingOptions::new(format, TrainingTask::Sft)
        };
        let (manifest, files) = two().written(&options);
        let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["train.jsonl", "manifest.json"]);
        assert_eq!(manifest.pictures, TrainingPictures { written: 2, converted: 0 });
        let rows = lines(&files[0].1);
        for (row, (media_type, n)) in rows.iter().zip([("image/jpeg", 1), ("image/png", 2)]) {
            let url = row["images"][0].as_str().unwrap();
            let encoded = url.strip_prefix(&format!("data:{media_type};base64,")).unwrap();
            let decoded = decode(&STANDARD.decode(encoded).unwrap(), &DecodeLimits::default()).unwrap();
            assert_eq!(decoded.image.dimensions(), picture(n).dimensions());
        }
        assert!(rows[0].get("file_names").is_none());
    }
}

#[test]
fn what_is_left_out_is_counted() {
    let mut stored = two();
    stored.add(record(3), b"what was a picture");
    stored.add(record(4), &encode_png(&picture(4)).unwrap()).superseded = true;
    let mut known = record(5);
    known.before = None;
    known.reasoning.clear();
    stored.add(known, &encode_png(&picture(5)).unwrap());
    let mut right = record(6);
    right.before.as_mut().unwrap().answer = "Malignant.".to_owned();
    right.question = "What does <image> mean?".to_owned();
    stored.add(right, &encode_png(&picture(5)).unwrap());
    stored.edits[2].record = Arc::new(record(99));

    let (sft, files) = stored.written(&TrainingOptions::new(Trainer::MsSwift, TrainingTask::Sft));
    let left_out = LeftOut { superseded: 1, picture_unreadable: 1, ..LeftOut::default() };
    assert_eq!((sft.codebook.edits, sft.sides["train"].rows, sft.left_out), (6, 4, left_out));
    assert_eq!((sft.escaped, sft.without_reasoning, sft.pictures.written), (1, 1, 3));
    let rows = lines(&files.iter().find(|(name, _)| name == "train.jsonl").unwrap().1);
    let marks = |row: &Value| row["messages"][0]["content"].as_str().unwrap().matches("<image>").count();
    assert!(rows.iter().all(|row| marks(row) == 1), "{rows:?}");

    let (dpo, _) = stored.written(&TrainingOptions::new(Trainer::MsSwift, TrainingTask::Dpo));
    assert_eq!(
        (dpo.sides["train"].rows, dpo.left_out),
        (2, LeftOut { answer_before_unknown: 1, answer_before_right: 1, ..left_out })
    );
    assert_eq!(dpo.sides["train"].rows + dpo.left_out.total(), dpo.codebook.edits);
}

#[test]
fn answers_before_are_counted_by_the_model_that_gave_them() {
    let mut stored = two();
    let options = TrainingOptions::new(Trainer::Trl, TrainingTask::Dpo);
    assert_eq!(stored.written(&options).0.answers_before, None);
    let mut other = record(3);
    other.embedding = GenerationId(ulid::Ulid::from_parts(1, 9));
    stored.add(other, &encode_png(&picture(3)).unwrap());
    let mut unasked = record(4);
    unasked.before = None;
    stored.add(unasked, &encode_png(&picture(4)).unwrap());
    let (manifest, files) = stored.written(&options);
    let counts = [("0f".repeat(32), 2), ("unknown".to_owned(), 1)];
    assert_eq!(manifest.answers_before, Some(counts.into_iter().collect()));
    let written: Value = serde_json::from_slice(&files[files.len() - 1].1).unwrap();
    assert_eq!(written["answers_before"], serde_json::json!({"0f".repeat(32): 2, "unknown": 1}));
}

/// Whatever a program makes of turned, transparent or deep files, it gets the pixels that the model saw.
#[test]
fn pictures_that_programs_show_differently_become_png() {
    let mut stored = Stored::new();
    let clear = RgbaImage::from_fn(8, 6, |x, _| Rgba([9, 9, 9, if x < 4 { 0 } else { 255 }]));
    let deep = DynamicImage::from(picture(7)).into_luma16();
    let file = |image: DynamicImage, format| {
        let mut bytes = io::Cursor::new(Vec::new());
        image.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    };
    let files = [
        file(clear.into(), image::ImageFormat::Png),
        file(deep.into(), image::ImageFormat::Png),
        file(picture(8).into(), image::ImageFormat::Tiff),
        file(picture(9).into(), image::ImageFormat::Gif),
    ];
    for (n, bytes) in files.iter().enumerate() {
        stored.add(record(n as u64), bytes);
    }
    let (manifest, written) = stored.written(&TrainingOptions::new(Trainer::Trl, TrainingTask::Sft));
    assert_eq!(manifest.pictures, TrainingPictures { written: 4, converted: 4 });
    for (bytes, (edit, (name, png))) in files.iter().zip(stored.edits.iter().zip(&written)) {
        assert_eq!(*name, format!("train/images/{}.png", edit.record.image.id));
        let limits = DecodeLimits::default();
        let decoded = image::load_from_memory(png).unwrap();
        assert_eq!(decoded.color(), image::ColorType::Rgb8);
        assert_eq!(decoded.into_rgb8(), decode(bytes, &limits).unwrap().image);
    }
}

#[test]
fn no_picture_is_on_both_sides_and_edits_stay_on_theirs() {
    let mut stored = Stored::new();
    for n in 0..60 {
        // Three edits to a picture.
        stored.add(record(n), &encode_png(&picture(n as u8 / 3)).unwrap());
    }
    let sides = |stored: &Stored, task| {
        let options = TrainingOptions { split: 0.3, ..TrainingOptions::new(Trainer::MsSwift, task) };
        let (manifest, files) = stored.written(&options);
        let side = |name: &str, column: &str| -> BTreeSet<String> {
            let file = files.iter().find(|(file, _)| file == name).map(|(_, content)| lines(content));
            file.into_iter().flatten().map(|row| row[column].to_string()).collect()
        };
        let pictures = (side("train.jsonl", "images"), side("test.jsonl", "images"));
        assert!(pictures.0.is_disjoint(&pictures.1));
        assert_eq!(pictures.0.len() + pictures.1.len(), manifest.pictures.written as usize);
        let edits = (side("train.jsonl", "edit"), side("test.jsonl", "edit"));
        assert!(!edits.0.is_empty() && !edits.1.is_empty());
        assert_eq!(
            (edits.0.len(), edits.1.len()),
            (manifest.sides["train"].rows as usize, manifest.sides["test"].rows as usize,)
        );
        edits
    };
    let before = sides(&stored, TrainingTask::Sft);
    assert_eq!(sides(&stored, TrainingTask::Dpo), before, "both tasks are split alike");
    // Some are reverted, others come: nobody changes sides.
    stored.edits.drain(..20);
    for n in 60..90 {
        stored.add(record(n), &encode_png(&picture(n as u8)).unwrap());
    }
    let after = sides(&stored, TrainingTask::Sft);
    assert!(after.0.is_disjoint(&before.1) && after.1.is_disjoint(&before.0));
}

#[test]
fn the_same_is_the_same_bytes_and_nothing_is_a_whole_archive() {
    let stored = two();
    let options = TrainingOptions::new(Trainer::LlamaFactory, TrainingTask::Dpo);
    assert_eq!(stored.written(&options), stored.written(&options));

    let (manifest, files) = Stored::new().written(&options);
    let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["dataset_info.json", "manifest.json"]);
    assert_eq!(files[0].1, b"{}\n");
    assert_eq!(manifest.sides["train"], TrainingSide::default());
}

#[test]
fn options_that_do_not_go_together_write_nothing() {
    let options = TrainingOptions {
        images: PicturePlace::Inline,
        reasoning: ReasoningPlace::None,
        ..TrainingOptions::new(Trainer::LlamaFactory, TrainingTask::Sft)
    };
    let mut out = Vec::new();
    let refused = write_tar(&two().source(), &options, &mut out);
    assert!(matches!(refused, Err(TrainingDataError::Option { name: "images", .. })));
    assert!(out.is_empty());
}

/// Takes this many bytes, then fails.
struct Full(usize);

impl io::Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_writer_that_fails_is_told() {
    let options = TrainingOptions::new(Trainer::Trl, TrainingTask::Sft);
    for room in [0, 600, 5000] {
        let failed = write_tar(&two().source(), &options, Full(room));
        assert!(matches!(failed, Err(TrainingDataError::Write(_))), "{room}");
    }
}

/// Rows wait on disk once they are many, and come out whole.
#[test]
fn many_rows_come_out_whole() {
    let mut stored = Stored::new();
    let png = encode_png(&picture(1)).unwrap();
    let mut long = record(0);
    long.question = "word ".repeat(20_000);
    for n in 0..200 {
        let mut record = long.clone();
        record.id = self::record(n).id;
        stored.add(record, &png);
    }
    let (manifest, files) = stored.written(&TrainingOptions::new(Trainer::MsSwift, TrainingTask::Sft));
    assert!(files[1].1.len() > 2 * ROWS_IN_MEMORY);
    assert_eq!(lines(&files[1].1).len(), 200);
    assert_eq!((manifest.sides["train"].rows, manifest.pictures.written), (200, 1));
}
