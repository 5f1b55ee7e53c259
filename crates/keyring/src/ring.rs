//! The keys of a data folder.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use time::OffsetDateTime;

use crate::block::{BLOCK, BY, Block, Entry, Head, KeyId, Lifetime, Record};
use crate::cipher::{NONCE, OperatorKey, Secret, TAG, random, seal, unseal};
use crate::erasure::Erasure;
use crate::error::{KeyringError, Result};
use crate::file::{Contents, KeyFile};

/// How long a file that another process has open is tried again, and how often.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);
const LOCK_PAUSE: Duration = Duration::from_millis(10);
/// Bytes that are kept of the name of whoever erased something.
pub const MAX_BY: usize = BY;

/// The keys of a data folder, by what they are for. Every change is durable when it returns.
pub struct Keyring {
    pub(crate) head: Head,
    /// `None` of one that lasts as long as the process.
    pub(crate) path: Option<PathBuf>,
    inner: Mutex<Inner>,
}

struct Inner {
    file: Option<KeyFile>,
    entries: HashMap<KeyId, (usize, Entry)>,
    /// Places that are free, and the first that never was taken.
    free: Vec<usize>,
    next: usize,
    damaged: usize,
    wrapped: bool,
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keyring").finish_non_exhaustive()
    }
}

impl Inner {
    fn of(contents: &Contents, file: Option<KeyFile>, wrapped: bool) -> Self {
        let next = contents.records.len();
        let mut inner =
            Self { file, entries: HashMap::with_capacity(next), free: Vec::new(), next, damaged: 0, wrapped };
        for (place, block) in contents.records.iter().enumerate() {
            match Record::parse(block) {
                Record::Free => inner.free.push(place),
                Record::Damaged => inner.damaged += 1,
                Record::Of(id, entry) => drop(inner.entries.insert(id, (place, entry))),
            }
        }
        inner
    }

    /// Writes these entries, into the places that they have or new ones.
    fn put(&mut self, action: &'static str, entries: Vec<(KeyId, Entry)>) -> Result<()> {
        let (mut free, mut next) = (self.free.len(), self.next);
        let mut placed = Vec::with_capacity(entries.len());
        for (id, entry) in entries {
            let place = match self.entries.get(&id) {
                Some((place, _)) => *place,
                None if free > 0 => {
                    free -= 1;
                    self.free[free]
                }
                None => {
                    next += 1;
                    next - 1
                }
            };
            placed.push((id, place, entry));
        }
        let blocks: Vec<(usize, Block)> =
            placed.iter().map(|(id, place, entry)| (*place, entry.block(*id))).collect();
        if let Some(file) = &self.file {
            // What was written in part is written over by whoever comes next.
            file.write(&blocks).map_err(KeyringError::disk(action))?;
        }
        self.free.truncate(free);
        self.next = next;
        self.entries.extend(placed.into_iter().map(|(id, place, entry)| (id, (place, entry))));
        Ok(())
    }
}

impl Keyring {
    /// Opens the file of keys, and makes it if there is none. One that no operator's key wraps is wrapped by
    /// the one that is given from now on. A file that is in use is tried for a moment: the lock of a process
    /// that was killed may outlive it a little.
    ///
    /// # Errors
    /// `KeyNeeded`, `WrongKey`, `Locked`, `Malformed`, `Disk`.
    pub fn open(path: &Path, operator: Option<&OperatorKey>) -> Result<Arc<Self>> {
        if !path.exists() {
            let head = Head::new()?.block(operator)?;
            KeyFile::create(path, &[*head, *head])?;
        }
        let (file, contents) = opened(path)?;
        let (head, wrapped, same) = contents.head(operator)?;
        if !same || wrapped != operator.is_some() {
            file.write_head(&*head.block(operator)?).map_err(KeyringError::disk("write"))?;
        }
        let inner = Inner::of(&contents, Some(file), operator.is_some());
        Ok(Arc::new(Self { head, path: Some(path.to_owned()), inner: Mutex::new(inner) }))
    }

    /// Keys that nothing outlasts the process of.
    ///
    /// # Errors
    /// `Random`.
    pub fn ephemeral() -> Result<Arc<Self>> {
        let contents = Contents { heads: [[0; BLOCK]; 2], records: Vec::new() };
        let inner = Mutex::new(Inner::of(&contents, None, false));
        Ok(Arc::new(Self { head: Head::new()?, path: None, inner }))
    }

    /// Which keys they are, whatever wraps them.
    pub fn identity(&self) -> [u8; 16] {
        self.head.identity
    }

    /// Whether an operator's key wraps the keys.
    pub fn is_wrapped(&self) -> bool {
        self.inner.lock().wrapped
    }

    /// All that stands in it.
    pub(crate) fn entries(&self) -> HashMap<KeyId, Entry> {
        self.inner.lock().entries.iter().map(|(id, (_, entry))| (*id, entry.clone())).collect()
    }

    /// How many records of the file can't be read. What they were for can't either.
    pub fn damaged(&self) -> usize {
        self.inner.lock().damaged
    }

    /// Whether there is a key for it, and it wasn't erased.
    pub fn has(&self, id: KeyId) -> bool {
        matches!(self.inner.lock().entries.get(&id), Some((_, Entry::Key { .. })))
    }

    /// That it was erased, if it was.
    pub fn erased(&self, id: KeyId) -> Option<Erasure> {
        match self.inner.lock().entries.get(&id) {
            Some((_, Entry::Erased(erasure))) => Some(erasure.clone()),
            _ => None,
        }
    }

    /// Whether anything was erased.
    pub fn any_erased(&self) -> bool {
        self.inner.lock().entries.values().any(|(_, entry)| matches!(entry, Entry::Erased(_)))
    }

