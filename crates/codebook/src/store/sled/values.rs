//! Values in sled: cut into pieces, and checked when read.
//!
//! sled packs about sixteen values into a page, and a page above an eighth of a megabyte becomes a file of
//! its own whose directory entry is never synced: it may be gone after a crash. Pieces of 4 KiB keep pages
//! well below that, however large a value is.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use sled::transaction::{ConflictableTransactionError, TransactionalTree, UnabortableTransactionError};
use sled::{Batch, IVec, Tree};
use ulid::Ulid;

use crate::{CodebookError, Result};

/// Bytes per piece.
const PIECE: usize = 4096;
/// Before the value: its length (8 bytes, little endian) and the beginning of its BLAKE3 hash (8 bytes).
const HEADER: usize = 16;
/// After the key: the number of the piece, big endian.
const SUFFIX: usize = 4;

/// The tree of which a key is a generation's and an edit's.
const VECTORS: &[u8] = b"vectors";

/// What a transaction's closure fails with.
pub(super) type Abort = ConflictableTransactionError<CodebookError>;

fn piece_key(key: &[u8], piece: u32) -> Vec<u8> {
    [key, &piece.to_be_bytes()].concat()
}

fn pieces(value: &[u8]) -> Vec<Vec<u8>> {
    let mut whole = Vec::with_capacity(HEADER + value.len());
    whole.extend((value.len() as u64).to_le_bytes());
    whole.extend(&blake3::hash(value).as_bytes()[..8]);
    whole.extend(value);
    whole.chunks(PIECE).map(<[u8]>::to_vec).collect()
}

/// Writes a value, in place of the one that stands there if any.
pub(super) fn put(
    tree: &TransactionalTree,
    key: &[u8],
    value: &[u8],
) -> Result<(), UnabortableTransactionError> {
    let mut next = 0u32;
    for piece in pieces(value) {
        tree.insert(piece_key(key, next), piece)?;
        next += 1;
    }
    while tree.remove(piece_key(key, next))?.is_some() {
        next += 1;
    }
    Ok(())
}

/// Adds a value to a batch. Nothing may stand under its key yet.
pub(super) fn add(batch: &mut Batch, key: &[u8], value: &[u8]) {
    for (i, piece) in pieces(value).into_iter().enumerate() {
        batch.insert(piece_key(key, i as u32), piece);
    }
}

/// Whether a value stands under this key, within a transaction.
pub(super) fn stands(tree: &TransactionalTree, key: &[u8]) -> Result<bool, UnabortableTransactionError> {
    Ok(tree.get(piece_key(key, 0))?.is_some())
}

/// Removes the value under this key, if there is one.
pub(super) fn remove(tree: &TransactionalTree, key: &[u8]) -> Result<(), UnabortableTransactionError> {
    let mut next = 0u32;
    while tree.remove(piece_key(key, next))?.is_some() {
        next += 1;
    }
    Ok(())
}

/// Adds the removal of whatever stands under this key, or of as much of it as was written, to a batch.
pub(super) fn drop_in(batch: &mut Batch, tree: &Tree, key: &[u8]) -> Result<()> {
    let mut next = 0u32;
    while tree.contains_key(piece_key(key, next)).map_err(|e| failed(tree, key, e))? {
        batch.remove(piece_key(key, next));
        next += 1;
    }
    Ok(())
}

/// Whether a value stands under this key.
pub(super) fn is_there(tree: &Tree, key: &[u8]) -> Result<bool> {
    tree.contains_key(piece_key(key, 0)).map_err(|e| failed(tree, key, e))
}

/// Reads the value under this key.
pub(super) fn get(tree: &Tree, key: &[u8]) -> Result<Option<Vec<u8>>> {
    let mut whole = Vec::new();
    let mut next = 0u32;
    while let Some(piece) = tree.get(piece_key(key, next)).map_err(|e| failed(tree, key, e))? {
        whole.extend_from_slice(&piece);
        next += 1;
    }
    if next == 0 { Ok(None) } else { check(tree, key, &whole).map(Some) }
}

