//! Writes the training data of many edits to nowhere, and says how long that took and what it held in memory:
//! `cargo run --release -p reasonedit-training-data --example many_edits -- 10000 100 [inline]` for 10,000
//! edits with a picture of 100 KB each.

#![allow(clippy::print_stdout, reason = "it says what it measured")]
#![allow(clippy::unwrap_used, reason = "an example that can't go on ends")]

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Instant;

use reasonedit_codebook::{EditId, EditRecord, GenerationId, ImageInfo, ImageStore, Opinion, Statement};
use reasonedit_imaging::{DecodeLimits, PixelRules, RgbImage, encode_jpeg};
use reasonedit_training_data::{
    PicturePlace, Trainer, TrainingEdit, TrainingModel, TrainingOptions, TrainingSource, TrainingTask,
    write_tar,
};
use time::OffsetDateTime;
use ulid::Ulid;

/// Counts what it is given.
struct Counted(u64);

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The most memory that was held, in bytes, as Linux tells it.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or_default() * 1024
}

fn record(n: u64, image: ImageInfo) -> EditRecord {
    EditRecord {
        id: EditId(Ulid::from_parts(1_700_000_000_000 + n, u128::from(n))),
        created_at: OffsetDateTime::UNIX_EPOCH,
        image,
        question: format!("What is number {n}?"),
        answer: "a picture of noise".to_owned(),
        choices: Vec::new(),
        reasoning: vec![Statement {
            statement: "Its pixels follow no rule.".to_owned(),
            evidence: Vec::new(),
            p_yes: None,
            prior: None,
        }],
        author: None,
        tags: Vec::new(),
        metadata: serde_json::Value::Null,
        embedding: GenerationId(Ulid::nil()),
        before: Some(Opinion { answer: "a face".to_owned(), probability: 0.5 }),
        timings_ms: std::collections::BTreeMap::new(),
        relations: reasonedit_codebook::Relations::default(),
        idempotency: None,
        warnings: Vec::new(),
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut number = |usual: u64| arguments.next().and_then(|text| text.parse().ok()).unwrap_or(usual);
    let (edits, kilobytes) = (number(10_000), number(100));
    let inline = arguments.next().is_some();

    let folder = tempfile::tempdir().unwrap();
    let images = ImageStore::open(folder.path()).unwrap();
    let side = ((kilobytes * 1000) as f64 / 1.6).sqrt() as u32;
    let mut state = 1u32;
    let noise = RgbImage::from_fn(side, side, |_, _| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        image::Rgb([(state >> 24) as u8, (state >> 16) as u8, (state >> 8) as u8])
    });
    let jpeg = encode_jpeg(&noise, 80).unwrap();
    println!("{edits} edits, pictures of {} bytes", jpeg.len());
    let record_of = |n: u64| {
        // A comment makes each another file.
        let comment = [&[0xFF, 0xFE, 0, 10][..], &n.to_be_bytes()].concat();
        let file = [&jpeg[..2], &comment, &jpeg[2..]].concat();
        let id = images.put(&file).unwrap();
        let record = Arc::new(record(n, ImageInfo { id, width: side, height: side }));
        TrainingEdit { record, superseded: false }
    };
    let source = TrainingSource {
        codebook: "many".parse().unwrap(),
        revision: edits,
        generation: None,
        model: TrainingModel { architecture: "none".to_owned(), fingerprint: String::new() },
        models: std::collections::BTreeMap::new(),
        edits: (0..edits).map(record_of).collect(),
        images: &images,
        limits: &DecodeLimits::default(),
        rules: PixelRules::CURRENT,
    };
    let options = TrainingOptions {
        images: if inline { PicturePlace::Inline } else { PicturePlace::Files },
        split: 0.1,
        ..TrainingOptions::new(Trainer::MsSwift, TrainingTask::Dpo)
    };
    println!("before: {} MB", peak() / 1_000_000);
    let (began, mut out) = (Instant::now(), Counted(0));
    let manifest = write_tar(&source, &options, &mut out).unwrap();
    println!(
        "{} rows, {} pictures, {} MB in {:.2} s; most memory held: {} MB",
        manifest.sides["train"].rows + manifest.sides["test"].rows,
        manifest.pictures.written,
        out.0 / 1_000_000,
        began.elapsed().as_secs_f64(),
        peak() / 1_000_000,
    );
}
