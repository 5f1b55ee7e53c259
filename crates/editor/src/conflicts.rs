//! Edits that contradict each other: looked for when an edit is made, listed, and decided by people.
//!
//! Two edits answer the same question otherwise and are both right where each is about its own kind of thing.
//! They contradict each other where what each says holds on the picture of the other too: a question about
//! either would then be told both. So the model is asked about the statements of each on the other's picture,
//! and what rules read off the words (a side, a negation, a number) is told with it. What is said of one and
//! the same picture is held against each other by the rules alone.

use std::collections::HashSet;
use std::sync::Arc;

use reasonedit_codebook::{CodebookName, EditId, EditRecord, EntryKind, Snapshot};
use reasonedit_conflicts::{ConflictReason, Decision, FoundConflict, NewConflict, Resolution, SaidDigest};
use reasonedit_contradiction::{Detail, Reading};
use reasonedit_text::same;
use reasonedit_verification::Grounds;
use time::OffsetDateTime;
use ulid::Ulid;

use crate::core::Core;
use crate::edit::EditPipeline;
use crate::editor::Editor;
use crate::error::{EditorError, FieldError};
use crate::pictures::{Picture, blocking};
use crate::query::QueryPipeline;
use crate::types::{Amendment, CallContext, Conflict, ConflictView, Contradiction, EditView};

/// Most characters of a note to a decision.
const MOST_NOTE_CHARS: usize = 2_000;

fn reason(detail: Option<Detail>) -> ConflictReason {
    match detail {
        None => ConflictReason::Answer,
        Some(Detail::Side) => ConflictReason::Side,
        Some(Detail::Negation) => ConflictReason::Negation,
        Some(Detail::Number) => ConflictReason::Number,
        Some(Detail::Opposite) => ConflictReason::Opposite,
    }
}

/// The first statements of two edits that differ in a detail, by their places.
fn at_odds(one: &EditRecord, other: &EditRecord) -> Option<(Detail, [Option<u32>; 2])> {
    let readings = |record: &EditRecord| -> Vec<Reading> {
        record.reasoning.iter().map(|said| Reading::of(&said.statement)).collect()
    };
    let (ours, theirs) = (readings(one), readings(other));
    ours.iter().enumerate().find_map(|(n, a)| {
        let differs = |(m, b): (usize, &Reading)| {
            let difference = a.differs_from(b)?;
            Some((difference.detail, [u32::try_from(n).ok(), u32::try_from(m).ok()]))
        };
        theirs.iter().enumerate().find_map(differs)
    })
}

/// A pair, the one that was there first in front.
fn pair(
    codebook: &CodebookName,
    (edit, other): (&EditRecord, &EditRecord),
    (reason, [says, other_says]): (ConflictReason, [Option<u32>; 2]),
) -> NewConflict {
    let codebook = codebook.clone();
    let (own, others) = (edit.known_as(), other.known_as());
    if others < own {
        let (edits, said) = ([others, own], [SaidDigest::of(other), SaidDigest::of(edit)]);
        NewConflict { codebook, edits, said, reason, statements: [other_says, says] }
    } else {
        let (edits, said) = ([own, others], [SaidDigest::of(edit), SaidDigest::of(other)]);
        NewConflict { codebook, edits, said, reason, statements: [says, other_says] }
    }
}

/// Whether an edit is another than this one, is its newest version, and stands.
fn stands_beside(snapshot: &Snapshot, own: EditId, record: &EditRecord) -> bool {
    record.known_as() != own
        && snapshot.superseded_by(record.id).is_none()
        && snapshot.newest_version(record.known_as()) == Some(record.id)
}

/// What is said of the same picture and is at odds with an edit, whatever was asked.
fn of_picture(codebook: &CodebookName, snapshot: &Snapshot, edit: &EditRecord) -> Vec<NewConflict> {
    let others = snapshot
        .edits()
        .filter(|other| other.image.id == edit.image.id && stands_beside(snapshot, edit.known_as(), other));
    let at_odds = |other: &Arc<EditRecord>| {
        let (detail, places) = at_odds(edit, other)?;
        Some(pair(codebook, (edit, other.as_ref()), (reason(Some(detail)), places)))
    };
    others.filter_map(at_odds).collect()
}

