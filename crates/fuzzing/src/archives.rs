//! Archives of a codebook: bytes to edits, and edits to the bytes that they came from.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::sync::{Arc, LazyLock};

use reasonedit_archive::{EDITS, Incoming, MANIFEST, Pictures, append, unpack, write};
use reasonedit_codebook::{
    CodebookConfig, CodebookName, ImageId, ImageInfo, ImageStore, Library, MemoryStore, RetrievalParams,
    StagedImages,
};
use reasonedit_imaging::{DecodeLimits, decode};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::bend::bent;
use crate::input::Input;
use crate::limits::MIB;
use crate::scratch;

/// Bytes that an archive may come to here.
const LONGEST: u64 = 4 * MIB as u64;
/// Numbers of a key.
const DIM: usize = 4;

/// Pictures on a folder of their own.
struct Shelf {
    store: ImageStore,
    _folder: TempDir,
}

impl Pictures for Shelf {
    fn store(&self) -> &ImageStore {
        &self.store
    }

    fn max_bytes(&self) -> u64 {
        100_000
    }

    fn info(&self, bytes: &[u8]) -> Option<ImageInfo> {
        let limits = DecodeLimits { max_bytes: 100_000, max_pixels: 100_000, max_side: 1000 };
        let (width, height) = decode(bytes, &limits).ok()?.image.dimensions();
        Some(ImageInfo { id: ImageId::of(bytes), width, height })
    }
}

static SHELF: LazyLock<Shelf> = LazyLock::new(|| {
    let folder = scratch::folder();
    Shelf { store: ImageStore::open(folder.path()).expect("a folder for pictures"), _folder: folder }
});

fn staged() -> StagedImages {
    SHELF.store.stage().expect("a folder for pictures")
}

/// A good archive: its manifest, its picture, its edits.
struct Good {
    manifest: Value,
    picture: Vec<u8>,
    edits: Vec<Value>,
}

static GOOD: LazyLock<Good> = LazyLock::new(|| {
    let path = scratch::of_workspace("crates/imaging/tests/goldens/alpha.png");
    let picture = std::fs::read(path).expect("a picture of the tests");
    let image = ImageId::of(&picture);
    let embedding = json!({
        "id": "01ARZ3NDEKTSV4RRFFQ69G5FAA", "model_fingerprint": "m", "tap": "vision.1", "pooling": "mean", "lambda": 1.5,
        "encoder_fingerprint": "e", "vision_dim": 2, "sentence_dim": 2, "pixels": "declared_range",
    });
    let edits = ["01ARZ3NDEKTSV4RRFFQ69G5FAV", "01ARZ3NDEKTSV4RRFFQ69G5FAW"].map(|id| {
        let edit: reasonedit_codebook::EditId = id.parse().expect("an id");
        let member = |ordinal: u32| {
            let key: Vec<u8> = (0..DIM as u32).flat_map(|n| ((n * 3 + ordinal) as f32 / 8.0).to_le_bytes()).collect();
            json!({
                "id": reasonedit_codebook::MemberId::derive(edit, ordinal).to_string(), "edit": id, "ordinal": ordinal,
                "kind": if ordinal == 0 { "answer" } else { "statement" },
                "statement": ordinal.checked_sub(1), "image": image.to_string(),
                "area": if ordinal == 0 { Value::Null } else { json!({"x": 1, "y": 2, "width": 3, "height": 4}) },
                "sentence": "It is.", "radius": 0.5, "key": [], "key_f32": base64(&key),
            })
        };
        json!({
            "edit": {
                "id": id, "created_at": "2026-11-20T10:00:00Z", "image": {"id": image.to_string(), "width": 24, "height": 17},
                "question": "What is it?", "answer": "a square", "choices": ["a square", "a circle"],
                "reasoning": [{"statement": "It is.", "p_yes": 0.5, "prior": 0.25, "evidence": [
                    {"x": 1, "y": 2, "width": 3, "height": 4, "source": "model", "p_yes": 0.75, "log_likelihood": -1.5}]}],
                "author": "a", "tags": ["b"], "metadata": {"c": 1}, "embedding": embedding["id"],
                "before": {"answer": "a circle", "probability": 0.5}, "timings_ms": {"store": 1.5},
                "idempotency": {"key": id, "body": vec![7; 32]}, "warnings": [{"code": "a", "pointer": "/b", "detail": "c"}],
            },
            "members": [member(0), member(1)],
        })
    });
    let manifest =
        json!({"format": 1, "codebook": "ward", "embedding": embedding, "chosen": true, "edits": 2});
    Good { manifest, picture, edits: edits.into() }
});

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// Makes what executions share.
pub(crate) fn ready() {
    LazyLock::force(&SHELF);
    LazyLock::force(&GOOD);
}

