//! The blocks that the file of keys is made of: 128 bytes each, so that none crosses a sector of a disk and
//! each is written whole or not at all. The first two are the head, twice.
//!
//! Head: `RE-KEYS` and the form (8 bytes); 1 if an operator's key wraps the root key, else 0; 7 zeros; the
//! file's own id (16); a nonce (24); the root key, wrapped or with 16 zeros (48); the fingerprint of the
//! operator's key or zeros (8); the beginning of the BLAKE3 of all that (16).
//!
//! Record: 0 free, 1 a key, 2 erased; 1 if it passes, else 0; 6 zeros; the id (32); of a key its nonce (24)
//! and it itself, wrapped (48); of something erased when, in milliseconds (8), and by whom, with the length
//! before it (64); the beginning of the BLAKE3 (16).
//!
//! A file that was written whole and is added to by nobody, that of backups, ends with a block that says so:
//! 3, 7 zeros, the BLAKE3 of all blocks before it (32), zeros, the sum. Where it is opened to be added to,
//! its place is free.

use std::fmt;

use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::cipher::{KEY, NONCE, OperatorKey, Secret, TAG, random, seal, unseal};
use crate::erasure::Erasure;
use crate::error::{KeyringError, Result};

/// Bytes of a block.
pub(crate) const BLOCK: usize = 128;
const BODY: usize = BLOCK - SUM;
const SUM: usize = 16;
const MAGIC: &[u8; 8] = b"RE-KEYS\x01";
/// What the root key is bound to, and every other one.
const ROOT: &[u8] = b"reasonedit root key";
const WRAPPED: usize = KEY + TAG;
/// What the last block of a file begins with that was written whole.
const END: u8 = 3;
/// Bytes of a name that are kept of whoever erased something.
pub(crate) const BY: usize = 63;

pub(crate) type Block = [u8; BLOCK];

/// What a key is for, told by nothing but a digest.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(pub(crate) [u8; 32]);

impl KeyId {
    /// The id of a thing of a kind, by what names it.
    pub fn of(kind: &str, parts: &[&[u8]]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("reasonedit 2026-11-30 what a key is for");
        for part in [kind.as_bytes()].iter().chain(parts) {
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
        }
        Self(*hasher.finalize().as_bytes())
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({})", blake3::Hash::from_bytes(self.0).to_hex())
    }
}

/// Whether backups are to keep a key once it is gone from the data folder without having been erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// They are: the thing may be wanted back.
    Lasting,
    /// They aren't: work that is over.
    Passing,
}

/// What stands under an id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    Key { lifetime: Lifetime, nonce: [u8; NONCE], wrapped: [u8; WRAPPED] },
    Erased(Erasure),
}

impl Entry {
    /// A new key.
    ///
    /// # Errors
    /// `Random`.
    pub(crate) fn new(id: KeyId, lifetime: Lifetime, root: &Secret) -> Result<Self> {
        let (key, nonce) = (Zeroizing::new(random::<KEY>()?), random()?);
        let mut wrapped = [0; WRAPPED];
        wrapped.copy_from_slice(&seal(root, &nonce, &id.0, &*key));
        Ok(Self::Key { lifetime, nonce, wrapped })
    }

    /// The key itself.
    ///
    /// # Errors
    /// `Erased`, `Changed`.
    pub(crate) fn key(&self, id: KeyId, root: &Secret) -> Result<Secret> {
        match self {
            Self::Erased(erasure) => Err(KeyringError::Erased(erasure.clone())),
            Self::Key { nonce, wrapped, .. } => {
                let key = Zeroizing::new(unseal(root, nonce, &id.0, wrapped)?);
                let mut secret = Zeroizing::new([0; KEY]);
                secret.copy_from_slice(&key);
                Ok(secret)
            }
        }
    }

    /// The record of it.
    pub(crate) fn block(&self, id: KeyId) -> Block {
        let mut body = [0; BODY];
        body[8..40].copy_from_slice(&id.0);
        match self {
            Self::Key { lifetime, nonce, wrapped } => {
                body[0] = 1;
                body[1] = u8::from(*lifetime == Lifetime::Passing);
                body[40..64].copy_from_slice(nonce);
                body[64..112].copy_from_slice(wrapped);
            }
            Self::Erased(Erasure { at, by }) => {
                body[0] = 2;
                let milliseconds = at.unix_timestamp_nanos() / 1_000_000;
                body[40..48].copy_from_slice(&(milliseconds as i64).to_le_bytes());
                let by = by.as_deref().unwrap_or_default();
                let end = (0..=BY.min(by.len())).rev().find(|end| by.is_char_boundary(*end)).unwrap_or(0);
                body[48] = end as u8;
                body[49..49 + end].copy_from_slice(&by.as_bytes()[..end]);
            }
        }
        summed(&body)
    }
}

/// What a block of a record says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Record {
    Free,
    Of(KeyId, Entry),
    /// Not as it was written.
    Damaged,
}