    /// Sees to it that there is a lasting key for each of these.
    ///
    /// # Errors
    /// `Erased` if one of them was, `Disk`, `Random`. Nothing has changed then.
    pub fn ensure(&self, ids: &[KeyId]) -> Result<()> {
        self.ensure_for(ids, Lifetime::Lasting)
    }

    /// As [`Self::ensure`], with how backups are to treat new ones.
    ///
    /// # Errors
    /// As there.
    pub fn ensure_for(&self, ids: &[KeyId], lifetime: Lifetime) -> Result<()> {
        let mut inner = self.inner.lock();
        let mut new: Vec<(KeyId, Entry)> = Vec::new();
        for id in ids {
            match inner.entries.get(id) {
                Some((_, Entry::Erased(erasure))) => return Err(KeyringError::Erased(erasure.clone())),
                Some(_) => {}
                None => new.push((*id, Entry::new(*id, lifetime, &self.head.root)?)),
            }
        }
        new.sort_unstable_by_key(|(id, _)| *id);
        new.dedup_by_key(|(id, _)| *id);
        if new.is_empty() { Ok(()) } else { inner.put("add to", new) }
    }

    /// Seals bytes; `bound` has to be the same when they are unsealed. They become longer by
    /// 40.
    ///
    /// # Errors
    /// `Unknown` if there is no key, `Erased`, `Changed` if the key can't be read, `Random`.
    pub fn seal(&self, id: KeyId, bound: &[u8], plain: &[u8]) -> Result<Vec<u8>> {
        let (key, nonce) = (self.secret(id)?, random::<NONCE>()?);
        let mut sealed = Vec::with_capacity(NONCE + plain.len() + TAG);
        sealed.extend(nonce);
        sealed.extend(seal(&key, &nonce, bound, plain));
        Ok(sealed)
    }

    /// What was sealed.
    ///
    /// # Errors
    /// `Unknown`, `Erased`, `Changed` if it was not sealed so.
    pub fn unseal(&self, id: KeyId, bound: &[u8], sealed: &[u8]) -> Result<Vec<u8>> {
        let key = self.secret(id)?;
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE>().ok_or(KeyringError::Changed)?;
        unseal(&key, nonce, bound, sealed)
    }

    /// The key of a thing.
    ///
    /// # Errors
    /// `Unknown`, `Erased`, `Changed`.
    pub(crate) fn secret(&self, id: KeyId) -> Result<Secret> {
        let inner = self.inner.lock();
        let entry = inner.entries.get(&id).map(|(_, entry)| entry.clone()).ok_or(KeyringError::Unknown)?;
        drop(inner);
        entry.key(id, &self.head.root)
    }

    /// Writes over the keys of these, and keeps that they were erased, when, and by whom; what was erased
    /// before stays as it was. Of the name [`MAX_BY`] bytes are kept.
    ///
    /// # Errors
    /// `Disk`; some of them may be erased then.
    pub fn erase(&self, ids: &[KeyId], by: Option<&str>) -> Result<Erasure> {
        let at = OffsetDateTime::now_utc();
        let at = at.replace_millisecond(at.millisecond()).unwrap_or(at);
        let erasure = Erasure { at, by: by.map(|by| by[..by.floor_char_boundary(BY)].to_owned()) };
        let mut inner = self.inner.lock();
        let standing = |id: &&KeyId| !matches!(inner.entries.get(id), Some((_, Entry::Erased(_))));
        let mut gone: Vec<KeyId> = ids.iter().filter(standing).copied().collect();
        gone.sort_unstable();
        gone.dedup();
        let entries = gone.into_iter().map(|id| (id, Entry::Erased(erasure.clone()))).collect();
        inner.put("erase", entries)?;
        Ok(erasure)
    }

    /// Writes over the keys of these, and keeps nothing of them.
    ///
    /// # Errors
    /// `Disk`; some of them may be gone then.
    pub fn forget(&self, ids: &[KeyId]) -> Result<()> {
        let mut inner = self.inner.lock();
        let known = |id: &KeyId| match inner.entries.get(id) {
            Some((place, Entry::Key { .. })) => Some((*id, *place)),
            _ => None,
        };
        let known: Vec<(KeyId, usize)> = ids.iter().filter_map(known).collect();
        if known.is_empty() {
            return Ok(());
        }
        if let Some(file) = &inner.file {
            let blocks: Vec<(usize, Block)> = known.iter().map(|(_, place)| (*place, [0; BLOCK])).collect();
            file.write(&blocks).map_err(KeyringError::disk("remove from"))?;
        }
        for (id, place) in known {
            if inner.entries.remove(&id).is_some() {
                inner.free.push(place);
            }
        }
        Ok(())
    }

    /// Has another operator's key wrap the keys, or none. What they seal stays as it is.
    ///
    /// # Errors
    /// `Disk`, `Random`: either key may be the one then.
    pub fn rewrap(&self, operator: Option<&OperatorKey>) -> Result<()> {
        let mut inner = self.inner.lock();
        if let Some(file) = &inner.file {
            file.write_head(&*self.head.block(operator)?).map_err(KeyringError::disk("write"))?;
        }
        inner.wrapped = operator.is_some();
        Ok(())
    }
}

/// Opens a file, for which it waits a moment.
fn opened(path: &Path) -> Result<(KeyFile, Contents)> {
    let began = Instant::now();
    loop {
        match KeyFile::open(path) {
            Err(KeyringError::Locked) if began.elapsed() < LOCK_PATIENCE => thread::sleep(LOCK_PAUSE),
            opened => return opened,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
