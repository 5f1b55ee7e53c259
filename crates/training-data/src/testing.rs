//! What the tests of this crate share.

use std::collections::BTreeMap;
use std::io::{Cursor, Read as _};
use std::sync::Arc;

use image::RgbImage;
use reasonedit_codebook::{
    EditId, EditRecord, GenerationId, ImageId, ImageInfo, ImageStore, Opinion, Statement,
};
use reasonedit_imaging::{DecodeLimits, PixelRules};
use time::OffsetDateTime;
use ulid::Ulid;

use crate::{TrainingEdit, TrainingManifest, TrainingModel, TrainingOptions, TrainingSource, write_tar};

/// The `n`-th edit: a question with a wrong answer before and two statements.
pub(crate) fn record(n: u64) -> EditRecord {
    let statement =
        |text: &str| Statement { statement: text.to_owned(), evidence: Vec::new(), p_yes: None, prior: None };
    EditRecord {
        id: EditId(Ulid::from_parts(1_700_000_000_000 + n, u128::from(n))),
        created_at: OffsetDateTime::UNIX_EPOCH,
        image: ImageInfo { id: ImageId::of(&n.to_le_bytes()), width: 8, height: 6 },
        question: " Is it benign? ".to_owned(),
        answer: "malignant".to_owned(),
        choices: Vec::new(),
        reasoning: vec![statement("The border is irregular."), statement("Its colour varies ")],
        author: None,
        tags: Vec::new(),
        metadata: serde_json::Value::Null,
        embedding: GenerationId(Ulid::nil()),
        before: Some(Opinion { answer: "benign".to_owned(), probability: 0.75 }),
        timings_ms: BTreeMap::new(),
        relations: reasonedit_codebook::Relations::default(),
        idempotency: None,
        warnings: Vec::new(),
    }
}

/// A picture that differs by `n`.
pub(crate) fn picture(n: u8) -> RgbImage {
    RgbImage::from_fn(8, 6, |x, y| image::Rgb([n, x as u8 * 30, y as u8 * 40]))
}

/// Edits with pictures in a folder of their own.
pub(crate) struct Stored {
    _folder: tempfile::TempDir,
    pub(crate) images: ImageStore,
    pub(crate) edits: Vec<TrainingEdit>,
    limits: DecodeLimits,
}

impl Stored {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let images = ImageStore::open(folder.path()).unwrap();
        Self { _folder: folder, images, edits: Vec::new(), limits: DecodeLimits::default() }
    }

    /// Adds an edit about a picture.
    pub(crate) fn add(&mut self, mut record: EditRecord, picture: &[u8]) -> &mut TrainingEdit {
        record.image.id = self.images.put(picture).unwrap();
        self.edits.push(TrainingEdit { record: Arc::new(record), superseded: false });
        self.edits.last_mut().unwrap()
    }

    pub(crate) fn source(&self) -> TrainingSource<'_> {
        TrainingSource {
            codebook: "ward-3".parse().unwrap(),
            revision: 17,
            generation: Some(GenerationId(Ulid::from_parts(1, 1))),
            model: TrainingModel { architecture: "qwen3_vl".to_owned(), fingerprint: "0f".repeat(32) },
            models: BTreeMap::from([(GenerationId(Ulid::nil()), "0f".repeat(32))]),
            edits: self.edits.clone(),
            images: &self.images,
            limits: &self.limits,
            rules: PixelRules::CURRENT,
        }
    }

    /// What is written, by name in order.
    pub(crate) fn written(&self, options: &TrainingOptions) -> (TrainingManifest, Vec<(String, Vec<u8>)>) {
        let mut bytes = Vec::new();
        let manifest = write_tar(&self.source(), options, &mut bytes).unwrap();
        (manifest, entries(&bytes))
    }
}

/// The files of a tar.
pub(crate) fn entries(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut archive = tar::Archive::new(Cursor::new(bytes));
    let entry = |entry: std::io::Result<tar::Entry<'_, Cursor<&[u8]>>>| {
        let mut entry = entry.unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        (entry.path().unwrap().to_string_lossy().into_owned(), content)
    };
    archive.entries().unwrap().map(entry).collect()
}