/// Whatever is taken in is sound, can be asked, exported, read again, and taken back without a trace.
pub(crate) fn archive(data: &[u8]) {
    let mut input = Input(data);
    let kind = input.byte();
    let tar = match kind % 4 {
        0 => input.0.to_vec(),
        1 => entries(&mut input),
        _ => nearly_good(&mut input),
    };
    let bytes = match kind >> 6 {
        1 => gzip(&tar),
        2 => zstd::encode_all(&tar[..], 1).expect("memory"),
        _ => tar,
    };
    let Ok(unpacked) = unpack(&*SHELF, staged(), &bytes[..], LONGEST) else { return };
    let generation = unpacked.generation();
    let target = generation.as_ref().map(|generation| generation.embedding.clone());
    let Ok(mut incoming) = Incoming::read(&*SHELF, unpacked, None, target.as_ref(), true, &|_| false) else {
        return;
    };
    let Some(generation) = generation else { return };
    // A codebook of many dimensions has none of them in a few bytes.
    if generation.embedding.dim() > 1 << 16 {
        return;
    }
    incoming.name_embedding(generation.embedding.id);
    let library = Library::open(Arc::new(MemoryStore::new()), CodebookConfig::default()).expect("a library");
    let name = CodebookName::default();
    let book = library.get_or_create(&name).expect("a codebook");
    incoming.images.install().expect("a folder that can be written");
    let Ok(made) = book.import(incoming.edits, &generation) else { return };
    let report = book.verify().expect("a store in memory");
    assert!(report.ok(), "what was taken in is not sound: {report:?}");
    let question = vec![0.5; generation.embedding.dim()];
    for hubness in [false, true] {
        let params = RetrievalParams { hubness, ..RetrievalParams::default() };
        book.retrieve(&question, &params).expect("a question of the codebook's own kind");
    }
    let mut out = Vec::new();
    let snapshot = book.snapshot();
    let written = write(&mut out, &name, Some(&snapshot), &SHELF.store).expect("pictures that are there");
    assert_eq!(written.edits, made.len());
    let again = unpack(&*SHELF, staged(), &out[..], u64::MAX).expect("an archive of our own");
    let again = Incoming::read(&*SHELF, again, None, Some(&generation.embedding), true, &|_| false);
    assert_eq!(again.expect("an archive of our own").edits.len(), made.len());
    for id in made {
        book.revert(id).expect("an edit that is live");
    }
    assert!(book.snapshot().edit_count() == 0 && book.snapshot().key_count() == 0);
}

/// A tar of the entries that the bytes name.
fn entries(input: &mut Input<'_>) -> Vec<u8> {
    let mut out = tar::Builder::new(Vec::new());
    while !input.0.is_empty() {
        let path = match input.byte() % 8 {
            0 => MANIFEST.to_owned(),
            1 => EDITS.to_owned(),
            2 => format!("images/{}", ImageId::of(&GOOD.picture)),
            3 => format!("ward/{MANIFEST}"),
            _ => String::from_utf8_lossy(input.short(255)).into_owned(),
        };
        let content = match input.byte() % 4 {
            0 => GOOD.manifest.to_string().into_bytes(),
            1 => GOOD.picture.clone(),
            _ => input.short(255).to_vec(),
        };
        let mut header = tar::Header::new_gnu();
        header.set_size(if input.byte().is_multiple_of(8) {
            u64::from(input.u32())
        } else {
            content.len() as u64
        });
        header.set_entry_type(tar::EntryType::new(input.pick(b"0000000125LKxgSVX")));
        if header.set_path(&path).is_err() {
            let name = path.as_bytes();
            let most = name.len().min(100);
            header.as_old_mut().name[..most].copy_from_slice(&name[..most]);
        }
        header.set_cksum();
        if out.append(&header, &content[..]).is_err() {
            break;
        }
    }
    out.into_inner().expect("memory")
}

/// A good archive with a document bent.
fn nearly_good(input: &mut Input<'_>) -> Vec<u8> {
    let which = input.byte();
    let count = usize::from(which >> 6) % 3;
    let mut manifest = GOOD.manifest.clone();
    let mut lines: Vec<Value> = GOOD.edits.iter().take(count).cloned().collect();
    manifest["edits"] = json!(lines.len());
    if which & 1 == 0 {
        manifest = bent(&manifest, input);
    } else if let Some(line) = lines.last_mut() {
        *line = bent(line, input);
    }
    if which & 2 == 0 {
        // Keys as they may be: any bits.
        for line in &mut lines {
            let key: Vec<u8> = (0..4 * DIM).map(|_| input.byte()).collect();
            if let Some(place) = line.pointer_mut("/members/0/key_f32") {
                *place = json!(base64(&key));
            }
        }
    }
    let mut out = tar::Builder::new(Vec::new());
    let text: Vec<String> = lines.iter().map(ToString::to_string).collect();
    let text = text.join("\n") + "\n";
    let files: BTreeMap<String, Vec<u8>> = BTreeMap::from([
        (MANIFEST.to_owned(), manifest.to_string().into_bytes()),
        (EDITS.to_owned(), text.into_bytes()),
        (format!("images/{}", ImageId::of(&GOOD.picture)), GOOD.picture.clone()),
    ]);
    for (path, bytes) in files {
        append(&mut out, &path, &bytes).expect("memory");
    }
    out.into_inner().expect("memory")
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut coder = flate2::read::GzEncoder::new(bytes, flate2::Compression::fast());
    let mut out = Vec::new();
    coder.read_to_end(&mut out).expect("memory");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_archive_is_taken_in() {
        let tar = nearly_good(&mut Input(&[0x83]));
        let unpacked = unpack(&*SHELF, staged(), &tar[..], LONGEST).unwrap_or_else(|error| panic!("{error}"));
        let target = unpacked.generation().expect("an embedding").embedding;
        let incoming = Incoming::read(&*SHELF, unpacked, None, Some(&target), true, &|_| false);
        assert_eq!(incoming.unwrap_or_else(|error| panic!("{error}")).edits.len(), 2);
    }
}
