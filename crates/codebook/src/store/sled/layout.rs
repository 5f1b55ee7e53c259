//! What lies where in sled: trees, keys, and the rows that are JSON or numbers; and under which key of the
//! file of keys each row is sealed.

use reasonedit_imaging::PixelBox;
use reasonedit_keyring::{KeyId, KeyringError};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sled::transaction::ConflictableTransactionError;
use sled::{Db, Tree};

use super::values::{self, Abort};
use crate::ids::{CodebookName, EditId, GenerationId, ImageId, MemberId};
use crate::member::{EntryKind, Member};
use crate::records::{Draft, Embedding, Generation};
use crate::{CodebookError, Result};

/// The schema that this program writes.
pub const SCHEMA: u32 = 2;
/// The file of keys of a store that has its own, in its folder.
pub(super) const OWN_KEYS: &str = "keys";
/// Under this key of the tree `schema` stands whose keys the values are sealed by.
pub(super) const KEYS_OF: &[u8] = b"keys";
// Places of the trees, in `SledStore::trees` as in a transaction's view of them.
pub(super) const CODEBOOKS: usize = 0;
pub(super) const EDITS: usize = 1;
pub(super) const MEMBERS: usize = 2;
pub(super) const VECTORS: usize = 3;
pub(super) const EVENTS: usize = 4;
pub(super) const REVERTS: usize = 5;
pub(super) const OUTCOMES: usize = 6;
pub(super) const IDEMPOTENCY: usize = 7;
pub(super) const STAGED: usize = 8;
pub(super) const NAMES: [&str; 9] =
    ["codebooks", "edits", "members", "vectors", "events", "reverts", "outcomes", "idempotency", "staged"];

/// Opens the trees, in the order of their names.
pub(super) fn open_trees(db: &Db) -> Result<[Tree; NAMES.len()]> {
    let mut trees = Vec::with_capacity(NAMES.len());
    for name in NAMES {
        trees.push(db.open_tree(name).map_err(|e| CodebookError::store("open a tree", e))?);
    }
    trees.try_into().map_err(|_| CodebookError::store("open a tree", "one is missing"))
}

/// What stands at the head of a codebook: which generations of vectors are in use. Fields that came after the
/// first version are left out where they say nothing.
#[derive(Serialize, Deserialize)]
pub(super) struct Head {
    /// The live one.
    pub(super) embedding: Embedding,
    pub(super) next_event: u64,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) chosen: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) previous: Option<Generation>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) draft: Option<Draft>,
}

/// A member without what depends on the embedding.
#[derive(Serialize, Deserialize)]
pub(super) struct MemberRow {
    pub(super) kind: EntryKind,
    pub(super) statement: Option<u32>,
    pub(super) image: ImageId,
    pub(super) area: Option<PixelBox>,
    pub(super) sentence: String,
}

impl Head {
    /// Ids of the generations in use.
    pub(super) fn in_use(&self) -> impl Iterator<Item = GenerationId> {
        let others = self.previous.iter().chain(self.draft.iter().map(|draft| &draft.generation));
        std::iter::once(&self.embedding).chain(others.map(|generation| &generation.embedding)).map(|e| e.id)
    }
}

/// The members of an edit, of their rows and keys.
///
/// # Errors
/// What doesn't fit together.
pub(super) fn members_of_row(
    edit: EditId,
    rows: Vec<MemberRow>,
    bytes: &[u8],
    dim: usize,
) -> Result<Vec<Member>, String> {
    let (numbers, rest) = bytes.as_chunks::<4>();
    let numbers: Vec<f32> = numbers.iter().map(|n| f32::from_le_bytes(*n)).collect();
    if !rest.is_empty() || numbers.len() != rows.len() * (dim + 1) {
        return Err(format!("{} bytes are not {} keys of {dim} numbers", bytes.len(), rows.len()));
    }
    let mut members = Vec::with_capacity(rows.len());
    for ((ordinal, row), numbers) in (0u32..).zip(rows).zip(numbers.chunks_exact(dim + 1)) {
        let member = Member {
            id: MemberId::derive(edit, ordinal),
            edit,
            ordinal,
            kind: row.kind,
            statement: row.statement,
            image: row.image,
            area: row.area,
            sentence: row.sentence,
            radius: numbers[0],
            key: numbers[1..].to_vec(),
        };
        member.validate(dim).map_err(|e| e.to_string())?;
        members.push(member);
    }
    Ok(members)
}

