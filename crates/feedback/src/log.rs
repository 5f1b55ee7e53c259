//! See [`FeedbackLog`].

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use parking_lot::Mutex;
use reasonedit_codebook::{CodebookName, EditId, Journal, Library};
use time::OffsetDateTime;
use ulid::Ulid;

use crate::error::{FeedbackError, Result};
use crate::word::{Feedback, FeedbackTally, FeedbackVerdict, NewFeedback};

/// What people said of answers, durably. Cheap to clone. Its calls wait for the disk.
#[derive(Clone, Debug)]
pub struct FeedbackLog(Arc<Kept>);

#[derive(Debug)]
struct Kept {
    rows: Journal,
    known: Mutex<Known>,
}

/// What follows from the rows.
#[derive(Debug, Default)]
struct Known {
    /// Each word, by whose it is and of which answer.
    voices: HashMap<[u8; 16], Ulid>,
    /// All of them, in the order they were given.
    ids: BTreeSet<Ulid>,
    tallies: HashMap<(CodebookName, EditId), FeedbackTally>,
    last: Ulid,
}

/// What became of a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeedbackOutcome {
    /// It is the first of this person on this answer.
    New(Feedback),
    /// It stands in the place of what they said before.
    Changed(Feedback),
}

/// Which words are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FeedbackFilter {
    /// On answers by this codebook.
    pub codebook: Option<CodebookName>,
    /// On answers that this edit stood in front of.
    pub edit: Option<EditId>,
    /// That agree, or disagree.
    pub verdict: Option<FeedbackVerdict>,
}

impl FeedbackFilter {
    fn holds(&self, word: &Feedback) -> bool {
        self.codebook.as_ref().is_none_or(|name| *name == word.codebook)
            && self.edit.is_none_or(|edit| word.edits.contains(&edit))
            && self.verdict.is_none_or(|verdict| verdict == word.verdict)
    }
}

impl Known {
    fn add(&mut self, word: &Feedback) {
        self.voices.insert(word.voice(), word.id);
        self.ids.insert(word.id);
        self.last = self.last.max(word.id);
        for edit in &word.edits {
            let tally = self.tallies.entry((word.codebook.clone(), *edit)).or_default();
            *tally.count(word.verdict) += 1;
        }
    }

    fn remove(&mut self, word: &Feedback) {
        self.voices.remove(&word.voice());
        self.ids.remove(&word.id);
        for edit in &word.edits {
            let name = (word.codebook.clone(), *edit);
            if let Some(tally) = self.tallies.get_mut(&name) {
                let count = tally.count(word.verdict);
                *count = count.saturating_sub(1);
                if *tally == FeedbackTally::default() {
                    self.tallies.remove(&name);
                }
            }
        }
    }

    /// Greater than every id before, also within a millisecond and where the clock went back.
    fn next_id(&self) -> Ulid {
        let new = Ulid::new();
        if new > self.last { new } else { self.last.increment().unwrap_or(new) }
    }
}

impl FeedbackLog {
    /// Reads what is kept beside the codebooks. A row that can't be read is told in the log and passed over.
    ///
    /// # Errors
    /// `Journal` when the disk refuses.
    pub fn open(library: &Library) -> Result<Self> {
        let rows = library.journal("feedback");
        let mut known = Known::default();
        for (key, row) in rows.all()? {
            match serde_json::from_slice::<Feedback>(&row) {
                Ok(word) => known.add(&word),
                Err(error) => tracing::error!(feedback = %key.id, %error, "this feedback can't be read"),
            }
        }
        Ok(Self(Arc::new(Kept { rows, known: Mutex::new(known) })))
    }

    /// Keeps a person's word on an answer, in the place of what the same person said of it before.
    ///
    /// # Errors
    /// `Invalid`; `Journal` when the disk refuses: nothing has changed then.
    pub fn give(&self, new: NewFeedback) -> Result<FeedbackOutcome> {
        let new = new.checked()?;
        let mut known = self.0.known.lock();
        let before = known.voices.get(&new.voice()).copied();
        let before = before.map(|id| self.read(id)).transpose()?.flatten();
        let word = Feedback {
            id: before.as_ref().map_or_else(|| known.next_id(), |before| before.id),
            at: OffsetDateTime::now_utc(),
            codebook: new.codebook,
            answer: new.answer,
            edits: new.edits,
            verdict: new.verdict,
            by: new.by,
        };
        self.0.rows.put(word.id, 0, &serde_json::to_vec(&word)?)?;
        let changed = before.is_some();
        if let Some(before) = before {
            known.remove(&before);
        }
        known.add(&word);
        Ok(if changed { FeedbackOutcome::Changed(word) } else { FeedbackOutcome::New(word) })
    }

    /// One word, by its id.
    ///
    /// # Errors
    /// `Unknown`; `Journal` when the disk refuses.
    pub fn get(&self, id: Ulid) -> Result<Feedback> {
        self.read(id)?.ok_or(FeedbackError::Unknown(id))
    }

    /// Takes a word back.
    ///
    /// # Errors
    /// `Unknown`; `Journal` when the disk refuses: it stays then.
    pub fn take_back(&self, id: Ulid) -> Result<Feedback> {
        let mut known = self.0.known.lock();
        let word = self.get(id)?;
        self.0.rows.remove(id)?;
        known.remove(&word);
        Ok(word)
    }

    /// At most `limit` words below `cursor`, newest first, and where the next page begins.
    ///
    /// # Errors
    /// `Journal` when the disk refuses.
    pub fn list(
        &self,
        filter: &FeedbackFilter,
        cursor: Option<Ulid>,
        limit: usize,
    ) -> Result<(Vec<Feedback>, Option<Ulid>)> {
        // Nobody waits for these reads: the ids alone are taken under the lock.
        let below = cursor.map_or(Bound::Unbounded, Bound::Excluded);
        let ids: Vec<Ulid> =
            self.0.known.lock().ids.range((Bound::Unbounded, below)).rev().copied().collect();
        let mut page: Vec<Feedback> = Vec::new();
        for id in ids {
            // One that was taken back meanwhile is not there.
            let Some(word) = self.read(id)?.filter(|word| filter.holds(word)) else { continue };
            if page.len() == limit {
                let next = page.last().map(|last| last.id);
                return Ok((page, next));
            }
            page.push(word);
        }
        Ok((page, None))
    }

    /// How often people agreed, and disagreed, with answers that this edit stood in front of.
    pub fn of_edit(&self, codebook: &CodebookName, edit: EditId) -> FeedbackTally {
        self.0.known.lock().tallies.get(&(codebook.clone(), edit)).copied().unwrap_or_default()
    }

    /// The edits of a codebook that anything was said of.
    pub fn tallies(&self, codebook: &CodebookName) -> BTreeMap<EditId, FeedbackTally> {
        let known = self.0.known.lock();
        let of = known.tallies.iter().filter(|((name, _), _)| name == codebook);
        of.map(|((_, edit), tally)| (*edit, *tally)).collect()
    }

    fn read(&self, id: Ulid) -> Result<Option<Feedback>> {
        let row = self.0.rows.get(id, 0)?;
        Ok(row.map(|row| serde_json::from_slice(&row)).transpose()?)
    }
}

#[cfg(test)]
mod tests;
