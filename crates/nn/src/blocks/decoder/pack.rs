//! A batch of sequences laid out as the rows of one matrix.

use std::ops::Range;
use std::sync::Arc;

use candle_core::Tensor;

use super::Decoder;
use super::rope::{self, Position};
use crate::error::{NnError, Result};
use crate::sequence::{ImageFeatures, LogitsAt, Piece, Sequence};

/// A batch laid out as rows.
pub(super) struct Packed {
    /// Rows of each sequence.
    pub(super) rows: Vec<Range<usize>>,
    /// First row of each sequence, from its own beginning, that needs logits.
    pub(super) first_logits: Vec<usize>,
    /// Position of every row.
    pub(super) positions: Vec<Position>,
    /// Position behind each sequence.
    pub(super) next_positions: Vec<usize>,
    /// Hidden states before the first layer.
    pub(super) embedded: Tensor,
    /// What is added to the rows after the first layers.
    pub(super) deepstack: Vec<Tensor>,
}

impl Packed {
    pub(super) fn new(decoder: &Decoder, batch: &[Sequence]) -> Result<Self> {
        let (limit, vocabulary) = (decoder.max_positions, decoder.vocabulary);
        let mut rows = Vec::with_capacity(batch.len());
        let mut first_logits = Vec::with_capacity(batch.len());
        let mut positions = Vec::new();
        let mut next_positions = Vec::with_capacity(batch.len());
        let mut parts = Vec::new();
        // Row and features of every picture.
        let mut pictures = Vec::new();
        for sequence in batch {
            let past = sequence.past.as_deref();
            if past.is_some_and(|p| p.layers() != decoder.layers.len()) {
                return Err(NnError::Shape("the cache is of a model with another number of layers".into()));
            }
            let start = positions.len();
            let mut next = past.map_or(0, |p| p.next_position);
            for piece in &sequence.pieces {
                match piece {
                    Piece::Tokens(ids) if ids.is_empty() => {}
                    Piece::Tokens(ids) => {
                        if let Some(id) = ids.iter().find(|id| **id as usize >= vocabulary) {
                            return Err(NnError::Shape(format!(
                                "token {id} is beyond the vocabulary of {vocabulary}"
                            )));
                        }
                        positions.extend(rope::text_positions(next, ids.len()));
                        next += ids.len();
                        parts.push(decoder.embed(ids)?);
                    }
                    Piece::Instructed(..) => {
                        return Err(NnError::Shape(
                            "an instruction beside a picture: this model has no Q-Former".into(),
                        ));
                    }
                    Piece::Image(features) => {
                        if features.tokens.dims() != [features.len(), decoder.width] {
                            return Err(NnError::Shape("image features of another model".into()));
                        }
                        let (of_image, after) = decoder.rope.image(next, features.grid);
                        pictures.push((positions.len(), features));
                        positions.extend(of_image);
                        next = after;
                        parts.push(features.tokens.clone());
                    }
                }
            }
            let len = positions.len() - start;
            let total = len + past.map_or(0, |p| p.len);
            if total > limit {
                return Err(NnError::TooLong { tokens: total, limit });
            }
            if len == 0 {
                return Err(NnError::Shape("a sequence without new tokens".into()));
            }
            first_logits.push(match sequence.logits {
                LogitsAt::None => len,
                LogitsAt::Last => len - 1,
                LogitsAt::From(first) => first.min(len),
            });
            rows.push(start..positions.len());
            next_positions.push(next);
        }
        // A fresh tensor even for one part: the layers add to it in place.
        let embedded = Tensor::cat(&parts, 0)?.force_contiguous()?;
        let depth = pictures.iter().map(|(_, f)| f.deepstack.len()).max().unwrap_or(0);
        let deepstack = (0..depth).map(|i| spread(i, &pictures, &embedded)).collect::<Result<_>>()?;
        Ok(Self { rows, first_logits, positions, next_positions, embedded, deepstack })
    }

    /// Rows that need logits, by sequence.
    pub(super) fn logits_rows(&self) -> Vec<Range<usize>> {
        self.rows.iter().zip(&self.first_logits).map(|(rows, first)| rows.start + first..rows.end).collect()
    }
}

/// `DeepStack` features of depth `i` in the rows of their pictures, zero elsewhere; as large as `like`.
fn spread(i: usize, pictures: &[(usize, &Arc<ImageFeatures>)], like: &Tensor) -> Result<Tensor> {
    let (rows, width) = like.dims2()?;
    let zeros = |count: usize| Tensor::zeros((count, width), like.dtype(), like.device());
    let mut parts = Vec::with_capacity(2 * pictures.len() + 1);
    let mut row = 0;
    for (start, features) in pictures {
        let Some(values) = features.deepstack.get(i) else { continue };
        if *start > row {
            parts.push(zeros(start - row)?);
        }
        parts.push(values.clone());
        row = start + features.len();
    }
    if row < rows {
        parts.push(zeros(rows - row)?);
    }
    Ok(Tensor::cat(&parts, 0)?)
}
