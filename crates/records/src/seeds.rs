//! What the random choices behind keys are seeded by.

use reasonedit_imaging::PixelBox;
use serde::{Deserialize, Serialize};

use crate::ids::EditId;

/// What the random choices behind keys are seeded by: how pictures are augmented and texts paraphrased for a
/// radius, and which keys the gate's threshold is taken from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Seeds {
    /// Ids, which differ from codebook to codebook: keys of the first releases.
    #[default]
    Ids,
    /// What the choice is about. The same edits in the same order have the same radii and the same gate in
    /// every codebook.
    Content,
}

impl Seeds {
    /// Those of codebooks that begin now.
    pub const CURRENT: Self = Self::Content;
}

/// Seeds of the random choices about an edit.
#[derive(Debug, Clone, Copy)]
pub struct EditSeeds {
    /// What they are drawn by.
    pub rules: Seeds,
    /// The edit.
    pub edit: EditId,
}

impl EditSeeds {
    /// Of a picture's part, which is the `nth` augmentation of the edit and the `draw`th of this part.
    pub fn augmentation(self, picture: &[u8], area: Option<PixelBox>, nth: usize, draw: usize) -> u64 {
        match self.rules {
            Seeds::Ids => self.of_edit("augment", nth as u64),
            Seeds::Content => {
                let part = match area {
                    None => Vec::new(),
                    Some(PixelBox { x, y, width, height }) => {
                        [x, y, width, height].iter().flat_map(|number| number.to_le_bytes()).collect()
                    }
                };
                seed(&[b"augment", picture, &part, &(draw as u64).to_le_bytes()])
            }
        }
    }

    /// Of a text, which is the `nth` paraphrase of the edit and the `draw`th of this text.
    pub fn paraphrase(self, text: &str, nth: usize, draw: usize) -> u64 {
        match self.rules {
            Seeds::Ids => self.of_edit("paraphrase", 0).wrapping_add(nth as u64),
            Seeds::Content => seed(&[b"paraphrase", text.as_bytes(), &(draw as u64).to_le_bytes()]),
        }
    }

    fn of_edit(self, what: &str, index: u64) -> u64 {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.edit.0.to_bytes()).update(what.as_bytes()).update(&index.to_le_bytes());
        first_bytes(&hasher)
    }
}

/// A seed that follows from these parts.
fn seed(parts: &[&[u8]]) -> u64 {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
    }
    first_bytes(&hasher)
}

fn first_bytes(hasher: &blake3::Hasher) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    u64::from_le_bytes(first)
}

#[cfg(test)]
mod tests;
