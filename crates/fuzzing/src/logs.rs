//! Segments of the store's log, and folders of backups, whose sums hold though their content is anybody's.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::LazyLock;

use reasonedit_backup::{BackupRepository, RestoreOptions};
use reasonedit_keyring::Keyring;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::bend::bent;
use crate::input::Input;
use crate::scratch;

/// Bytes of a segment of the log.
const SEGMENT: usize = 512 << 10;
/// What numbers of a segment's head are written as the difference to.
const MASK: i64 = i64::MAX;

static FOLDER: LazyLock<TempDir> = LazyLock::new(scratch::folder);

/// Makes what executions share.
pub(crate) fn ready() {
    LazyLock::force(&FOLDER);
    LazyLock::force(&REPOSITORY);
}

/// A log of segments: read and judged without sled.
pub(crate) fn log(data: &[u8]) {
    let mut input = Input(data);
    let kind = input.byte();
    let mut file = Vec::new();
    if kind & 1 == 0 {
        let mut number = u64::from(input.byte() % 4);
        for _ in 0..=(kind % 3) {
            segment(&mut file, number, &mut input);
            if input.0.is_empty() {
                break;
            }
            file.resize(file.len().next_multiple_of(SEGMENT), 0);
            number =
                if input.byte() == 0xff { u64::MAX >> (input.byte() % 32) } else { number.saturating_add(1) };
        }
        if kind & 0x40 != 0 {
            while !input.0.is_empty() {
                let at = input.u32() as usize % file.len();
                file[at] = input.byte();
            }
        }
    } else {
        file.extend(input.0.repeat(if kind & 2 == 0 { 1 } else { usize::from(kind) * 8 }));
    }
    let path = FOLDER.path().join("db");
    fs::write(&path, &file).expect("a file");
    let damage = reasonedit_sled_log::damage(&path).expect("a file that is there");
    let rows = reasonedit_sled_log::read(&path).expect("a file that is there");
    assert!(rows.faults.len() >= damage.len(), "damage that is told once and not again");
    let bytes = |(key, value): (&Vec<u8>, &Vec<u8>)| key.len() + value.len();
    let read: usize = rows.trees.values().flatten().map(bytes).sum();
    // A page's keys share a beginning, and several trees may name one page.
    assert!(read <= 512 * (file.len() + 1), "{read} bytes of rows in a log of {}", file.len());
}

/// A number of the log's variable length.
fn number(out: &mut Vec<u8>, value: u64) {
    if value <= 240 {
        out.push(value as u8);
    } else {
        let bytes = 8 - value.leading_zeros() as usize / 8;
        out.push((247 + bytes.max(3)) as u8);
        out.extend(&value.to_le_bytes()[..bytes.max(3)]);
    }
}

fn segment(file: &mut Vec<u8>, of: u64, input: &mut Input<'_>) {
    let lsn = (of as i64).wrapping_mul(SEGMENT as i64);
    let stable = if input.byte() & 1 == 0 { lsn } else { i64::from(input.u32()) };
    let head = [(lsn ^ MASK).to_le_bytes(), (stable ^ MASK).to_le_bytes()].concat();
    file.extend((crc32fast::hash(&head) ^ u32::MAX).to_le_bytes());
    file.extend(head);
    let end = file.len() + SEGMENT - 64;
    while !input.0.is_empty() && file.len() < end {
        let kind = input.byte();
        if kind == 0xff {
            return;
        }
        let (page, mut body) = (u64::from(input.byte() % 8), Vec::new());
        match kind % 12 {
            6 => {
                for name in [&b"default"[..], input.short(8)] {
                    number(&mut body, name.len() as u64);
                    body.extend(name);
                    number(&mut body, u64::from(input.byte() % 8));
                }
            }
            8 => node(&mut body, input),
            10 => {
                body.push(input.byte() % 3);
                for part in [input.short(16), input.short(32)] {
                    number(&mut body, part.len() as u64);
                    body.extend(part);
                }
            }
            _ => body.extend(input.short(64)),
        }
        let mut header = vec![kind % 12];
        number(&mut header, body.len() as u64);
        number(&mut header, if input.byte() == 0xff { u64::from(input.u32()) << 32 } else { of });
        number(&mut header, page);
        let sum = crc32fast::hash(&[&body[..], &header].concat()) ^ u32::MAX;
        file.extend(sum.to_le_bytes());
        file.extend(header);
        file.extend(body);
    }
}

