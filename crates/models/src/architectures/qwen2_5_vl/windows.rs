//! The order in which a picture's tokens lie while blocks attend to windows of it.

use std::ops::Range;

/// Tokens of a picture, by their index row by row, window after window, and where each window begins and ends
/// in that order. `grid` is in tokens, `side` tokens is the side of a window; windows at the edges are
/// smaller.
pub(super) fn windows(
    (frames, rows, columns): (usize, usize, usize),
    side: usize,
) -> (Vec<usize>, Vec<Range<usize>>) {
    let mut order = Vec::with_capacity(frames * rows * columns);
    let mut ranges = Vec::new();
    for frame in 0..frames {
        for top in (0..rows).step_by(side) {
            for left in (0..columns).step_by(side) {
                let start = order.len();
                for row in top..(top + side).min(rows) {
                    let first = (frame * rows + row) * columns;
                    order.extend(first + left..first + (left + side).min(columns));
                }
                ranges.push(start..order.len());
            }
        }
    }
    (order, ranges)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn windows_at_the_edges_are_cut() {
        let (order, ranges) = windows((1, 2, 5), 2);
        assert_eq!(order, [0, 1, 5, 6, 2, 3, 7, 8, 4, 9]);
        assert_eq!(ranges, [0..4, 4..8, 8..10]);
    }

    proptest! {
        #[test]
        fn every_token_stands_in_one_window(t in 1usize..3, h in 1usize..9, w in 1usize..9, side in 1usize..6) {
            let (mut order, ranges) = windows((t, h, w), side);
            prop_assert!(ranges.iter().all(|r| !r.is_empty() && r.len() <= side * side));
            prop_assert!(ranges.windows(2).all(|r| r[0].end == r[1].start));
            prop_assert_eq!(ranges.len(), t * h.div_ceil(side) * w.div_ceil(side));
            order.sort_unstable();
            prop_assert_eq!(order, (0..t * h * w).collect::<Vec<_>>());
        }
    }
}
