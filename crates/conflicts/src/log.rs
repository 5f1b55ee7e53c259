//! See [`ConflictLog`].

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use reasonedit_codebook::{CodebookName, EditId, Journal, Library};
use time::OffsetDateTime;
use ulid::Ulid;

use crate::error::{ConflictError, Result};
use crate::pair::{FoundConflict, NewConflict, Resolution, SaidDigest};

/// Pairs of edits that contradict each other, durably. Cheap to clone. What it is asked is answered from
/// memory; what is written waits for the disk.
#[derive(Clone, Debug)]
pub struct ConflictLog(Arc<Kept>);

#[derive(Debug)]
struct Kept {
    rows: Journal,
    known: Mutex<BTreeMap<Ulid, FoundConflict>>,
}

impl ConflictLog {
    /// Reads what is kept beside the codebooks. A row that can't be read is told in the log and passed over.
    ///
    /// # Errors
    /// `Journal` when the disk refuses.
    pub fn open(library: &Library) -> Result<Self> {
        let rows = library.journal("conflicts");
        let mut known = BTreeMap::new();
        for (key, row) in rows.all()? {
            match serde_json::from_slice::<FoundConflict>(&row) {
                Ok(found) => {
                    known.insert(found.id, found);
                }
                Err(error) => tracing::error!(conflict = %key.id, %error, "this conflict can't be read"),
            }
        }
        Ok(Self(Arc::new(Kept { rows, known: Mutex::new(known) })))
    }

    /// Keeps what was found of an edit that says this, in place of what was known of it: pairs that are none
    /// any more go, those that are still the same stay with what was decided about them. Pairs of what it
    /// said in other versions stay, since it may say that again. `unseen` says of which edits nothing could
    /// be found: pairs with those stay.
    ///
    /// # Errors
    /// `Journal` when the disk refuses; what was kept until then is.
    pub fn found(
        &self,
        codebook: &CodebookName,
        (edit, said): (EditId, &SaidDigest),
        pairs: Vec<NewConflict>,
        unseen: impl Fn(EditId) -> bool,
    ) -> Result<Vec<FoundConflict>> {
        let mut known = self.0.known.lock();
        let of_it = |pair: &&FoundConflict| {
            let mut sides = pair.edits.iter().zip(&pair.said);
            pair.codebook == *codebook && sides.any(|(one, says)| *one == edit && says == said)
        };
        let mut earlier: Vec<FoundConflict> = known.values().filter(of_it).cloned().collect();
        let mut kept = Vec::with_capacity(pairs.len());
        for pair in pairs {
            let same = |one: &FoundConflict| {
                (one.edits, &one.said, one.reason, one.statements)
                    == (pair.edits, &pair.said, pair.reason, pair.statements)
            };
            if let Some(at) = earlier.iter().position(same) {
                kept.push(earlier.swap_remove(at));
                continue;
            }
            let NewConflict { codebook, edits, said, reason, statements } = pair;
            let last = known.last_key_value().map(|(id, _)| *id);
            let id = last.map_or_else(Ulid::new, next_id);
            let (at, resolutions) = (OffsetDateTime::now_utc(), Vec::new());
            let found = FoundConflict { id, at, codebook, edits, said, reason, statements, resolutions };
            self.write(&found)?;
            known.insert(id, found.clone());
            kept.push(found);
        }
        let seen = |pair: &FoundConflict| !pair.edits.iter().any(|other| *other != edit && unseen(*other));
        for gone in earlier.into_iter().filter(seen) {
            self.0.rows.remove(gone.id)?;
            known.remove(&gone.id);
        }
        Ok(kept)
    }

    /// Keeps what was decided about a pair.
    ///
    /// # Errors
    /// `Unknown`; `Journal` when the disk refuses: nothing has changed then.
    pub fn decide(&self, codebook: &CodebookName, id: Ulid, resolution: Resolution) -> Result<FoundConflict> {
        let mut known = self.0.known.lock();
        let pair = known.get(&id).filter(|pair| pair.codebook == *codebook);
        let mut pair = pair.cloned().ok_or(ConflictError::Unknown(id))?;
        pair.resolutions.push(resolution);
        self.write(&pair)?;
        known.insert(id, pair.clone());
        Ok(pair)
    }

    /// One pair.
    ///
    /// # Errors
    /// `Unknown`.
    pub fn get(&self, codebook: &CodebookName, id: Ulid) -> Result<FoundConflict> {
        let known = self.0.known.lock();
        let pair = known.get(&id).filter(|pair| pair.codebook == *codebook);
        pair.cloned().ok_or(ConflictError::Unknown(id))
    }

    /// The pairs of a codebook below a cursor, newest first.
    pub fn of(&self, codebook: &CodebookName, below: Option<Ulid>) -> Vec<FoundConflict> {
        let known = self.0.known.lock();
        let pairs = known.values().rev();
        let pairs = pairs.filter(|pair| pair.codebook == *codebook && below.is_none_or(|id| pair.id < id));
        pairs.cloned().collect()
    }

    /// The pairs that an edit is one of, oldest first.
    pub fn of_edit(&self, codebook: &CodebookName, edit: EditId) -> Vec<FoundConflict> {
        let known = self.0.known.lock();
        let of = |pair: &&FoundConflict| pair.codebook == *codebook && pair.edits.contains(&edit);
        known.values().filter(of).cloned().collect()
    }

    fn write(&self, found: &FoundConflict) -> Result<()> {
        Ok(self.0.rows.put(found.id, 0, &serde_json::to_vec(found)?)?)
    }
}

/// Greater than every id before, also within a millisecond and where the clock went back.
fn next_id(last: Ulid) -> Ulid {
    let new = Ulid::new();
    if new > last { new } else { last.increment().unwrap_or(new) }
}
