//! A key of the codebook: one member, or several that merged.

use std::sync::Arc;

use reasonedit_imaging::PixelBox;
use serde::Serialize;

use crate::geometry;
use crate::ids::{EditId, ImageId, MemberId};
use crate::member::{EntryKind, Member, MemberPosition};

/// A key vector: a lone member's own, or the mean of several. Shared, never copied.
#[derive(Debug, Clone)]
pub enum KeyVector {
    /// The member's key itself.
    Member(Arc<Member>),
    /// A mean of members' keys.
    Mean(Arc<[f32]>),
}

impl KeyVector {
    /// Its numbers.
    pub fn as_slice(&self) -> &[f32] {
        match self {
            Self::Member(member) => &member.key,
            Self::Mean(mean) => mean,
        }
    }
}

/// A value of a key, with where it comes from.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sentence {
    /// The sentence itself.
    pub value: String,
    /// What it says.
    pub kind: EntryKind,
    /// The edits that contributed it to this key, in order.
    pub edit_ids: Vec<EditId>,
    /// The image of the first of them.
    pub image_id: ImageId,
    /// The part of that image that the first of them was made from; `None` is the whole.
    pub evidence: Option<PixelBox>,
}

/// A key with its values (an entry of the paper's codebook C).
#[derive(Debug, Clone)]
pub struct Key {
    /// Id of its first member.
    pub id: MemberId,
    /// Place of its first member.
    pub place: MemberPosition,
    /// Its members in order.
    pub members: Vec<MemberId>,
    /// The union of its members' sentences in order.
    pub sentences: Vec<Sentence>,
    /// ρ: the least radius that covers every member's ball.
    pub radius: f32,
    /// What its first member says.
    pub kind: EntryKind,
    row: KeyVector,
}

impl Key {
    /// The key of these members in this state; `None` of none.
    pub fn new(members: &[Arc<Member>], state: &KeyState) -> Option<Self> {
        let first = members.first()?;
        let mut sentences: Vec<Sentence> = Vec::new();
        for member in members {
            if let Some(known) = sentences.iter_mut().find(|s| s.value == member.sentence) {
                if known.edit_ids.last() != Some(&member.edit) {
                    known.edit_ids.push(member.edit);
                }
            } else {
                sentences.push(Sentence {
                    value: member.sentence.clone(),
                    kind: member.kind,
                    edit_ids: vec![member.edit],
                    image_id: member.image,
                    evidence: member.area,
                });
            }
        }
        Some(Self {
            id: first.id,
            place: first.place(),
            members: members.iter().map(|m| m.id).collect(),
            sentences,
            radius: state.radius,
            kind: first.kind,
            row: state.row.clone(),
        })
    }

    /// This key with another vector.
    pub fn moved_to(&self, vector: Vec<f32>) -> Self {
        Self { row: KeyVector::Mean(vector.into()), ..self.clone() }
    }

    /// The key vector, `Embedding::dim` numbers.
    pub fn vector(&self) -> &[f32] {
        self.row.as_slice()
    }
}

/// Vector and radius of a key after some of its members.
#[derive(Debug, Clone)]
pub struct KeyState {
    /// The vector.
    pub row: KeyVector,
    /// ρ, as [`Key::radius`].
    pub radius: f32,
    /// The vector's norm.
    pub norm: f64,
}

impl KeyState {
    /// The key of exactly these members (method section 4): their mean, and the least radius that covers
    /// their balls.
    pub fn of(members: &[Arc<Member>]) -> Option<Self> {
        let first = members.first()?;
        if members.len() == 1 {
            let norm = geometry::norm(&first.key);
            return Some(Self { row: KeyVector::Member(Arc::clone(first)), radius: first.radius, norm });
        }
        let mut sum = vec![0.0f64; first.key.len()];
        for member in members {
            for (sum, x) in sum.iter_mut().zip(&member.key) {
                *sum += f64::from(*x);
            }
        }
        let count = members.len() as f64;
        let mean: Arc<[f32]> = sum.iter().map(|sum| (sum / count) as f32).collect();
        let radius = members
            .iter()
            .map(|m| geometry::distance(&mean, &m.key) + f64::from(m.radius))
            .fold(0.0, f64::max);
        let norm = geometry::norm(&mean);
        Some(Self { row: KeyVector::Mean(mean), radius: geometry::round_up(radius), norm })
    }
}