/// Reads the value under this key within a transaction.
pub(super) fn get_in(tree: &TransactionalTree, named: &Tree, key: &[u8]) -> Result<Option<Vec<u8>>, Abort> {
    let mut whole = Vec::new();
    let mut next = 0u32;
    while let Some(piece) = tree.get(piece_key(key, next))? {
        whole.extend_from_slice(&piece);
        next += 1;
    }
    if next == 0 {
        return Ok(None);
    }
    check(named, key, &whole).map(Some).map_err(ConflictableTransactionError::Abort)
}

/// Reads all values whose keys begin with `prefix`, in order: (rest of the key, value). All these keys are
/// equally long.
pub(super) fn scan(tree: &Tree, prefix: &[u8]) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let (values, end) = scan_each(tree, prefix);
    let whole = values.into_iter().map(|(key, value)| Ok((key, value?))).collect::<Result<_>>()?;
    end.map(|()| whole)
}

/// Values that were read one by one, each with the rest of its key.
pub(super) type EachValue = Vec<(Vec<u8>, Result<Vec<u8>>)>;

/// As [`scan`], whatever became of single values; and whether all of them could be reached: where a page of
/// the tree can't be read, what lies behind it isn't.
pub(super) fn scan_each(tree: &Tree, prefix: &[u8]) -> (EachValue, Result<()>) {
    let mut values: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    let mut end = Ok(());
    for item in tree.scan_prefix(prefix) {
        let (key, piece): (IVec, IVec) = match item {
            Ok(item) => item,
            Err(error) => {
                end = Err(failed(tree, prefix, error));
                break;
            }
        };
        let Some(name_end) = key.len().checked_sub(SUFFIX).filter(|end| *end >= prefix.len()) else {
            end = Err(CodebookError::corrupt(describe(tree, &key), "its key is too short"));
            continue;
        };
        let name = &key[prefix.len()..name_end];
        match values.last_mut() {
            Some((last, whole)) if last == name => whole.extend_from_slice(&piece),
            _ => values.push((name.to_vec(), piece.to_vec())),
        }
    }
    let checked = |(name, whole): (Vec<u8>, Vec<u8>)| {
        let value = check(tree, &[prefix, &name].concat(), &whole);
        (name, value)
    };
    (values.into_iter().map(checked).collect(), end)
}

/// A key, and as much of its value as was read.
type Pieces = (Vec<u8>, Vec<u8>);

/// What is handed each value with its key, and says whether it goes on.
type TakeValue<'a> = dyn FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>> + 'a;