fn node(body: &mut Vec<u8>, input: &mut Input<'_>) {
    number(body, u64::from(input.byte() % 8));
    number(body, 0);
    let low = input.short(8);
    body.extend([0, input.byte() % 9]);
    for bound in [low, b""] {
        number(body, bound.len() as u64);
        body.extend(bound);
    }
    let (leaf, count) = (input.byte() & 1 == 0, u64::from(input.byte() % 5));
    body.push(u8::from(!leaf));
    number(body, if input.byte() == 0xff { u64::from(input.u32()) << 16 } else { count });
    for _ in 0..count {
        let key = input.short(16);
        number(body, key.len() as u64);
        body.extend(key);
    }
    for _ in 0..count {
        if leaf {
            let value = input.short(32);
            number(body, value.len() as u64);
            body.extend(value);
        } else {
            number(body, u64::from(input.byte() % 8));
        }
    }
}

/// A folder of backups, and what a backup of it says.
static REPOSITORY: LazyLock<(TempDir, Value)> = LazyLock::new(|| {
    let folder = scratch::folder();
    let (known, keys) = (scratch::folder(), Keyring::ephemeral().expect("chance"));
    BackupRepository::open_or_create(folder.path(), &known.path().join("known"), &keys, false)
        .expect("a new folder");
    for name in ["snapshots", "rows", "images", "files"] {
        fs::create_dir(folder.path().join(name)).expect("a folder");
    }
    let manifest = json!({
        "form": 1, "id": "20260101T020000Z-01ARZ3NDEKTSV4RRFFQ69G5FAV", "program": "0.1.0", "created_at": "2026-01-01T02:00:00Z",
        "schema": 2, "codebooks": 0, "edits": 0, "rows": 0, "packs": [], "pictures": [], "files": [], "left_out": [], "faults": ["a"],
    });
    (folder, manifest)
});

fn put(folder: &Path, kind: &str, bytes: &[u8]) -> Value {
    let sum = blake3::hash(bytes).to_hex();
    let shard = folder.join(kind).join(&sum[..2]);
    fs::create_dir_all(&shard).expect("a folder");
    fs::write(shard.join(sum.as_str()), bytes).expect("a file");
    json!({"sum": sum.as_str(), "bytes": bytes.len()})
}

/// A backup that says anything of itself and is made of anything: listed, verified, and restored or refused,
/// with nothing beside its folder.
pub(crate) fn backup(data: &[u8]) {
    let mut input = Input(data);
    let kind = input.byte();
    let (folder, good) = &*REPOSITORY;
    let folder = folder.path();
    let mut manifest = good.clone();
    let pack = [b"reasonedit rows 1 ".as_slice(), input.short(255)].concat();
    manifest["packs"] = json!([put(folder, "rows", &pack)]);
    manifest["pictures"] = json!([put(folder, "images", input.short(40))]);
    let name = String::from_utf8_lossy(input.short(24)).into_owned();
    manifest["files"] = json!([{"name": name, "object": put(folder, "files", b"{}")}]);
    if kind & 2 == 0 {
        manifest["packs"] = json!([]);
    }
    if kind & 4 == 0 {
        manifest = bent(&manifest, &mut input);
    }
    let mut text = manifest.to_string();
    text.pop();
    let sum = blake3::hash(text.as_bytes()).to_hex();
    let text = format!("{text},\"sum\":\"{sum}\"}}\n");
    let path = folder.join("snapshots/20260101T020000Z-01ARZ3NDEKTSV4RRFFQ69G5FAV.json");
    fs::write(path, if kind & 1 == 0 { text.as_bytes() } else { data }).expect("a file");
    let repository = BackupRepository::open(folder).expect("a folder of backups");
    if let Ok(listed) = repository.list() {
        let bytes = |listing: &reasonedit_backup::BackupListing| {
            listing.manifest.as_ref().map(reasonedit_backup::BackupManifest::bytes)
        };
        let _ = listed.iter().filter_map(bytes).max();
    }
    let go_on = |_| ControlFlow::Continue(());
    let _ = repository.verify(None, &go_on);
    if kind >= 0xf0 {
        let out = FOLDER.path().join("restored");
        let _ = fs::remove_dir_all(&out);
        let folders = |data: &Path| ["codebooks", "images", "keys"].map(|name| data.join(name));
        let _ = repository.restore(&out, &folders, RestoreOptions::default(), &go_on);
        let beside = fs::read_dir(FOLDER.path()).expect("a folder").filter_map(Result::ok);
        let strays: Vec<_> =
            beside.map(|entry| entry.file_name()).filter(|name| name != "restored" && name != "db").collect();
        assert!(strays.is_empty(), "restored beside its folder: {strays:?}");
    }
    // What is put there is many small files, and only the last ones matter.
    if kind % 16 == 0 {
        for name in ["rows", "images", "files"] {
            fs::remove_dir_all(folder.join(name)).expect("a folder");
            fs::create_dir(folder.join(name)).expect("a folder");
        }
    }
}
