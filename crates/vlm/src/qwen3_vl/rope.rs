//! Positions: interleaved M-RoPE for the language model, axial rotary and interpolated learned positions for
//! the vision tower.

use crate::blocks::rotary::RotaryTable;

/// Temporal, row and column position of a token.
pub(super) type Position = [usize; 3];

/// Positions of text: all three axes count together.
pub(super) fn text_positions(start: usize, len: usize) -> impl Iterator<Item = Position> {
    (start..start + len).map(|p| [p; 3])
}

/// Positions of an image's tokens (grid after merging), row by row, and the position that follows it.
pub(super) fn image_positions(
    start: usize,
    (t, rows, columns): (usize, usize, usize),
) -> (Vec<Position>, usize) {
    let mut positions = Vec::with_capacity(t * rows * columns);
    for frame in 0..t {
        for row in 0..rows {
            positions.extend((0..columns).map(|column| [start + frame, start + row, start + column]));
        }
    }
    // transformers counts on by the longer side of the grid, whatever the number of frames.
    (positions, start + rows.max(columns))
}

/// Rotary frequencies of the language model.
#[derive(Clone, Debug)]
pub(super) struct TextRope {
    /// Inverse frequency and axis of every rotated pair.
    pairs: Vec<(f32, usize)>,
}

impl TextRope {
    /// `section` counts the pairs of each axis; they are interleaved (t r c t r c … t t), not laid side by side.
    pub(super) fn new(head_dim: usize, theta: f64, section: [usize; 3]) -> Self {
        let half = head_dim / 2;
        let mut pairs: Vec<(f32, usize)> =
            (0..half).map(|i| (inverse_frequency(theta, 2 * i, head_dim), 0)).collect();
        for (axis, count) in section.into_iter().enumerate().skip(1) {
            for pair in pairs.iter_mut().take(count * 3).skip(axis).step_by(3) {
                pair.1 = axis;
            }
        }
        Self { pairs }
    }

    /// Cosines and sines of each position.
    pub(super) fn table(&self, positions: &[Position]) -> RotaryTable {
        let angles: Vec<f32> = positions
            .iter()
            .flat_map(|p| self.pairs.iter().map(|(frequency, axis)| p[*axis] as f32 * frequency))
            .collect();
        RotaryTable::from_angles(&angles, self.pairs.len())
    }
}

/// Rows and columns of an image's patches in the order of the processor: merged blocks row by row, patches row
/// by row within a block, the same for every frame.
pub(super) fn patch_places((t, rows, columns): (usize, usize, usize), merge: usize) -> Vec<(usize, usize)> {
    let mut places = Vec::with_capacity(t * rows * columns);
    for _ in 0..t {
        for block_row in (0..rows).step_by(merge) {
            for block_column in (0..columns).step_by(merge) {
                for row in block_row..block_row + merge {
                    places.extend((block_column..block_column + merge).map(|column| (row, column)));
                }
            }
        }
    }
    places
}

/// Axial rotary embedding of the vision tower: the first half of a head's pairs turns with the row, the second
/// with the column.
pub(super) fn vision_table(places: &[(usize, usize)], head_dim: usize, theta: f64) -> RotaryTable {
    let quarter = head_dim / 4;
    let frequencies: Vec<f32> = (0..quarter).map(|i| inverse_frequency(theta, 2 * i, head_dim / 2)).collect();
    let mut angles = Vec::with_capacity(places.len() * 2 * quarter);
    for (row, column) in places {
        angles.extend(frequencies.iter().map(|f| *row as f32 * f));
        angles.extend(frequencies.iter().map(|f| *column as f32 * f));
    }
    RotaryTable::from_angles(&angles, 2 * quarter)
}

/// θ^(−i/d), rounded to f32 once.
fn inverse_frequency(theta: f64, i: usize, d: usize) -> f32 {
    theta.powf(-(i as f64) / d as f64) as f32
}

/// Learned positions (a square table, `width` to a row) resampled bilinearly, corners aligned, to a grid; one row
/// per place.
pub(super) fn interpolate_positions(
    table: &[f32],
    width: usize,
    (rows, columns): (usize, usize),
    places: &[(usize, usize)],
) -> Vec<f32> {
    let side = (table.len() / width).isqrt();
    let taps = |index: usize, size: usize| {
        let source = index as f32 * (side - 1) as f32 / (size.max(2) - 1) as f32;
        let low = (source.floor() as usize).min(side - 1);
        (low, (low + 1).min(side - 1), source - low as f32)
    };
    let row_taps: Vec<_> = (0..rows).map(|i| taps(i, rows)).collect();
    let column_taps: Vec<_> = (0..columns).map(|i| taps(i, columns)).collect();
    let mut out = Vec::with_capacity(places.len() * width);
    let at = |row: usize, column: usize| {
        let start = (row * side + column) * width;
        &table[start..start + width]
    };
    for (row, column) in places {
        let ((top, bottom, down), (left, right, across)) = (row_taps[*row], column_taps[*column]);
        let corners = [at(top, left), at(top, right), at(bottom, left), at(bottom, right)];
        let weights =
            [(1.0 - down) * (1.0 - across), (1.0 - down) * across, down * (1.0 - across), down * across];
        out.extend(
            (0..width)
                .map(|i| corners.iter().zip(weights).map(|(corner, weight)| corner[i] * weight).sum::<f32>()),
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_interleave_by_axis() {
        let rope = TextRope::new(128, 5e6, [24, 20, 20]);
        let axes: Vec<usize> = rope.pairs.iter().map(|p| p.1).collect();
        assert_eq!(axes[..7], [0, 1, 2, 0, 1, 2, 0]);
        assert_eq!(axes[58..], [1, 2, 0, 0, 0, 0]);
        assert_eq!(
            (axes.iter().filter(|a| **a == 1).count(), axes.iter().filter(|a| **a == 2).count()),
            (20, 20)
        );
    }

    #[test]
    fn text_goes_on_behind_the_longer_side_of_an_image() {
        let (positions, next) = image_positions(4, (1, 2, 3));
        assert_eq!(positions, [[4, 4, 4], [4, 4, 5], [4, 4, 6], [4, 5, 4], [4, 5, 5], [4, 5, 6]]);
        assert_eq!(next, 7);
        assert_eq!(text_positions(next, 2).collect::<Vec<_>>(), [[7; 3], [8; 3]]);
    }

    #[test]
    fn patches_come_in_merged_blocks() {
        let places = patch_places((1, 2, 4), 2);
        assert_eq!(places, [(0, 0), (0, 1), (1, 0), (1, 1), (0, 2), (0, 3), (1, 2), (1, 3)]);
    }

    #[test]
    fn interpolation_meets_the_corners_and_the_middle() {
        // 2×2 table of one value each.
        let table = [0f32, 1., 2., 3.];
        let places: Vec<_> = (0..9).map(|i| (i / 3, i % 3)).collect();
        let out = interpolate_positions(&table, 1, (3, 3), &places);
        assert_eq!(out, [0., 0.5, 1., 1., 1.5, 2., 2., 2.5, 3.]);
        // A grid of one row looks at the first row of the table.
        assert_eq!(interpolate_positions(&table, 1, (1, 2), &[(0, 0), (0, 1)]), [0., 1.]);
    }
}