/// Hands on every value of a tree with its key, in order, until `take` has enough; holds one at a time.
///
/// # Errors
/// The first value that can't be read, and what `take` says.
pub(super) fn each(tree: &Tree, take: &mut TakeValue<'_>) -> Result<ControlFlow<()>> {
    let mut current: Option<Pieces> = None;
    let mut hand_on = |current: Option<Pieces>| match current {
        None => Ok(ControlFlow::Continue(())),
        Some((key, whole)) => {
            let value =
                checked(&whole).map_err(|reason| CodebookError::corrupt(describe(tree, &key), reason))?;
            take(&key, value)
        }
    };
    for item in tree {
        let (key, piece): (IVec, IVec) = item.map_err(|e| failed(tree, &[], e))?;
        let Some((name, _)) = key.split_last_chunk::<SUFFIX>() else {
            return Err(CodebookError::corrupt(describe(tree, &key), "its key is too short"));
        };
        match &mut current {
            Some((last, whole)) if last == name => whole.extend_from_slice(&piece),
            _ => {
                let before = current.replace((name.to_vec(), piece.to_vec()));
                if hand_on(before)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
    }
    hand_on(current)
}

/// What is handed each value with its key, or what there is of it if it isn't as it was written.
type TakeAny<'a> = dyn FnMut(&[u8], Result<&[u8], &[u8]>) -> Result<ControlFlow<()>> + 'a;

/// As [`each`], whatever became of single values.
///
/// # Errors
/// Where a page of the tree can't be read, and what `take` says.
pub(super) fn each_or_raw(tree: &Tree, take: &mut TakeAny<'_>) -> Result<()> {
    let mut current: Option<Pieces> = None;
    let mut hand_on = |current: Option<Pieces>| match current {
        None => Ok(ControlFlow::Continue(())),
        Some((key, whole)) => take(&key, checked(&whole).map_err(|_| &whole[..])),
    };
    for item in tree {
        let (key, piece): (IVec, IVec) = item.map_err(|e| failed(tree, &[], e))?;
        let Some((name, _)) = key.split_last_chunk::<SUFFIX>() else { continue };
        match &mut current {
            Some((last, whole)) if last == name => whole.extend_from_slice(&piece),
            _ => {
                let before = current.replace((name.to_vec(), piece.to_vec()));
                if hand_on(before)?.is_break() {
                    return Ok(());
                }
            }
        }
    }
    hand_on(current).map(drop)
}

/// Adds what there is of a value to a batch, as it is.
pub(super) fn add_raw(batch: &mut Batch, key: &[u8], whole: &[u8]) {
    for (i, piece) in whole.chunks(PIECE).enumerate() {
        batch.insert(piece_key(key, i as u32), piece);
    }
}

/// The keys of the values under `prefix`, in order, without looking at the values; as far as they can be
/// reached.
pub(super) fn keys(tree: &Tree, prefix: &[u8]) -> (Vec<Vec<u8>>, Result<()>) {
    let mut keys = Vec::new();
    for key in tree.scan_prefix(prefix).keys() {
        match key {
            Ok(key) => {
                // The first piece stands for its value.
                let name = key.split_last_chunk::<SUFFIX>().filter(|(_, piece)| **piece == [0; SUFFIX]);
                keys.extend(name.map(|(name, _)| name.to_vec()));
            }
            Err(error) => return (keys, Err(failed(tree, prefix, error))),
        }
    }
    (keys, Ok(()))
}

/// Reads at most `limit` values from the key `first` to the key `last`, in order, with their keys. All keys
/// between are equally long.
pub(super) fn range(tree: &Tree, first: &[u8], last: &[u8], limit: usize) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let values = range_each(tree, first, last, limit)?;
    values.into_iter().map(|(key, value)| Ok((key, value?))).collect()
}

/// As [`range`], whatever became of single values.
///
/// # Errors
/// Where a page of the tree can't be read.
pub(super) fn range_each(tree: &Tree, first: &[u8], last: &[u8], limit: usize) -> Result<EachValue> {
    let mut values: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    for item in tree.range(piece_key(first, 0)..=piece_key(last, u32::MAX)) {
        let (key, piece): (IVec, IVec) = item.map_err(|e| failed(tree, first, e))?;
        let Some((name, _)) = key.split_last_chunk::<SUFFIX>() else {
            return Err(CodebookError::corrupt(describe(tree, &key), "its key is too short"));
        };
        let full = values.len() == limit;
        match values.last_mut() {
            Some((last, whole)) if last == name => whole.extend_from_slice(&piece),
            _ if full => break,
            _ => values.push((name.to_vec(), piece.to_vec())),
        }
    }
    Ok(each_checked(tree, values))
}

fn each_checked(tree: &Tree, values: Vec<(Vec<u8>, Vec<u8>)>) -> EachValue {
    let checked = |(name, whole): (Vec<u8>, Vec<u8>)| {
        let value = check(tree, &name, &whole);
        (name, value)
    };
    values.into_iter().map(checked).collect()
}

/// The values under `prefix`, with their keys, that can be reached from either side of a page that can't be
/// read; and that page, if there is one.
pub(super) fn reached(tree: &Tree, prefix: &[u8]) -> (EachValue, Result<()>) {
    let mut pieces: BTreeMap<Vec<u8>, IVec> = BTreeMap::new();
    let mut end = Ok(());
    for item in tree.scan_prefix(prefix) {
        match item {
            Ok((key, piece)) => drop(pieces.insert(key.to_vec(), piece)),
            Err(error) => {
                end = Err(failed(tree, prefix, error));
                break;
            }
        }
    }
    if end.is_err() {
        let behind = tree.scan_prefix(prefix).rev().map_while(Result::ok);
        pieces.extend(behind.map(|(key, piece)| (key.to_vec(), piece)));
    }
    let mut values: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    for (key, piece) in pieces {
        let Some((name, _)) = key.split_last_chunk::<SUFFIX>() else { continue };
        match values.last_mut() {
            Some((last, whole)) if last == name => whole.extend_from_slice(&piece),
            _ => values.push((name.to_vec(), piece.to_vec())),
        }
    }
    (each_checked(tree, values), end)
}

fn check(tree: &Tree, key: &[u8], whole: &[u8]) -> Result<Vec<u8>> {
    let value = checked(whole).map_err(|reason| CodebookError::corrupt(describe(tree, key), reason))?;
    Ok(value.to_vec())
}

/// The value within its pieces, if it is as it was written.
fn checked(whole: &[u8]) -> Result<&[u8], &'static str> {
    let (header, value) = whole.split_at_checked(HEADER).ok_or("it is too short")?;
    let (length, hash) = header.split_at(8);
    if (value.len() as u64).to_le_bytes() != length {
        return Err("it is not as long as it says");
    }
    if blake3::hash(value).as_bytes()[..8] != *hash {
        return Err("its checksum does not hold");
    }
    Ok(value)
}