impl QueryPipeline<'_> {
    /// Edits of the live state that answer the question of one of them otherwise, where the model bears out
    /// what each says on the picture of the other.
    ///
    /// # Errors
    /// A busy or failing engine.
    async fn contradictions(
        &self,
        edit: &Arc<EditRecord>,
        picture: &Picture,
    ) -> Result<Vec<NewConflict>, EditorError> {
        let least = self.core.config().retrieval.verify.min_support;
        let Some(found) = self.nearby(picture, &edit.question).await? else { return Ok(Vec::new()) };
        let (snapshot, apart) = (found.snapshot(), found.telling_apart(self));
        let mut seen = HashSet::new();
        let answers = found.facts().iter().filter(|fact| fact.kind == EntryKind::Answer);
        let others: Vec<&EditRecord> = answers
            .flat_map(|fact| &fact.edit_ids)
            .filter_map(|id| snapshot.edit(*id))
            .filter(|record| stands_beside(snapshot, edit.known_as(), record) && seen.insert(record.id))
            .map(Arc::as_ref)
            .collect();
        let mut asked = others.clone();
        asked.push(edit);
        let named = apart.same_questions(&asked).await?;
        let disputed = |other: &&EditRecord| {
            named.get(&other.id) == named.get(&edit.id) && !same(&other.answer, &edit.answer)
        };
        let mut pairs = Vec::new();
        let ours = Grounds::new(edit, least);
        for other in others.into_iter().filter(disputed) {
            let theirs = Grounds::new(other, least);
            let holds = other.image.id == edit.image.id
                || (apart.support(&theirs, picture).await?.is_some_and(|p| p > least)
                    && match apart.picture_of(other).await? {
                        Some(shown) => apart.support(&ours, &shown).await?.is_some_and(|p| p > least),
                        None => false,
                    });
            if holds {
                let (detail, places) = at_odds(edit, other).unzip();
                let why = (reason(detail), places.unwrap_or_default());
                pairs.push(pair(self.codebook, (edit, other), why));
            }
        }
        Ok(pairs)
    }
}

impl EditPipeline<'_> {
    /// The pairs that an edit is one of, of what stands in a state, whether it is stored there or not.
    async fn pairs(
        &self,
        snapshot: &Snapshot,
        record: &Arc<EditRecord>,
        picture: &Picture,
    ) -> Result<Vec<NewConflict>, EditorError> {
        let config = self.core.config();
        let mut pairs = Vec::new();
        if !config.conflicts.find {
            return Ok(pairs);
        }
        if config.retrieval.verify.enabled {
            let (core, codebook, call) = (self.core, self.codebook, self.call);
            let pipeline = QueryPipeline { core, codebook, call, events: None };
            pairs = Box::pin(pipeline.contradictions(record, picture)).await?;
        }
        pairs.extend(of_picture(self.codebook, snapshot, record));
        let mut once = HashSet::new();
        pairs.retain(|pair| once.insert(pair.edits));
        Ok(pairs)
    }

    /// Looks for edits that contradict one that was just stored, and keeps what is found. What goes wrong
    /// here is told in the log: the edit is made.
    pub(crate) async fn find_contradictions(&self, edit: EditId, picture: &Picture) {
        if let Err(error) = self.contradictions_of(edit, picture).await {
            tracing::warn!(%error, %edit, "it was not looked for edits that contradict this one");
        }
    }

    async fn contradictions_of(&self, edit: EditId, picture: &Picture) -> Result<(), EditorError> {
        let Some(book) = self.core.existing(self.codebook)? else { return Ok(()) };
        let snapshot = book.snapshot();
        let Some(record) = snapshot.edit(edit).filter(|_| snapshot.superseded_by(edit).is_none()) else {
            return Ok(());
        };
        let pairs = self.pairs(&snapshot, record, picture).await?;
        let (core, codebook, known_as) = (Arc::clone(self.core), self.codebook.clone(), record.known_as());
        let state = Arc::clone(&snapshot);
        // What doesn't stand now is not held against it, and may stand again.
        let unseen = move |other: EditId| {
            state.newest_version(other).is_none_or(|newest| state.superseded_by(newest).is_some())
        };
        let said = SaidDigest::of(record);
        let keep = move || core.conflict_log().found(&codebook, (known_as, &said), pairs, unseen);
        blocking(move || Ok(keep()?)).await?;
        Ok(())
    }

    /// What would contradict an edit that isn't stored, in this state. Those about the same picture and
    /// question are told already.
    ///
    /// # Errors
    /// A busy or failing engine.
    pub(crate) async fn foreseen_contradictions(
        &self,
        (snapshot, conflicts): (&Snapshot, &mut Vec<Conflict>),
        record: &Arc<EditRecord>,
        picture: &Picture,
    ) -> Result<(), EditorError> {
        for pair in self.pairs(snapshot, record, picture).await? {
            let (own, other) = if pair.edits[0] == record.known_as() { (0, 1) } else { (1, 0) };
            let newest = snapshot.newest_version(pair.edits[other]).and_then(|id| snapshot.edit(id));
            let Some(there) = newest else { continue };
            let found = Contradiction {
                id: None,
                reason: pair.reason,
                says: says(record, pair.statements[own]),
                other_says: says(there, pair.statements[other]),
                resolution: None,
            };
            tell_of(conflicts, Conflict::from(there.as_ref()), found);
        }
        Ok(())
    }
}

