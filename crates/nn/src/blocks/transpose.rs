//! Rows of weights to columns in f32: the order in memory that matrix products with more than a few rows are
//! fastest with.

use rayon::prelude::*;

use super::gemv::{WeightElement, ask_for};

/// Side of a tile.
const SIDE: usize = 8;
/// Inputs that one thread does at a time: whole cache lines of each row.
const DEEP: usize = 64;
/// Outputs that are put together before they are written: columns lie in memory at distances that a cache has
/// few places for, so that each line of it is best written once, whole.
const ACROSS: usize = 64;

type Tile = [[f32; SIDE]; SIDE];

/// Writes rows of `inputs` values into columns, from `column` on, of an (inputs, `total`) matrix.
pub fn transpose_into<T: WeightElement>(
    rows: &[T],
    inputs: usize,
    to: &mut [f32],
    total: usize,
    column: usize,
) {
    let outputs = rows.len() / inputs;
    to.par_chunks_mut(DEEP * total).enumerate().for_each(|(block, to)| {
        let (first, deep) = (block * DEEP, to.len() / total);
        let mut buffer = [[0f32; ACROSS]; DEEP];
        let mut wide = [[0f32; DEEP]; SIDE];
        for output in (0..outputs).step_by(ACROSS) {
            let across = ACROSS.min(outputs - output);
            for side in (0..across).step_by(SIDE) {
                let count = SIDE.min(across - side);
                for (lane, wide) in wide[..count].iter_mut().enumerate() {
                    let start = (output + side + lane) * inputs + first;
                    T::widen(&rows[start..start + deep], &mut wide[..deep]);
                    for bytes in (0..size_of_val(&rows[start..start + deep])).step_by(64) {
                        ask_for(rows, start + 2 * SIDE * inputs, bytes);
                    }
                }
                columns_of(&wide, &mut buffer, side);
            }
            for (to, columns) in to.chunks_exact_mut(total).zip(&buffer) {
                to[column + output..][..across].copy_from_slice(&columns[..across]);
            }
        }
    });
}

/// Some rows as columns, from `column` on.
fn columns_of(rows: &[[f32; DEEP]; SIDE], to: &mut [[f32; ACROSS]; DEEP], column: usize) {
    for (i, to) in to.as_chunks_mut::<SIDE>().0.iter_mut().enumerate() {
        let mut tile = [[0f32; SIDE]; SIDE];
        for (tile, row) in tile.iter_mut().zip(rows) {
            tile.copy_from_slice(&row[i * SIDE..][..SIDE]);
        }
        for (tile, to) in transposed(tile).iter().zip(to) {
            to[column..][..SIDE].copy_from_slice(tile);
        }
    }
}

/// Three perfect shuffles of the rows, which compilers make vector permutations of (measured: 3.5 times as
/// fast as moving one value after the other).
#[inline]
fn transposed(tile: Tile) -> Tile {
    shuffled(shuffled(shuffled(tile)))
}

#[inline]
fn shuffled([a, b, c, d, e, f, g, h]: Tile) -> Tile {
    let ([p, q], [r, s]) = (interleaved(a, e), interleaved(b, f));
    let ([t, u], [v, w]) = (interleaved(c, g), interleaved(d, h));
    [p, q, r, s, t, u, v, w]
}

#[inline]
fn interleaved(a: [f32; SIDE], b: [f32; SIDE]) -> [[f32; SIDE]; 2] {
    [[a[0], b[0], a[1], b[1], a[2], b[2], a[3], b[3]], [a[4], b[4], a[5], b[5], a[6], b[6], a[7], b[7]]]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_value_moves(inputs in 1usize..150, outputs in 1usize..40, column in 0usize..3) {
            let rows: Vec<f32> = (0..inputs * outputs).map(|i| i as f32).collect();
            let total = outputs + column + 1;
            let mut to = vec![-1f32; inputs * total];
            transpose_into(&rows, inputs, &mut to, total, column);
            for output in 0..outputs {
                for input in 0..inputs {
                    prop_assert_eq!(to[input * total + column + output], rows[output * inputs + input]);
                }
            }
            prop_assert_eq!(to.iter().filter(|x| **x < 0.0).count(), inputs * (total - outputs));
        }
    }
}
