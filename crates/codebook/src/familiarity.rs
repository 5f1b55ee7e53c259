//! Whether a picture is like any that the codebook has seen: the pictures of its live edits in the picture's
//! part of keys alone, where no text makes up for a picture that is like none.
//!
//! A picture is held against the distances between pairs of the codebook's own: these span what it is about,
//! however densely single cases lie in it (the slices of one study, say), which the distances to the nearest
//! would not.

use std::sync::Arc;

use serde::Serialize;

use crate::config::{CodebookConfig, GateConfig};
use crate::ids::{EditId, ImageId, MemberId};
use crate::key::{Key, KeyState};
use crate::member::{EntryKind, Member};
use crate::records::Embedding;
use crate::sorted::SortedMap;
use crate::space::{Space, SpaceView};

/// Pictures whose pairs are taken at most.
const SAMPLE: usize = 500;
/// How layers are named whose state of a picture depends on the text beside it: no picture can be told from
/// others by that alone.
const OF_PAIRS: &str = "language.";

/// What a picture was held against.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Familiarity {
    /// Distance to the nearest picture of the codebook, in the picture's part of keys.
    pub distance: f64,
    /// Beyond it the picture is like none of them.
    pub threshold: f64,
}

impl Familiarity {
    /// Whether the picture is like any of the codebook's.
    pub fn familiar(&self) -> bool {
        self.distance <= self.threshold
    }
}

/// See the module's description. Copies share structure.
#[derive(Debug)]
pub(crate) struct SeenPictures {
    /// Length of the picture's part of keys; 0 where none is of the picture alone, and where nobody asks.
    vision_dim: usize,
    space: Space,
    /// The live edits about each, and the picture of each.
    edits: SortedMap<(ImageId, EditId), ()>,
    images: SortedMap<EditId, ImageId>,
}

impl SeenPictures {
    pub(crate) fn new(embedding: Option<&Embedding>, config: &CodebookConfig) -> Self {
        // Nothing is kept up to date that nobody asks for.
        let wanted = config.retrieval.familiarity;
        let embedding = embedding.filter(|of| wanted && !of.tap.starts_with(OF_PAIRS));
        let of_pictures = embedding.map(|embedding| Embedding { sentence_dim: 0, ..embedding.clone() });
        let gate = GateConfig { reservoir: config.gate.reservoir.min(SAMPLE), ..config.gate };
        Self {
            vision_dim: embedding.map_or(0, |embedding| embedding.vision_dim as usize),
            space: Space::new(SpaceView::JOINT, of_pictures.as_ref(), &CodebookConfig { gate, ..*config }),
            edits: SortedMap::default(),
            images: SortedMap::default(),
        }
    }

    pub(crate) fn copy(&self) -> Self {
        Self {
            vision_dim: self.vision_dim,
            space: self.space.copy(),
            edits: self.edits.clone(),
            images: self.images.clone(),
        }
    }

    /// Takes in the pictures of these edits' members.
    pub(crate) fn add<'m>(&mut self, members: impl IntoIterator<Item = &'m Arc<Member>>) {
        if self.vision_dim == 0 {
            return;
        }
        let mut new = Vec::new();
        // The answer is paired with the whole picture.
        for member in members.into_iter().filter(|m| m.kind == EntryKind::Answer && m.area.is_none()) {
            let first = !self.seen(member.image);
            self.edits.insert((member.image, member.edit), ());
            self.images.insert(member.edit, member.image);
            if first && let Some(key) = self.key(member) {
                new.push((key.id, Some(Arc::new(key))));
            }
        }
        self.space.follow(&new);
    }

    /// Forgets an edit about a picture.
    pub(crate) fn remove(&mut self, edit: EditId) {
        let Some(image) = self.images.remove(&edit) else { return };
        self.edits.remove(&(image, edit));
        if !self.seen(image) {
            self.space.follow(&[(picture_id(image), None)]);
        }
    }

    /// How like the codebook's pictures one with this key is; `None` where these are too few to tell, or no
    /// two of them differ.
    pub(crate) fn of(&self, key: &[f32], config: &CodebookConfig) -> Option<Familiarity> {
        if self.space.index().len() < config.familiarity.pictures {
            return None;
        }
        let threshold = self.space.threshold(config.familiarity.percentile, false, || None)?;
        let nearest = self.space.nearest(key.get(..self.vision_dim)?, 1, false);
        let distance = nearest.first()?.score;
        (threshold > 0.0).then_some(Familiarity { distance, threshold })
    }

    /// Whether a live edit is about this picture.
    fn seen(&self, image: ImageId) -> bool {
        let first = (image, EditId::from_bytes([0; 16]));
        self.edits.from(&first).next().is_some_and(|((other, _), ())| *other == image)
    }

    /// A picture as a key of the space: its part of a member's key, under an id of its own.
    fn key(&self, member: &Member) -> Option<Key> {
        let picture = Member {
            id: picture_id(member.image),
            key: member.key.get(..self.vision_dim)?.to_vec(),
            sentence: String::new(),
            ..member.clone()
        };
        let members = [Arc::new(picture)];
        Key::new(&members, &KeyState::of(&members)?)
    }
}

/// The id of a picture's key.
fn picture_id(image: ImageId) -> MemberId {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&image.0[..16]);
    MemberId::from_bytes(bytes)
}

#[cfg(test)]
mod tests;
