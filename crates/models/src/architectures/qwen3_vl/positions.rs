//! Learned positions of the vision tower.

/// Learned positions (a square table, `width` to a row) resampled bilinearly, corners aligned, to a grid; one
/// row per place.
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