impl Record {
    pub(crate) fn parse(block: &Block) -> Self {
        if block.iter().all(|byte| *byte == 0) || checked(block).is_some_and(|body| body[0] == END) {
            return Self::Free;
        }
        parse_record(block).map_or(Self::Damaged, |(id, entry)| Self::Of(id, entry))
    }
}

fn parse_record(block: &Block) -> Option<(KeyId, Entry)> {
    let body = checked(block)?;
    let id = KeyId(*body[8..].first_chunk()?);
    let entry = match body[0] {
        1 => Entry::Key {
            lifetime: if body[1] == 0 { Lifetime::Lasting } else { Lifetime::Passing },
            nonce: *body[40..].first_chunk()?,
            wrapped: *body[64..].first_chunk()?,
        },
        2 => {
            let milliseconds = i64::from_le_bytes(*body[40..].first_chunk()?);
            let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(milliseconds) * 1_000_000).ok()?;
            let by = std::str::from_utf8(body[49..].get(..usize::from(body[48]))?).ok()?;
            Entry::Erased(Erasure { at, by: Some(by.to_owned()).filter(|by| !by.is_empty()) })
        }
        _ => return None,
    };
    Some((id, entry))
}

/// The block that a file ends with which holds these and no others.
pub(crate) fn end_of(blocks: &[Block]) -> Block {
    let mut body = [0; BODY];
    body[0] = END;
    body[8..40].copy_from_slice(blake3::hash(blocks.as_flattened()).as_bytes());
    summed(&body)
}

/// What the file begins with.
#[derive(Clone)]
pub(crate) struct Head {
    /// Which file of keys it is, whatever wraps its root key.
    pub(crate) identity: [u8; 16],
    pub(crate) root: Secret,
}

impl Head {
    /// A new one.
    ///
    /// # Errors
    /// `Random`.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self { identity: random()?, root: Zeroizing::new(random()?) })
    }

    /// The block of it, under an operator's key or as it is.
    ///
    /// # Errors
    /// `Random`.
    pub(crate) fn block(&self, operator: Option<&OperatorKey>) -> Result<Zeroizing<Block>> {
        let mut body = Zeroizing::new([0; BODY]);
        body[..8].copy_from_slice(MAGIC);
        body[16..32].copy_from_slice(&self.identity);
        match operator {
            None => body[56..56 + KEY].copy_from_slice(&*self.root),
            Some(operator) => {
                let nonce = random()?;
                body[8] = 1;
                body[32..56].copy_from_slice(&nonce);
                body[56..104].copy_from_slice(&seal(&operator.0, &nonce, &self.bound(), &*self.root));
                body[104..112].copy_from_slice(&operator.fingerprint());
            }
        }
        Ok(Zeroizing::new(summed(&body)))
    }

    fn bound(&self) -> Vec<u8> {
        [ROOT, &self.identity].concat()
    }

    /// Reads a block; and whether an operator's key wraps the root key.
    ///
    /// # Errors
    /// `Malformed`, `KeyNeeded`, `WrongKey`.
    pub(crate) fn parse(block: &Block, operator: Option<&OperatorKey>) -> Result<(Self, bool)> {
        let body = checked(block).ok_or(KeyringError::Malformed("its head is not as it was written"))?;
        if body[..8] != *MAGIC {
            return Err(KeyringError::Malformed("it is none, or of a later version"));
        }
        let mut head = Self { identity: [0; 16], root: Zeroizing::new([0; KEY]) };
        head.identity.copy_from_slice(&body[16..32]);
        if body[8] == 0 {
            head.root.copy_from_slice(&body[56..56 + KEY]);
            return Ok((head, false));
        }
        let operator = operator.ok_or(KeyringError::KeyNeeded)?;
        if body[104..112] != operator.fingerprint() {
            return Err(KeyringError::WrongKey);
        }
        let mut nonce = [0; NONCE];
        nonce.copy_from_slice(&body[32..56]);
        let root = unseal(&operator.0, &nonce, &head.bound(), &body[56..104]);
        head.root.copy_from_slice(&Zeroizing::new(root.map_err(|_| KeyringError::WrongKey)?));
        Ok((head, true))
    }

    /// Whose file of keys a block is the head of, whether or not it can be opened.
    pub(crate) fn identity_of(block: &Block) -> Option<[u8; 16]> {
        let body = checked(block).filter(|body| body[..8] == *MAGIC)?;
        body[16..].first_chunk().copied()
    }
}

fn sum(body: &[u8]) -> [u8; SUM] {
    let mut sum = [0; SUM];
    sum.copy_from_slice(&blake3::hash(body).as_bytes()[..SUM]);
    sum
}

fn summed(body: &[u8; BODY]) -> Block {
    let mut block = [0; BLOCK];
    block[..BODY].copy_from_slice(body);
    block[BODY..].copy_from_slice(&sum(body));
    block
}

fn checked(block: &Block) -> Option<&[u8; BODY]> {
    let (body, own) = block.split_first_chunk::<BODY>()?;
    (sum(body) == own).then_some(body)
}
