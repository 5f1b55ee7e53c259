//! A new version of an edit: another answer, other reasons or other labels about the same picture and
//! question. What is not said stays as the version before has it.

use std::sync::Arc;

use reasonedit_codebook::{
    Codebook, CodebookError, EditId, EditRecord, EvidenceSource, Relations, Statement, Version,
};
use reasonedit_text::same;
use time::OffsetDateTime;

use super::{EditPipeline, outcome, relations};
use crate::core::Turn;
use crate::error::{EditorError, FieldError};
use crate::types::{Amendment, EditRequest, EditView, ImageSource, StatementInput};
use crate::validate;

/// The version that a new one is made of.
pub(super) struct Base {
    record: Arc<EditRecord>,
    /// Whether its statements and their evidence stay.
    pub(super) keeps_reasoning: bool,
}

impl Base {
    /// What was stored.
    pub(super) fn record(&self) -> &EditRecord {
        &self.record
    }

    /// How the new version will stand to others: it takes the place of the one before if it answers as that
    /// did, and is the newest of all if not.
    fn relations(&self, answer: &str) -> Relations {
        let record = &self.record;
        let said_at = if same(&record.answer, answer) { record.said_at() } else { OffsetDateTime::now_utc() };
        let version =
            Version { of: record.known_as(), after: record.id, number: record.version() + 1, said_at };
        Relations {
            supersedes: Vec::new(),
            on_conflict: record.relations.on_conflict,
            version: Some(version),
            shares_keys: true,
        }
    }

    /// The version as it would be asked for if it were an edit of its own.
    fn request(&self, amendment: Amendment) -> EditRequest {
        let record = &self.record;
        EditRequest {
            image: ImageSource::Known(record.image.id),
            question: record.question.clone(),
            answer: amendment.answer.unwrap_or_else(|| record.answer.clone()),
            reasoning: amendment.reasoning.unwrap_or_else(|| said(record)),
            choices: record.choices.clone(),
            author: amendment.author,
            tags: amendment.tags.unwrap_or_else(|| record.tags.clone()),
            metadata: amendment.metadata.unwrap_or_else(|| record.metadata.clone()),
            supersedes: amendment.supersedes,
            on_conflict: Some(record.relations.on_conflict),
            verify: amendment.verify,
            idempotency: amendment.idempotency,
            warnings: amendment.warnings,
        }
    }

    /// Whether a request says what this version says.
    pub(super) fn says(&self, request: &EditRequest) -> bool {
        let record = &self.record;
        self.keeps_reasoning
            && same(&record.answer, &request.answer)
            && record.tags == request.tags
            && record.metadata == request.metadata
    }
}

/// The reasoning of a version as a person gave it.
fn said(record: &EditRecord) -> Vec<StatementInput> {
    let of_user = |said: &Statement| {
        let drawn = said.evidence.iter().filter(|evidence| evidence.source == EvidenceSource::User);
        drawn.map(|evidence| evidence.area.into()).collect()
    };
    let statement =
        |said: &Statement| StatementInput { statement: said.statement.clone(), evidence: of_user(said) };
    record.reasoning.iter().map(statement).collect()
}

/// The newest version of a live edit, if that is one of the `expected` where there are such.
///
/// # Errors
/// `UnknownEdit`, `Erased`, `OtherVersion`.
fn newest(book: &Codebook, id: EditId, expected: Option<&[EditId]>) -> Result<Arc<EditRecord>, EditorError> {
    let snapshot = book.snapshot();
    let found = snapshot.newest_version(id).and_then(|newest| snapshot.edit(newest));
    let Some(record) = found else {
        return Err(match book.erased(id) {
            Some(erasure) => CodebookError::Erased { edit: id, at: erasure.at, by: erasure.by }.into(),
            None => EditorError::UnknownEdit(id),
        });
    };
    match expected {
        Some(expected) if !expected.contains(&record.id) => {
            Err(CodebookError::OtherVersion { edit: record.known_as(), newest: record.id }.into())
        }
        _ => Ok(Arc::clone(record)),
    }
}

impl EditPipeline<'_> {
    /// Makes a new version of an edit: durable and live when this returns. One that says nothing new is not
    /// made.
    ///
    /// # Errors
    /// As for an edit; an edit that isn't live, or has another newest version than the amendment is for.
    pub(crate) async fn amend(
        &self,
        id: EditId,
        amendment: Amendment,
        stored_as: Option<EditId>,
    ) -> Result<EditView, EditorError> {
        let began = std::time::Instant::now();
        let _turn = match &amendment.idempotency {
            Some(key) => Some(self.core.turn(self.codebook, Turn::Request(key.key.clone())).await),
            None => None,
        };
        if let Some(replay) = self.replay_of(amendment.idempotency.as_ref()).await? {
            return Ok(replay);
        }
        let (base, request, relations) = self.amended(id, amendment)?;
        if base.says(&request) && relations.supersedes.is_empty() {
            return outcome::view(self.core, self.codebook, base.record.id).await;
        }
        Box::pin(self.make(request, relations, (Some(base), stored_as), began)).await
    }

    /// The version that an amendment is made of, and the new one as a checked request with its relations.
    ///
    /// # Errors
    /// An edit that isn't live, or has another newest version than the amendment is for; unusable input.
    pub(super) fn amended(
        &self,
        id: EditId,
        amendment: Amendment,
    ) -> Result<(Base, EditRequest, Relations), EditorError> {
        let book = self.core.existing(self.codebook)?.ok_or(EditorError::UnknownEdit(id))?;
        let record = newest(&book, id, amendment.expected.as_deref())?;
        let keeps_reasoning = amendment.reasoning.as_ref().is_none_or(|given| *given == said(&record));
        let base = Base { record, keeps_reasoning };
        let mut request = base.request(amendment);
        validate::repair::edit(&mut request);
        validate::edit(&request, &self.core.config().limits)?;
        // Another picture can't have come meanwhile, but it can be erased.
        if !self.core.pictures().store().contains(base.record.image.id) {
            let detail = "the picture of this edit is not stored any more";
            return Err(EditorError::Invalid(vec![FieldError::new("", detail)]));
        }
        let named = relations::asked_for(self.core, self.codebook, &request)?.supersedes;
        let relations = Relations { supersedes: named, ..base.relations(request.answer.trim()) };
        Ok((base, request, relations))
    }
}
