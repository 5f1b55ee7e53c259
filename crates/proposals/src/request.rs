//! What is proposed as what the editor is asked for, and the other way round.

use reasonedit_codebook::{CodebookName, EditId};
use reasonedit_editor_types::{Amendment, EditRequest, IdempotencyKey, ImageSource};
use time::OffsetDateTime;
use ulid::Ulid;

use crate::{Proposal, ProposalState, ProposalStep, ProposedContent, ProposedVersion, RequestKey, StepKind};

impl From<&EditRequest> for ProposedContent {
    /// A checked request as it is kept.
    fn from(request: &EditRequest) -> Self {
        Self {
            image: request.image.id(),
            question: request.question.trim().to_owned(),
            answer: request.answer.trim().to_owned(),
            reasoning: request.reasoning.clone(),
            choices: request.choices.iter().map(|choice| choice.trim().to_owned()).collect(),
            tags: request.tags.clone(),
            metadata: request.metadata.clone(),
            supersedes: request.supersedes.clone(),
            on_conflict: request.on_conflict,
            verify: request.verify,
            warnings: request.warnings.clone(),
        }
    }
}

impl Proposal {
    /// A checked request as a proposal of this person's. `amends`: the edit, by the id that people know, and
    /// its version that this one is made of.
    pub fn new(
        id: Ulid,
        codebook: CodebookName,
        by: Option<String>,
        request: &EditRequest,
        amends: Option<(EditId, EditId)>,
    ) -> Self {
        let (at, key) = (OffsetDateTime::now_utc(), request.idempotency.as_ref());
        Self {
            id,
            codebook,
            by: by.clone(),
            author: request.author.clone(),
            amends: amends.map(|(edit, _)| edit),
            newest: ProposedVersion {
                number: 1,
                at,
                by: by.clone(),
                content: request.into(),
                made_of: amends.map(|(_, version)| version),
            },
            state: ProposalState::Waiting,
            steps: vec![ProposalStep { at, by, what: StepKind::Proposed, version: 1 }],
            idempotency: key.map(|key| RequestKey { key: key.key.clone(), body: key.body }),
        }
    }

    /// What it says now as the request that it was.
    pub fn request(&self) -> EditRequest {
        let content = self.newest.content.clone();
        EditRequest {
            image: ImageSource::Known(content.image),
            question: content.question,
            answer: content.answer,
            reasoning: content.reasoning,
            choices: content.choices,
            author: self.author.clone(),
            tags: content.tags,
            metadata: content.metadata,
            supersedes: content.supersedes,
            on_conflict: content.on_conflict,
            verify: content.verify,
            idempotency: self.key(),
            warnings: content.warnings,
        }
    }

    /// What it says now as the amendment that it was: all of it, so that nothing depends on what it leaves
    /// out.
    pub fn amendment(&self) -> Amendment {
        let content = self.newest.content.clone();
        Amendment {
            answer: Some(content.answer),
            reasoning: Some(content.reasoning),
            tags: Some(content.tags),
            metadata: Some(content.metadata),
            author: self.author.clone(),
            supersedes: content.supersedes,
            verify: content.verify,
            expected: self.newest.made_of.map(|version| vec![version]),
            idempotency: self.key(),
            warnings: content.warnings,
        }
    }

    /// The same with other words, of whatever version of an edit: it has yet to be checked.
    #[must_use]
    pub fn reworded(&self, change: Amendment) -> Self {
        let mut next = self.clone();
        let content = &mut next.newest.content;
        content.answer = change.answer.unwrap_or_else(|| content.answer.clone());
        content.reasoning = change.reasoning.unwrap_or_else(|| content.reasoning.clone());
        content.tags = change.tags.unwrap_or_else(|| content.tags.clone());
        content.metadata = change.metadata.unwrap_or_else(|| content.metadata.clone());
        if !change.supersedes.is_empty() {
            content.supersedes = change.supersedes;
        }
        content.warnings = change.warnings;
        (next.newest.made_of, next.idempotency) = (None, None);
        next
    }

    fn key(&self) -> Option<IdempotencyKey> {
        let RequestKey { key, body } = self.idempotency.clone()?;
        Some(IdempotencyKey { key, body, former: Vec::new() })
    }
}
