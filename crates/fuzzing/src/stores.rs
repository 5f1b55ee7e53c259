//! Files of a data folder: what decays or is tampered with is told, and nothing is taken for what it isn't.

use std::fs;
use std::sync::LazyLock;

use reasonedit_access::TokenStore;
use reasonedit_audit::{AuditFilter, AuditFormat, AuditReader, moment};
use reasonedit_keyring::{KeyId, Keyring, KeyringError, OperatorKey, is_whole, salvaged_copy, whole_copy};
use serde_json::{Value, json};
use tempfile::TempDir;
use time::OffsetDateTime;

use crate::bend;
use crate::input::Input;
use crate::scratch;

/// Bytes of a block of the file of keys, and of the sum at its end.
const BLOCK: usize = 128;
const SUM: usize = 16;

/// A folder with a file of keys, the file, and something that is sealed.
struct Sealed {
    folder: TempDir,
    file: Vec<u8>,
    value: Vec<u8>,
}

static KEYS: LazyLock<Sealed> = LazyLock::new(|| {
    let folder = scratch::folder();
    let path = folder.path().join("keys");
    let keys = Keyring::open(&path, None).expect("keys");
    keys.ensure(&[thing(0), thing(1), thing(2)]).expect("keys");
    let value = keys.seal(thing(0), b"here", b"what is sealed").expect("a key");
    keys.erase(&[thing(1)], Some("somebody")).expect("a key");
    drop(keys);
    Sealed { file: fs::read(&path).expect("keys"), folder, value }
});

fn thing(n: u8) -> KeyId {
    KeyId::of("thing", &[&[n]])
}

/// Makes what executions share.
pub(crate) fn ready() {
    LazyLock::force(&KEYS);
    LazyLock::force(&LINES);
    LazyLock::force(&TRAIL);
    LazyLock::force(&GIVEN);
}

/// A file of keys whose bytes are any, or whose blocks hold though somebody changed them.
pub(crate) fn keys(data: &[u8]) {
    let mut input = Input(data);
    let kind = input.byte();
    if kind % 8 == 0 {
        let text = &*input.text();
        if let Ok(key) = OperatorKey::parse(text) {
            assert!(OperatorKey::parse(&key.to_text()).is_ok(), "{text:?}");
        }
        return;
    }
    let kept = &*KEYS;
    let mut file = kept.file.clone();
    if kind & 1 == 0 {
        file = input.0.to_vec();
    } else {
        while !input.0.is_empty() {
            let at = usize::from(input.u16()) % file.len();
            file[at] = input.byte();
            if kind & 2 == 0 {
                let block = at / BLOCK * BLOCK;
                let Some(block) = file.get_mut(block..block + BLOCK) else { continue };
                let sum = blake3::hash(&block[..BLOCK - SUM]);
                block[BLOCK - SUM..].copy_from_slice(&sum.as_bytes()[..SUM]);
            }
        }
        if kind & 4 == 0 {
            file.truncate(usize::from(input.u16()).max(usize::from(kind) * 8));
        }
    }
    let path = kept.folder.path().join("keys");
    fs::write(&path, &file).expect("a file");
    let _ = is_whole(&path);
    let Ok(keys) = Keyring::open(&path, None) else { return };
    assert!(keys.damaged() <= file.len() / BLOCK);
    match keys.unseal(thing(0), b"here", &kept.value) {
        Ok(plain) => assert_eq!(plain, b"what is sealed"),
        Err(error) => assert!(!matches!(error, KeyringError::Locked), "{error}"),
    }
    assert!(keys.unseal(thing(0), b"there", &kept.value).is_err());
    assert!(keys.unseal(thing(1), b"here", &kept.value).is_err());
    if let Some(erasure) = keys.erased(thing(1)) {
        let _ = format!("{erasure:?}");
    }
    // The copies of a folder of backups, of which one is what came.
    let copies = ["copy", "copy.copy"].map(|name| kept.folder.path().join(name));
    let [first, second] = copies.each_ref().map(std::path::PathBuf::as_path);
    let _ = fs::remove_file(first);
    fs::write(second, &file).expect("a file");
    if let Some(salvaged) = salvaged_copy(&[first, second]) {
        fs::write(first, salvaged).expect("a file");
        assert_eq!(is_whole(first).ok().flatten(), Some(true), "what was saved of keys is not whole");
    }
    if keys.merge_into(&[first, second]).is_ok() {
        for copy in [first, second] {
            assert_eq!(is_whole(copy).ok().flatten(), Some(true), "a copy of keys is not whole");
        }
        assert_eq!(whole_copy(&[first, second]), fs::read(first).ok());
    }
}

static LINES: LazyLock<Vec<Value>> = LazyLock::new(|| {
    vec![
        json!({"event": "request", "request_id": "01", "method": "POST", "route": "/edits", "caller": {"kind": "token", "id": "01", "name": "a"},
            "outcome": "answered", "status": 201, "codebook": "default", "edits": ["01ARZ3NDEKTSV4RRFFQ69G5FAV"], "images": ["00"]}),
        json!({"event": "opened", "detail": "=1+1"}),
        json!({"event": "healed", "count": 3}),
    ]
});

static TRAIL: LazyLock<TempDir> = LazyLock::new(scratch::folder);

