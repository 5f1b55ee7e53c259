//! A member: what one edit contributed to the codebook at one ordinal.

use std::borrow::Borrow;

use reasonedit_imaging::PixelBox;
use serde::{Deserialize, Serialize};

use crate::ids::{EditId, ImageId, MemberId};
use crate::{CodebookError, Result};

/// What an entry says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EntryKind {
    /// The right answer to the edited question.
    Answer,
    /// A statement of the reasoning.
    Statement,
}

/// Place of a member in the fold: by edit, then by ordinal within the edit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MemberPosition {
    /// The edit.
    pub edit: EditId,
    /// Number of the member within its edit, from 0.
    pub ordinal: u32,
}

/// A key, its value and its radius as one edit made them (k, v and ρ of the paper's codebook C).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Member {
    /// [`MemberId::derive`] of the two fields that follow.
    pub id: MemberId,
    /// The edit it belongs to.
    pub edit: EditId,
    /// Its number within the edit, from 0 without gaps. 0 is the answer entry.
    pub ordinal: u32,
    /// What its sentence says.
    pub kind: EntryKind,
    /// Index into the edit's reasoning, for statements.
    pub statement: Option<u32>,
    /// The image that the key was made from.
    pub image: ImageId,
    /// The part of it; `None` is the whole image.
    pub area: Option<PixelBox>,
    /// The value.
    pub sentence: String,
    /// E(x, t): vision part, then λ times the sentence part, `Embedding::dim` numbers.
    pub key: Vec<f32>,
    /// ρ, in the units of the key space (paper appendix C).
    pub radius: f32,
}

/// Norms above this would overflow squares in f32; no embedding comes near.
pub const MAX_NORM: f64 = 1e15;

impl Member {
    /// Its place in the fold.
    pub fn place(&self) -> MemberPosition {
        MemberPosition { edit: self.edit, ordinal: self.ordinal }
    }

    /// Checks what the fold relies on.
    ///
    /// # Errors
    /// `DimensionMismatch` if the key has not `dim` numbers, `InvalidMember` if id, key or radius are not as
    /// they must be.
    pub fn validate(&self, dim: usize) -> Result<()> {
        let invalid = |reason| CodebookError::InvalidMember { member: self.id, reason };
        if self.key.len() != dim {
            return Err(CodebookError::DimensionMismatch { expected: dim, actual: self.key.len() });
        }
        if self.id != MemberId::derive(self.edit, self.ordinal) {
            return Err(invalid("its id does not follow from its edit and ordinal"));
        }
        if !self.radius.is_finite() || self.radius < 0.0 || f64::from(self.radius) > MAX_NORM {
            return Err(invalid("its radius is not a finite number of at least 0"));
        }
        if !usable(&self.key) {
            return Err(invalid("its key has a number that is not finite, or is too large"));
        }
        if (self.kind == EntryKind::Statement) != self.statement.is_some() {
            return Err(invalid("a statement needs its index, an answer has none"));
        }
        Ok(())
    }
}

/// Whether distances to this vector are finite.
pub fn usable(vector: &[f32]) -> bool {
    vector.iter().all(|x| x.is_finite()) && crate::geometry::norm(vector) <= MAX_NORM
}

/// Checks the members of one edit: numbered 0, 1, 2… and each valid.
///
/// # Errors
/// As [`Member::validate`]; `InvalidMember` if one belongs to another edit or is out of turn.
pub fn validate_edit(edit: EditId, members: &[impl Borrow<Member>], dim: usize) -> Result<()> {
    for (ordinal, member) in members.iter().map(Borrow::borrow).enumerate() {
        if member.edit != edit {
            return Err(CodebookError::InvalidMember {
                member: member.id,
                reason: "it belongs to another edit",
            });
        }
        if member.ordinal as usize != ordinal {
            return Err(CodebookError::InvalidMember {
                member: member.id,
                reason: "the members of an edit are numbered from 0 without gaps",
            });
        }
        member.validate(dim)?;
    }
    Ok(())
}
