//! Where patches lie in a picture, and the rotary embedding that says so.

use reasonedit_nn::blocks::rotary::{RotaryTable, inverse_frequency};

/// Rows and columns of an image's patches in the order of the processor: merged blocks row by row, patches
/// row by row within a block, the same for every frame.
pub(crate) fn patch_places((t, rows, columns): (usize, usize, usize), merge: usize) -> Vec<(usize, usize)> {
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

/// Axial rotary embedding of the vision tower: the first half of a head's pairs turns with the row, the
/// second with the column.
pub(crate) fn axial_table(places: &[(usize, usize)], head_dim: usize, theta: f64) -> RotaryTable {
    let quarter = head_dim / 4;
    let frequencies: Vec<f32> = (0..quarter).map(|i| inverse_frequency(theta, 2 * i, head_dim / 2)).collect();
    let mut angles = Vec::with_capacity(places.len() * 2 * quarter);
    for (row, column) in places {
        angles.extend(frequencies.iter().map(|f| *row as f32 * f));
        angles.extend(frequencies.iter().map(|f| *column as f32 * f));
    }
    RotaryTable::from_angles(&angles, 2 * quarter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patches_come_in_merged_blocks() {
        let places = patch_places((1, 2, 4), 2);
        assert_eq!(places, [(0, 0), (0, 1), (1, 0), (1, 1), (0, 2), (0, 3), (1, 2), (1, 3)]);
    }
}
