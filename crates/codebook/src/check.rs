//! What an edit has to be before it is stored.

use std::borrow::Borrow;

use crate::member::{self, Member};
use crate::records::{EditRecord, Embedding, survives_json};
use crate::snapshot::Snapshot;
use crate::{CodebookError, Result};

/// Whether an edit and its members can be stored with keys of this embedding, as far as they show it by
/// themselves.
///
/// # Errors
/// `Conflict` for an edit that names another embedding or has no entries, `DimensionMismatch`,
/// `InvalidMember` and `InvalidRecord`.
pub fn check_edit(record: &EditRecord, members: &[impl Borrow<Member>], embedding: &Embedding) -> Result<()> {
    if record.embedding != embedding.id {
        return Err(CodebookError::Conflict("the edit names another embedding than its keys".to_owned()));
    }
    if members.is_empty() {
        return Err(CodebookError::Conflict("an edit has at least its answer entry".to_owned()));
    }
    member::validate_edit(record.id, members, embedding.dim())?;
    let statements = record.reasoning.len() as u32;
    let strays = |member: &&Member| member.statement.is_some_and(|s| s >= statements);
    if let Some(member) = members.iter().map(Borrow::borrow).find(strays) {
        return Err(CodebookError::InvalidMember {
            member: member.id,
            reason: "the reasoning has no such statement",
        });
    }
    if !survives_json(record) || !survives_json(embedding) {
        return Err(CodebookError::InvalidRecord("a number is not finite, or metadata is nested too deeply"));
    }
    Ok(())
}

/// Whether keys of this embedding can stand beside those of a codebook.
///
/// # Errors
/// `EmbeddingMismatch`.
pub(crate) fn require_embedding(current: &Snapshot, asked: &Embedding) -> Result<()> {
    match current.embedding() {
        Some(stored) if stored.id != asked.id || !stored.same_space(asked) => Err(mismatch(stored, asked)),
        _ => Ok(()),
    }
}

fn mismatch(stored: &Embedding, asked: &Embedding) -> CodebookError {
    CodebookError::EmbeddingMismatch { stored: Box::new(stored.clone()), asked: Box::new(asked.clone()) }
}
