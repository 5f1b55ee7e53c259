//! Edits that contradict each other: looked for when an edit is made, listed, and decided by people.
//!
//! Two edits answer the same question otherwise and are both right where each is about its own kind of thing.
//! They contradict each other where what each says holds on the picture of the other too: a question about
//! either would then be told both. So the model is asked about the statements of each on the other's picture,
//! and what rules read off the words (a side, a negation, a number) is told with it. What is said of one and
//! the same picture is held against each other by the rules alone.

pub(crate) mod finding;
pub(crate) mod telling;

use std::sync::Arc;

use reasonedit_codebook::{CodebookName, EditId};
use reasonedit_conflicts::{Decision, Resolution};
use time::OffsetDateTime;
use ulid::Ulid;

use self::telling::shown;
use crate::editor::Editor;
use crate::error::{EditorError, FieldError};
use crate::pictures::blocking;
use crate::types::{Amendment, CallContext, ConflictView};

/// Most characters of a note to a decision.
const MOST_NOTE_CHARS: usize = 2_000;

/// Which conflicts are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConflictFilter {
    /// Those that nothing was decided about and that still are, or all others.
    pub open: Option<bool>,
    /// Those that this edit is one of.
    pub edit: Option<EditId>,
}

impl Editor {
    /// At most `limit` pairs of edits that contradict each other below a cursor, newest first, and where the
    /// next page begins. Pairs of which an edit was taken back or changed since are none.
    ///
    /// # Errors
    /// Failing storage.
    pub fn conflicts(
        &self,
        codebook: &CodebookName,
        filter: ConflictFilter,
        (cursor, limit): (Option<Ulid>, usize),
    ) -> Result<(Vec<ConflictView>, Option<Ulid>), EditorError> {
        let Some(book) = self.core.existing(codebook)? else { return Ok((Vec::new(), None)) };
        let snapshot = book.snapshot();
        let edit = filter.edit.map(|id| snapshot.edit(id).map_or(id, |record| record.known_as()));
        let mut page: Vec<ConflictView> = Vec::new();
        for pair in self.core.conflict_log().of(codebook, cursor) {
            if edit.is_some_and(|edit| !pair.edits.contains(&edit)) {
                continue;
            }
            let Some(view) = shown(&snapshot, pair) else { continue };
            if filter.open.is_some_and(|wanted| wanted != view.open) {
                continue;
            }
            if page.len() == limit {
                let next = page.last().map(|last| last.pair.id);
                return Ok((page, next));
            }
            page.push(view);
        }
        Ok((page, None))
    }

    /// One pair.
    ///
    /// # Errors
    /// A pair that was never found or is none any more, failing storage.
    pub fn conflict(&self, codebook: &CodebookName, id: Ulid) -> Result<ConflictView, EditorError> {
        let book = self.core.existing(codebook)?.ok_or(EditorError::UnknownConflict(id))?;
        let snapshot = book.snapshot();
        let pair = self.core.conflict_log().get(codebook, id)?;
        shown(&snapshot, pair).ok_or(EditorError::UnknownConflict(id))
    }

    /// Decides about a pair: who is kept gets a new version that supersedes the other; undoing that version
    /// brings the other back.
    ///
    /// # Errors
    /// As [`Editor::conflict`]; an edit that is not of the pair, a note that is too long or missing; as
    /// [`Editor::amend`].
    pub async fn decide(
        &self,
        codebook: &CodebookName,
        id: Ulid,
        (decision, note, by): (Decision, Option<String>, Option<String>),
        call: CallContext,
    ) -> Result<ConflictView, EditorError> {
        let view = self.conflict(codebook, id)?;
        let note = note.map(|note| note.trim().to_owned()).filter(|note| !note.is_empty());
        let fault = |at: &str, detail: String| Err(EditorError::Invalid(vec![FieldError::new(at, detail)]));
        if note.as_ref().is_some_and(|note| note.chars().count() > MOST_NOTE_CHARS) {
            return fault("/note", format!("a note has at most {MOST_NOTE_CHARS} characters"));
        }
        if decision == Decision::KeepBoth && note.is_none() {
            return fault("/note", "say under which condition each of them holds".to_owned());
        }
        if let Decision::Keep(kept) = decision {
            let Some(at) = view.pair.edits.iter().position(|edit| *edit == kept) else {
                return fault("/keep", format!("the edit {kept} is not one of this pair"));
            };
            // Not what was said meanwhile, should it have been amended.
            let snapshot = self.core.existing(codebook)?.map(|book| book.snapshot());
            let newest = snapshot.as_ref().and_then(|state| state.edit(state.newest_version(kept)?));
            // Who decides says nothing of their own: it stays the author's.
            let amendment = Amendment {
                supersedes: vec![view.pair.edits[1 - at]],
                author: newest.and_then(|record| record.author.clone()),
                expected: newest.map(|record| vec![record.id]),
                verify: false,
                ..Amendment::default()
            };
            self.amend(codebook, kept, amendment, call).await?;
        }
        let resolution = Resolution { decision, note, by, at: OffsetDateTime::now_utc() };
        let (core, name) = (Arc::clone(&self.core), codebook.clone());
        blocking(move || Ok(core.conflict_log().decide(&name, id, resolution)?)).await?;
        self.conflict(codebook, id)
    }
}
