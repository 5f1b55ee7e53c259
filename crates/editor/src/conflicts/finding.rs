//! Looking for edits that contradict one: among those that are stored, or before it is.

use std::collections::HashSet;
use std::sync::Arc;

use reasonedit_codebook::{CodebookName, EditId, EditRecord, EntryKind, Snapshot};
use reasonedit_conflicts::{ConflictReason, NewConflict, SaidDigest};
use reasonedit_contradiction::{Detail, Reading};
use reasonedit_text::same;
use reasonedit_verification::Grounds;

use super::telling::{says, tell_of};
use crate::error::EditorError;
use crate::pictures::{DecodedPicture, blocking};
use crate::query::QueryPipeline;
use crate::types::{Conflict, Contradiction};

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
        picture: &DecodedPicture,
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
        let named = apart.same_questions(&asked, self.core.config().conflicts.same_question).await?;
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

    /// The pairs that an edit is one of, of what stands in a state, whether it is stored there or not.
    async fn pairs(
        &self,
        snapshot: &Snapshot,
        record: &Arc<EditRecord>,
        picture: &DecodedPicture,
    ) -> Result<Vec<NewConflict>, EditorError> {
        let config = self.core.config();
        let mut pairs = Vec::new();
        if !config.conflicts.find {
            return Ok(pairs);
        }
        if config.retrieval.verify.enabled {
            pairs = Box::pin(self.contradictions(record, picture)).await?;
        }
        pairs.extend(of_picture(self.codebook, snapshot, record));
        let mut once = HashSet::new();
        pairs.retain(|pair| once.insert(pair.edits));
        Ok(pairs)
    }

    /// Looks for edits that contradict one that was just stored, and keeps what is found. What goes wrong
    /// here is told in the log: the edit is made.
    pub(crate) async fn find_contradictions(&self, edit: EditId, picture: &DecodedPicture) {
        if let Err(error) = self.contradictions_of(edit, picture).await {
            tracing::warn!(%error, %edit, "it was not looked for edits that contradict this one");
        }
    }

    async fn contradictions_of(&self, edit: EditId, picture: &DecodedPicture) -> Result<(), EditorError> {
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
        picture: &DecodedPicture,
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