/// Values or their pieces by key.
pub(super) type ByKey = BTreeMap<Vec<u8>, Vec<u8>>;

/// The values of these pieces that are as they were written, by key; and the keys of the others.
pub(super) fn assembled(pieces: &ByKey) -> (ByKey, Vec<Vec<u8>>) {
    let mut wholes: BTreeMap<&[u8], Vec<u8>> = BTreeMap::new();
    for (key, piece) in pieces {
        let Some((name, _)) = key.split_last_chunk::<SUFFIX>() else { continue };
        wholes.entry(name).or_default().extend_from_slice(piece);
    }
    let (mut values, mut damaged) = (BTreeMap::new(), Vec::new());
    for (name, whole) in wholes {
        match checked(&whole) {
            Ok(value) => drop(values.insert(name.to_vec(), value.to_vec())),
            Err(_) => damaged.push(name.to_vec()),
        }
    }
    (values, damaged)
}

/// A tree and a key in readable form: behind a codebook's name ids and numbers as people see them; else text
/// as it is, the rest as hexadecimal.
pub(super) fn describe(tree: &Tree, key: &[u8]) -> String {
    let kind = tree.name();
    let text = format!("{}/", String::from_utf8_lossy(&kind));
    let Some(end) = key.iter().position(|byte| *byte == 0) else { return text + &plain(key) };
    let (mut text, rest) = (text + &plain(&key[..end]), &key[end + 1..]);
    let (ids, left) = rest.as_chunks::<16>();
    // An edit's, or a generation's and an edit's; of other keys what is as long as two is a digest.
    if left.is_empty() && (ids.len() == 1 || (ids.len() == 2 && *kind == *VECTORS)) {
        for id in ids {
            text.extend(["/", &Ulid::from_bytes(*id).to_string()]);
        }
    } else if let Ok(number) = <[u8; 8]>::try_from(rest) {
        text.extend(["/", &u64::from_be_bytes(number).to_string()]);
    } else if let Ok(digest) = <[u8; 32]>::try_from(rest) {
        text.extend(["/", &blake3::Hash::from_bytes(digest).to_hex()[..16], "…"]);
    } else {
        text.extend(["/", &plain(rest)]);
    }
    text
}

fn plain(key: &[u8]) -> String {
    let mut text = String::with_capacity(key.len());
    for byte in key {
        if byte.is_ascii_alphanumeric() || *byte == b'-' {
            text.push(char::from(*byte));
        } else {
            text.extend(["%", &format!("{byte:02x}")]);
        }
    }
    text
}

/// An error of sled while a value is read.
pub(super) fn failed(tree: &Tree, key: &[u8], error: sled::Error) -> CodebookError {
    match error {
        sled::Error::Corruption { .. } => CodebookError::corrupt(describe(tree, key), error),
        other => CodebookError::store("read", other),
    }
}