/// Tells of a contradiction, with what is told of the other edit already.
fn tell_of(conflicts: &mut Vec<Conflict>, other: Conflict, found: Contradiction) {
    match conflicts.iter_mut().find(|known| known.edit_id == other.edit_id) {
        Some(known) => known.found = Some(found),
        None => conflicts.push(Conflict { found: Some(found), ..other }),
    }
}

/// What an edit says against another.
fn says(record: &EditRecord, place: Option<u32>) -> String {
    let said = place.and_then(|place| record.reasoning.get(place as usize));
    said.map_or_else(|| record.answer.clone(), |said| said.statement.clone())
}

/// A pair as it is now; `None` where one of the edits is not live any more or says something else.
fn shown(snapshot: &Snapshot, pair: FoundConflict) -> Option<ConflictView> {
    let newest = |at: usize| {
        let newest = snapshot.edit(snapshot.newest_version(pair.edits[at])?)?;
        (SaidDigest::of(newest) == pair.said[at]).then_some(newest)
    };
    let (first, second) = (newest(0)?, newest(1)?);
    let edits = [Conflict::from(first.as_ref()), Conflict::from(second.as_ref())];
    let says = [says(first, pair.statements[0]), says(second, pair.statements[1])];
    let open = is_open(snapshot, &pair);
    Some(ConflictView { pair, edits, says, open })
}

/// Whether both edits of a pair stand and nothing was decided.
fn is_open(snapshot: &Snapshot, pair: &FoundConflict) -> bool {
    let stands = |id: &EditId| {
        snapshot.newest_version(*id).is_some_and(|newest| snapshot.superseded_by(newest).is_none())
    };
    // Who was kept may have been undone since: then it is open again.
    let decided = pair.resolution().is_some_and(|one| one.decision == Decision::KeepBoth);
    !decided && pair.edits.iter().all(stands)
}

/// Tells an edit of what contradicts it.
pub(crate) fn tell(core: &Core, codebook: &CodebookName, snapshot: &Snapshot, view: &mut EditView) {
    let own = view.record.known_as();
    for pair in core.conflict_log().of_edit(codebook, own) {
        let Some(ConflictView { pair, edits, says: [first, second], .. }) = shown(snapshot, pair) else {
            continue;
        };
        let [a, b] = edits;
        let ((other, says), other_says) =
            if a.edit_id == own { ((b, first), second) } else { ((a, second), first) };
        let resolution = pair.resolution().cloned();
        let found = Contradiction { id: Some(pair.id), reason: pair.reason, says, other_says, resolution };
        tell_of(&mut view.conflicts, other, found);
    }
}

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
            let newest = snapshot.and_then(|state| state.newest_version(kept)).map(|version| vec![version]);
            let amendment = Amendment {
                supersedes: vec![view.pair.edits[1 - at]],
                author: by.clone(),
                expected: newest,
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

#[cfg(test)]
mod tests;