/// Lines of an audit trail, of tokens that were given, and the times that are asked for.
pub(crate) fn audit(data: &[u8]) {
    let mut input = Input(data);
    let kind = input.byte();
    let folder = TRAIL.path();
    if kind % 8 == 0 {
        let _ = moment(&String::from_utf8_lossy(input.0), kind & 8 == 0);
        return;
    }
    if kind % 8 == 1 {
        tokens(&mut input);
        return;
    }
    let mut lines = Vec::new();
    let (mut seq, mut prev) = (0_u64, "0".repeat(64));
    while !input.0.is_empty() && seq < 20 {
        let body = bend::bent(&LINES[usize::from(input.byte()) % LINES.len()], &mut Input(input.short(24)))
            .to_string();
        seq = if input.byte() == 0xff { u64::MAX } else { seq + 1 };
        let comma = if body.len() > 2 { "," } else { "" };
        let said = body.strip_prefix('{').and_then(|said| said.strip_suffix('}')).unwrap_or(&body);
        let at = input.pick(&["2026-11-20T10:00:00.000001Z", "0000-01-01T00:00:00.000000Z", "x"]);
        let text = format!("{{\"seq\":{seq},\"at\":\"{at}\"{comma}{said},\"prev\":\"{prev}");
        let hash = blake3::hash(text.as_bytes()).to_hex().to_string();
        lines.extend(format!("{text}\",\"hash\":\"{hash}\"}}\n").into_bytes());
        prev = hash;
        if seq == u64::MAX {
            break;
        }
    }
    // Whoever can write the folder can write sums too.
    let record = |sum: &str| {
        json!({"seq": seq, "hash": prev, "file": "2026-11-20.jsonl", "begins": 0, "ends": lines.len(), "sum": sum}).to_string()
    };
    let sum = blake3::hash(format!("{seq} {prev} 2026-11-20.jsonl 0 {}", lines.len()).as_bytes()).to_hex();
    let head = record(&sum[..SUM]);
    if kind & 8 == 0 {
        let at = lines.len() * usize::from(kind) / 256;
        lines.insert(at, kind);
    }
    fs::write(folder.join("2026-11-20.jsonl"), if kind & 16 == 0 { &lines } else { data }).expect("a file");
    fs::write(folder.join("head"), if kind & 32 == 0 { head.as_bytes() } else { data }).expect("a file");
    let anchor = json!({"seq": seq, "hash": prev, "before": "2026-11-20"}).to_string();
    match kind >> 6 {
        0 => drop(fs::remove_file(folder.join("anchor.json"))),
        1 => fs::write(folder.join("anchor.json"), data).expect("a file"),
        _ => fs::write(folder.join("anchor.json"), anchor).expect("a file"),
    }
    let reader = AuditReader::new(folder);
    let _ = reader.verify(reader.head().ok().flatten().as_ref());
    let filter = AuditFilter::default();
    if let Ok(page) = reader.page(&filter, page_before(kind), 5) {
        assert!(page.lines.len() <= 5);
    }
    for format in [AuditFormat::Lines, AuditFormat::Csv] {
        let mut out = Vec::new();
        let count = reader.export(&filter, format, &mut out).expect("files that are there");
        assert!(count as usize <= lines.len().max(data.len()));
    }
}

fn page_before(kind: u8) -> Option<u64> {
    match kind >> 6 {
        0 => None,
        1 => Some(0),
        2 => Some(u64::MAX),
        _ => Some(3),
    }
}

static GIVEN: LazyLock<Vec<Value>> = LazyLock::new(|| {
    vec![json!({"version": 1, "tokens": [{
        "id": "01ARZ3NDEKTSV4RRFFQ69G5FAV", "name": "a", "role": "editor", "codebooks": ["b"],
        "created_at": "2026-11-20T10:00:00Z", "expires_at": null, "revoked_at": null, "last_used_at": null,
        "digest": blake3::hash(b"token").to_hex().to_string(),
    }]})]
});

fn tokens(input: &mut Input<'_>) {
    let path = TRAIL.path().join("tokens.json");
    fs::write(&path, bend::body(&GIVEN, input.0)).expect("a file");
    let Ok(store) = TokenStore::open(&path) else { return };
    let now = OffsetDateTime::UNIX_EPOCH;
    let _ = store.find(&blake3::hash(b"token"), now);
    assert!(store.find(&blake3::hash(b"another"), now).is_none() || !store.list().is_empty());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_lines_are_lines_and_good_tokens_are_taken() {
        let body = json!({"seq": 1, "at": "2026-11-20T10:00:00Z", "prev": "", "hash": ""});
        for line in LINES.iter() {
            let mut line = line.clone();
            let fields = line.as_object_mut().expect("an object");
            fields.extend(body.as_object().cloned().unwrap_or_default());
            let read: Result<reasonedit_audit::AuditLine, _> = serde_json::from_value(line.clone());
            assert!(read.is_ok(), "{line}: {:?}", read.err());
        }
        let path = TRAIL.path().join("tokens.json");
        fs::write(&path, GIVEN[0].to_string()).expect("a file");
        let store = TokenStore::open(&path).unwrap_or_else(|error| panic!("{error}"));
        assert!(store.find(&blake3::hash(b"token"), OffsetDateTime::UNIX_EPOCH).is_some());
    }
}
