//! The keys of a folder of backups: the same file twice, since nothing can be had of any backup without them.
//! The first is written before the second, so that it counts where both are whole: the second may be of
//! before the last change, if the process died in between.

use std::collections::HashMap;
use std::path::Path;

use crate::block::{BLOCK, Block, Entry, Head, KeyId, Lifetime, Record, end_of};
use crate::error::{KeyringError, Result};
use crate::file::{Contents, KeyFile};
use crate::ring::Keyring;

const NO_HEAD: KeyringError = KeyringError::Malformed("its head is not as it was written");

impl Keyring {
    /// Whether [`Self::merge_into`] would take these copies: they are of these keys, or aren't there.
    ///
    /// # Errors
    /// `OtherFolder`, `Malformed` if no head can be read of those that are there, `Disk`.
    pub fn check_merge(&self, copies: &[&Path]) -> Result<()> {
        self.check_same(&read_copies(copies)?)
    }

    fn check_same(&self, theirs: &[Contents]) -> Result<()> {
        let mut known = theirs.iter().flat_map(|copy| &copy.heads).filter_map(Head::identity_of).peekable();
        if !theirs.is_empty() && known.peek().is_none() {
            return Err(NO_HEAD);
        }
        if known.all(|identity| identity == self.head.identity) {
            Ok(())
        } else {
            Err(KeyringError::OtherFolder)
        }
    }

    /// Brings the copies of keys of backups up to date: they get the keys that are new, and lose those of
    /// what was erased and of work that is over. Those that went otherwise they keep, of whichever copy has
    /// them, since they may be of what an earlier state is restored with. Each is written whole, and what it
    /// was is written over. One that was cut off within its head has nothing to keep.
    ///
    /// # Errors
    /// `OtherFolder` if they are the keys of another, `Malformed`, `Disk`.
    pub fn merge_into(&self, copies: &[&Path]) -> Result<()> {
        let theirs = read_copies(copies)?;
        self.check_same(&theirs)?;
        let head = match &self.path {
            Some(own) => {
                let own = KeyFile::read(own)?.ok_or(KeyringError::Malformed("it is gone"))?;
                readable(&own.heads).ok_or(NO_HEAD)?
            }
            None => *self.head.block(None)?,
        };
        let mut entries = self.entries();
        for (id, entry) in united(&theirs) {
            match (&entry, entries.get(&id)) {
                (Entry::Key { lifetime: Lifetime::Passing, .. }, None) | (Entry::Key { .. }, Some(_)) => {}
                (Entry::Key { .. }, None) | (Entry::Erased(_), _) => drop(entries.insert(id, entry)),
            }
        }
        let blocks = whole(head, entries);
        copies.iter().try_for_each(|copy| KeyFile::replace(copy, &blocks))
    }
}

/// Whether a copy that [`Keyring::merge_into`] wrote is as it was written; `None` if there is none. It isn't
/// opened for this process alone, and no operator's key is needed.
///
/// # Errors
/// `Disk`.
pub fn is_whole(path: &Path) -> Result<Option<bool>> {
    Ok(KeyFile::bytes(path)?.map(|bytes| ends(&bytes)))
}

/// The bytes of the first copy, if it is as it was written.
pub fn whole_copy(copies: &[&Path]) -> Option<Vec<u8>> {
    let first = copies.first().and_then(|first| KeyFile::bytes(first).ok().flatten());
    first.filter(|bytes| ends(bytes))
}

/// A file of all that can be read of copies the first of which isn't whole; `None` if that is no head.
/// Another that is whole may be of before the last change, so that what the first still says of it counts:
/// its head, and that something was erased.
pub fn salvaged_copy(copies: &[&Path]) -> Option<Vec<u8>> {
    let read = |copy: &&Path| KeyFile::bytes(copy).ok().flatten().and_then(|bytes| Contents::of(&bytes).ok());
    let theirs: Vec<Contents> = copies.iter().filter_map(read).collect();
    let head = theirs.iter().find_map(|copy| readable(&copy.heads))?;
    Some(whole(head, united(&theirs)).as_flattened().to_vec())
}

/// What stands in copies; that something was erased wins.
fn united(copies: &[Contents]) -> HashMap<KeyId, Entry> {
    let mut entries: HashMap<KeyId, Entry> = HashMap::new();
    for block in copies.iter().flat_map(|copy| &copy.records) {
        let Record::Of(id, entry) = Record::parse(block) else { continue };
        if matches!(entry, Entry::Erased(_)) {
            entries.insert(id, entry);
        } else {
            entries.entry(id).or_insert(entry);
        }
    }
    entries
}

/// The blocks of a copy.
fn whole(head: Block, entries: HashMap<KeyId, Entry>) -> Vec<Block> {
    let mut entries: Vec<(KeyId, Entry)> = entries.into_iter().collect();
    entries.sort_unstable_by_key(|(id, _)| *id);
    let mut blocks = vec![head, head];
    blocks.extend(entries.iter().map(|(id, entry)| entry.block(*id)));
    blocks.push(end_of(&blocks));
    blocks
}

fn ends(bytes: &[u8]) -> bool {
    let (blocks, rest) = bytes.as_chunks::<BLOCK>();
    rest.is_empty() && blocks.split_last().is_some_and(|(end, before)| *end == end_of(before))
}

/// Reads the copies that are there. One that was cut off within its head has nothing.
fn read_copies(copies: &[&Path]) -> Result<Vec<Contents>> {
    let mut read = Vec::with_capacity(copies.len());
    for copy in copies {
        read.extend(KeyFile::bytes(copy)?.and_then(|bytes| Contents::of(&bytes).ok()));
    }
    Ok(read)
}

/// The copy of a head that can be read.
fn readable(heads: &[Block]) -> Option<Block> {
    heads.iter().find(|head| Head::identity_of(head).is_some()).copied()
}

#[cfg(test)]
mod tests;
