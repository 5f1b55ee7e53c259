//! Questions that are kept beside codebooks: canaries, whose answers must not change, and a log of what was
//! asked.
//!
//! A question is kept with the key that it is looked up by, so that it can be seen whether an edit changes
//! what is found for it without a look at its picture.

mod row;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use reasonedit_codebook::{CodebookName, GenerationId, ImageId, Journal, Library, Result};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use ulid::Ulid;

/// A question about a picture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptQuestion {
    /// Its id; later ones are greater.
    pub id: Ulid,
    /// The codebook that it is asked of.
    pub codebook: CodebookName,
    /// When it was kept, UTC.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// The picture.
    pub image: ImageId,
    /// The question.
    pub question: String,
    /// Answers to choose from; empty: the answer is generated.
    pub choices: Vec<String>,
    /// The answer that it must have, if it must.
    pub expected: Option<String>,
    /// The key that it is looked up by.
    #[serde(skip)]
    pub key: Option<QuestionKey>,
}

/// E(x, t) of a question, as keys of one generation are.
#[derive(Clone, Debug, PartialEq)]
pub struct QuestionKey {
    /// The generation.
    pub generation: GenerationId,
    /// Its numbers.
    pub vector: Arc<[f32]>,
}

impl KeptQuestion {
    /// Whether it is the same question about the same picture, with the same choices.
    fn same(&self, other: &Self) -> bool {
        (&self.codebook, self.image, &self.question, &self.choices)
            == (&other.codebook, other.image, &other.question, &other.choices)
    }
}

/// A table of questions, of all codebooks. What is written is durable when a call returns.
pub struct KeptQuestions {
    journal: Journal,
    /// Most of one codebook.
    most: usize,
    kept: RwLock<BTreeMap<Ulid, Arc<KeptQuestion>>>,
    writing: Mutex<()>,
}

impl KeptQuestions {
    /// Reads the table of this name; of each codebook at most `most` are kept.
    ///
    /// # Errors
    /// `Store`.
    pub fn open(library: &Library, table: &'static str, most: usize) -> Result<Self> {
        let journal = library.journal(table);
        let mut rows: BTreeMap<Ulid, row::Rows> = BTreeMap::new();
        for (at, value) in journal.all()? {
            rows.entry(at.id).or_default().take(at.number, value);
        }
        let mut kept = BTreeMap::new();
        for (id, rows) in rows {
            if let Some(question) = rows.read(id) {
                kept.insert(id, Arc::new(question));
            } else {
                // Left where a process ended between its rows, or damaged.
                tracing::warn!(table, question = %id, "a kept question can't be read, and is removed");
                journal.remove(id)?;
            }
        }
        Ok(Self { journal, most, kept: RwLock::new(kept), writing: Mutex::default() })
    }

    /// Keeps a question in place of the same one, if that is kept; then removes the oldest of what is too
    /// much. Returns the removed ones.
    ///
    /// # Errors
    /// `InvalidRecord` for one that is too large, `Store`, `Unwritable`: it isn't kept then.
    pub fn put(&self, question: KeptQuestion) -> Result<Vec<Arc<KeptQuestion>>> {
        let _writing = self.writing.lock();
        let replaced: Vec<Ulid> =
            self.kept.read().values().filter(|kept| kept.same(&question)).map(|kept| kept.id).collect();
        row::write(&self.journal, &question)?;
        let (id, codebook) = (question.id, question.codebook.clone());
        self.kept.write().insert(id, Arc::new(question));
        let own: Vec<Ulid> =
            self.kept.read().values().filter(|kept| kept.codebook == codebook).map(|kept| kept.id).collect();
        let too_many = own.len().saturating_sub(replaced.len() + self.most);
        let oldest = own.into_iter().filter(|one| *one != id && !replaced.contains(one)).take(too_many);
        let going: Vec<Ulid> = replaced.iter().copied().filter(|one| *one != id).chain(oldest).collect();
        going.into_iter().filter_map(|one| self.take(one).transpose()).collect()
    }

    /// Keeps the key of a question that is there.
    ///
    /// # Errors
    /// `Store`, `Unwritable`.
    pub fn put_key(&self, id: Ulid, key: QuestionKey) -> Result<()> {
        let _writing = self.writing.lock();
        let Some(question) = self.get(id) else { return Ok(()) };
        let question = KeptQuestion { key: Some(key), ..question.as_ref().clone() };
        row::write(&self.journal, &question)?;
        self.kept.write().insert(id, Arc::new(question));
        Ok(())
    }

    /// A question.
    pub fn get(&self, id: Ulid) -> Option<Arc<KeptQuestion>> {
        self.kept.read().get(&id).cloned()
    }

    /// The questions of a codebook, oldest first.
    pub fn of(&self, codebook: &CodebookName) -> Vec<Arc<KeptQuestion>> {
        self.kept.read().values().filter(|kept| kept.codebook == *codebook).cloned().collect()
    }

    /// Whether there are any of a codebook.
    pub fn has(&self, codebook: &CodebookName) -> bool {
        self.kept.read().values().any(|kept| kept.codebook == *codebook)
    }

    /// Whether one is about this picture.
    pub fn about(&self, image: ImageId) -> bool {
        self.kept.read().values().any(|kept| kept.image == image)
    }

    /// The codebooks that have questions about this picture.
    pub fn codebooks_about(&self, image: ImageId) -> BTreeSet<CodebookName> {
        let kept = self.kept.read();
        kept.values().filter(|one| one.image == image).map(|one| one.codebook.clone()).collect()
    }

    /// Removes a question for good; the one that it was.
    ///
    /// # Errors
    /// `Store`, `Unwritable`: asking again ends it.
    pub fn remove(&self, id: Ulid) -> Result<Option<Arc<KeptQuestion>>> {
        let _writing = self.writing.lock();
        self.take(id)
    }

    /// Removes for good what is not to stay; what that was.
    ///
    /// # Errors
    /// `Store`, `Unwritable`: part of it may be gone then, and asking again ends it.
    pub fn remove_where(&self, goes: impl Fn(&KeptQuestion) -> bool) -> Result<Vec<Arc<KeptQuestion>>> {
        let _writing = self.writing.lock();
        let going: Vec<Ulid> =
            self.kept.read().values().filter(|kept| goes(kept)).map(|kept| kept.id).collect();
        going.into_iter().filter_map(|id| self.take(id).transpose()).collect()
    }

    /// Called by whoever writes.
    fn take(&self, id: Ulid) -> Result<Option<Arc<KeptQuestion>>> {
        if self.get(id).is_none() {
            return Ok(None);
        }
        self.journal.remove(id)?;
        Ok(self.kept.write().remove(&id))
    }
}

#[cfg(test)]
mod tests;
