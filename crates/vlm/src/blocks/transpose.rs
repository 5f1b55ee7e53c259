//! Rows of weights to columns in f32: the order in memory that matrix products with more than a few rows are fastest with.

use rayon::prelude::*;

use super::few_rows::Held;

/// Side of a tile.
const SIDE: usize = 8;
/// Inputs that one thread does at a time: whole cache lines of each row.
const DEEP: usize = 32;

type Tile = [[f32; SIDE]; SIDE];

/// Writes rows of `inputs` values into columns, from `column` on, of an (inputs, `total`) matrix.
pub(crate) fn transpose_into<T: Held>(
    rows: &[T],
    inputs: usize,
    to: &mut [f32],
    total: usize,
    column: usize,
) {
    let outputs = rows.len() / inputs;
    to.par_chunks_mut(DEEP * total).enumerate().for_each(|(block, to)| {
        let (first, deep) = (block * DEEP, to.len() / total);
        let row = |output: usize| &rows[output * inputs + first..][..deep];
        let whole = outputs - outputs % SIDE;
        for output in (0..whole).step_by(SIDE) {
            let rows: [&[T]; SIDE] = std::array::from_fn(|lane| row(output + lane));
            columns_of(rows, to, total, column + output);
        }
        let mut wide = [0f32; DEEP];
        for output in whole..outputs {
            T::widen(row(output), &mut wide[..deep]);
            for (to, value) in to.chunks_exact_mut(total).zip(&wide) {
                to[column + output] = *value;
            }
        }
    });
}

/// Some rows as columns of a matrix `total` wide, from `column` on.
#[inline(never)]
fn columns_of<T: Held>(rows: [&[T]; SIDE], to: &mut [f32], total: usize, column: usize) {
    let tiles = rows.map(|row| row.as_chunks::<SIDE>().0);
    let count = tiles[0].len();
    let (whole, rest) = to.split_at_mut(count * SIDE * total);
    for (i, to) in whole.chunks_exact_mut(SIDE * total).enumerate() {
        let tile = transposed(tiles.map(|tiles| T::wide(&tiles[i])));
        for (tile, to) in tile.iter().zip(to.chunks_exact_mut(total)) {
            to[column..][..SIDE].copy_from_slice(tile);
        }
    }
    for (i, to) in rest.chunks_exact_mut(total).enumerate() {
        let values = rows.map(|row| T::wide(&[row[count * SIDE + i]])[0]);
        to[column..][..SIDE].copy_from_slice(&values);
    }
}

/// Three perfect shuffles of the rows, which compilers make vector permutations of (measured: 3.5 times as fast as moving one value after the other).
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
