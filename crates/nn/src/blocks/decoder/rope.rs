//! Positions of tokens, and what the pairs of a head turn with.

use crate::blocks::rotary::{RotaryTable, inverse_frequency};

/// Temporal, row and column position of a token; the first alone where positions are a plain count.
pub(super) type Position = [usize; 3];

/// What the rotated pairs of a head follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axes {
    /// A plain count of tokens: pictures too.
    Plain,
    /// M-RoPE with the pairs of the three axes side by side, as many as said (Qwen2.5-VL).
    Sections([usize; 3]),
    /// M-RoPE with the pairs interleaved, t r c t r c … t t, as many of each axis as said (Qwen3-VL).
    Interleaved([usize; 3]),
}

/// Rotary embedding of a decoder.
#[derive(Clone, Debug)]
pub(super) struct TextRope {
    axes: Axes,
    /// Inverse frequency and axis of every rotated pair.
    pairs: Vec<(f32, usize)>,
}

impl TextRope {
    pub(super) fn new(head_dim: usize, theta: f64, axes: Axes) -> Self {
        let half = head_dim / 2;
        let mut pairs: Vec<(f32, usize)> =
            (0..half).map(|i| (inverse_frequency(theta, 2 * i, head_dim), 0)).collect();
        match axes {
            Axes::Plain => {}
            Axes::Sections(section) => {
                let axis_of =
                    section.into_iter().enumerate().flat_map(|(axis, n)| std::iter::repeat_n(axis, n));
                for (pair, axis) in pairs.iter_mut().zip(axis_of) {
                    pair.1 = axis;
                }
            }
            Axes::Interleaved(section) => {
                for (axis, count) in section.into_iter().enumerate().skip(1) {
                    for pair in pairs.iter_mut().take(count * 3).skip(axis).step_by(3) {
                        pair.1 = axis;
                    }
                }
            }
        }
        Self { axes, pairs }
    }

    /// Cosines and sines of each position.
    pub(super) fn table(&self, positions: &[Position]) -> RotaryTable {
        let angles: Vec<f32> = positions
            .iter()
            .flat_map(|p| self.pairs.iter().map(|(frequency, axis)| p[*axis] as f32 * frequency))
            .collect();
        RotaryTable::from_angles(&angles, self.pairs.len())
    }

    /// Positions of an image's tokens (grid after merging), row by row, and the position that follows it.
    pub(super) fn image(
        &self,
        start: usize,
        (t, rows, columns): (usize, usize, usize),
    ) -> (Vec<Position>, usize) {
        if self.axes == Axes::Plain {
            let after = start + t * rows * columns;
            return (text_positions(start, after - start).collect(), after);
        }
        let mut positions = Vec::with_capacity(t * rows * columns);
        for frame in 0..t {
            for row in 0..rows {
                positions.extend((0..columns).map(|column| [start + frame, start + row, start + column]));
            }
        }
        // transformers counts on by the longer side of the grid, whatever the number of frames.
        (positions, start + rows.max(columns))
    }
}

/// Positions of text: all three axes count together.
pub(super) fn text_positions(start: usize, len: usize) -> impl Iterator<Item = Position> {
    (start..start + len).map(|p| [p; 3])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axes_of(head_dim: usize, axes: Axes) -> Vec<usize> {
        TextRope::new(head_dim, 5e6, axes).pairs.iter().map(|p| p.1).collect()
    }

    #[test]
    fn pairs_interleave_by_axis() {
        let axes = axes_of(128, Axes::Interleaved([24, 20, 20]));
        assert_eq!(axes[..7], [0, 1, 2, 0, 1, 2, 0]);
        assert_eq!(axes[58..], [1, 2, 0, 0, 0, 0]);
        assert_eq!(
            (axes.iter().filter(|a| **a == 1).count(), axes.iter().filter(|a| **a == 2).count()),
            (20, 20)
        );
    }

    #[test]
    fn pairs_lie_side_by_side() {
        assert_eq!(axes_of(16, Axes::Sections([2, 3, 3])), [0, 0, 1, 1, 1, 2, 2, 2]);
        assert_eq!(axes_of(8, Axes::Plain), [0; 4]);
    }

    #[test]
    fn text_goes_on_behind_the_longer_side_of_an_image() {
        let rope = TextRope::new(8, 1e4, Axes::Sections([2, 1, 1]));
        let (positions, next) = rope.image(4, (1, 2, 3));
        assert_eq!(positions, [[4, 4, 4], [4, 4, 5], [4, 4, 6], [4, 5, 4], [4, 5, 5], [4, 5, 6]]);
        assert_eq!(next, 7);
        assert_eq!(text_positions(next, 2).collect::<Vec<_>>(), [[7; 3], [8; 3]]);
    }

    #[test]
    fn plain_positions_count_every_token() {
        let (positions, next) = TextRope::new(8, 1e4, Axes::Plain).image(4, (1, 2, 3));
        assert_eq!((positions.len(), positions[5], next), (6, [9; 3], 10));
    }
}