/// Name, a zero byte (which no name has), rest.
pub(super) fn under(name: &CodebookName, rest: &[u8]) -> Vec<u8> {
    [name.as_str().as_bytes(), &[0], rest].concat()
}

pub(super) fn edit_of(tree: &Tree, key: &[u8]) -> Result<EditId> {
    <[u8; 16]>::try_from(key)
        .map(EditId::from_bytes)
        .map_err(|_| CodebookError::corrupt(values::describe(tree, key), "its key is not that of an edit"))
}

pub(super) fn parse<T: DeserializeOwned>(tree: &Tree, key: &[u8], bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|e| CodebookError::corrupt(values::describe(tree, key), e))
}

pub(super) fn json<T: Serialize>(value: &T) -> Result<Vec<u8>, Abort> {
    serde_json::to_vec(value).map_err(|e| Abort::Abort(CodebookError::store("write JSON", e)))
}

pub(super) fn abort<T>(error: CodebookError) -> Result<T, Abort> {
    Err(ConflictableTransactionError::Abort(error))
}

impl From<&Member> for MemberRow {
    fn from(member: &Member) -> Self {
        Self {
            kind: member.kind,
            statement: member.statement,
            image: member.image,
            area: member.area,
            sentence: member.sentence.clone(),
        }
    }
}

/// The head that edits are appended under: the one there is, or the one that `first` begins.
pub(super) fn begun(head: Option<Head>, first: Option<&Generation>) -> Result<Head> {
    match (head, first) {
        (Some(head), None) => Ok(head),
        (None, Some(first)) => Ok(Head {
            embedding: first.embedding.clone(),
            next_event: 0,
            chosen: first.chosen,
            previous: None,
            draft: None,
        }),
        _ => Err(CodebookError::Conflict(
            "the embedding is given with the first edit, and only then".to_owned(),
        )),
    }
}

/// Radius and key of each member, as little-endian f32.
pub(super) fn vectors<'a>(members: impl IntoIterator<Item = &'a Member>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for member in members {
        bytes.extend(member.radius.to_le_bytes());
        member.key.iter().for_each(|x| bytes.extend(x.to_le_bytes()));
    }
    bytes
}

pub(super) fn idempotency_key(key: &str) -> [u8; 32] {
    *blake3::hash(key.as_bytes()).as_bytes()
}

/// Bytes of an edit's id, which stands as it is before the sealed part of an idempotency row: the row is
/// found without knowing the edit.
pub(super) const ID: usize = 16;

/// What a row is sealed under.
pub(super) fn edit_key(name: &[u8], edit: &[u8]) -> KeyId {
    KeyId::of("edit", &[name, edit])
}

/// What the rows of an id of a table of the journal are sealed under.
pub(super) fn journal_key(table: &[u8], id: &[u8]) -> KeyId {
    KeyId::of("journal", &[table, id])
}

/// The edit's key by the key of a row of a tree whose values are sealed under it; `None` for other trees, and
/// for a key that is none of its tree.
pub(super) fn key_of_row(tree: usize, key: &[u8], value: &[u8]) -> Option<KeyId> {
    let zero = key.iter().position(|byte| *byte == 0)?;
    let (name, rest) = (&key[..zero], &key[zero + 1..]);
    let edit = match tree {
        EDITS | MEMBERS | OUTCOMES => rest.first_chunk::<ID>().filter(|_| rest.len() == ID)?,
        VECTORS => rest.last_chunk::<ID>().filter(|_| rest.len() == 2 * ID)?,
        IDEMPOTENCY => value.first_chunk::<ID>()?,
        _ => return None,
    };
    Some(edit_key(name, edit))
}

pub(super) fn bound(tree: &str, key: &[u8]) -> Vec<u8> {
    [tree.as_bytes(), &[0], key].concat()
}

/// The tree of the journal, as it is called in a dump.
pub(super) const JOURNAL: &str = "journal";

/// The key of a journal's row, by the row's.
pub(super) fn key_of_journal(key: &[u8]) -> Option<KeyId> {
    let zero = key.iter().position(|byte| *byte == 0)?;
    let id = key[zero + 1..].first_chunk::<ID>()?;
    Some(journal_key(&key[..zero], id))
}

pub(super) fn key_of(name: &CodebookName, edit: EditId) -> KeyId {
    edit_key(name.as_str().as_bytes(), &edit.to_bytes())
}

/// An error of the keys while something is written.
pub(super) fn of_keyring(error: KeyringError) -> CodebookError {
    CodebookError::of_keyring("keep a key", error)
}
