//! Distances between keys and the overlap of circles. Everything here gives the same bits on every machine
//! and thread count.

use std::f64::consts::PI;

/// Partial sums that a distance is accumulated in; fixed, because the order of additions decides the last
/// bits.
const LANES: usize = 16;
/// Numbers between two looks at whether a distance can still stay below a bound.
const STRIDE: usize = 128;

/// Sums the lanes pairwise, always in the same order.
fn total(lanes: &[f64; LANES]) -> f64 {
    let mut sums = *lanes;
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            sums[i] += sums[i + width];
        }
        width /= 2;
    }
    sums[0]
}

#[inline]
fn accumulate(lanes: &mut [f64; LANES], a: &[f32], b: &[f32]) {
    let (a_blocks, a_rest) = a.as_chunks::<LANES>();
    let (b_blocks, b_rest) = b.as_chunks::<LANES>();
    for (x, y) in a_blocks.iter().zip(b_blocks) {
        for i in 0..LANES {
            let difference = f64::from(x[i]) - f64::from(y[i]);
            lanes[i] += difference * difference;
        }
    }
    for (i, (x, y)) in a_rest.iter().zip(b_rest).enumerate() {
        let difference = f64::from(*x) - f64::from(*y);
        lanes[i] += difference * difference;
    }
}

/// Euclidean distance of two vectors of equal length, accumulated in f64 in a fixed order. Symmetric to the
/// bit.
pub fn distance(a: &[f32], b: &[f32]) -> f64 {
    debug_assert_eq!(a.len(), b.len());
    let mut lanes = [0.0; LANES];
    accumulate(&mut lanes, a, b);
    total(&lanes).sqrt()
}

/// [`distance`] to the bit if it is at most `bound`, else `None`, found out early where possible.
pub fn distance_within(a: &[f32], b: &[f32], bound: f64) -> Option<f64> {
    debug_assert_eq!(a.len(), b.len());
    // The lanes only grow and rounding is monotonic, so a partial sum above the bound's square (with room for
    // the rounding of square and root) can't come back.
    let limit = bound * bound * (1.0 + 1e-12);
    let mut lanes = [0.0; LANES];
    for (x, y) in a.chunks(STRIDE).zip(b.chunks(STRIDE)) {
        accumulate(&mut lanes, x, y);
        if total(&lanes) > limit {
            return None;
        }
    }
    let d = total(&lanes).sqrt();
    (d <= bound).then_some(d)
}

/// Euclidean norm, accumulated like [`distance`].
pub fn norm(a: &[f32]) -> f64 {
    let mut lanes = [0.0; LANES];
    let (blocks, rest) = a.as_chunks::<LANES>();
    for x in blocks {
        for i in 0..LANES {
            lanes[i] += f64::from(x[i]) * f64::from(x[i]);
        }
    }
    for (i, x) in rest.iter().enumerate() {
        lanes[i] += f64::from(*x) * f64::from(*x);
    }
    total(&lanes).sqrt()
}

/// Rounds up to f32, so that a radius that must cover something still does.
pub fn round_up(value: f64) -> f32 {
    let nearest = value as f32;
    if f64::from(nearest) < value { nearest.next_up() } else { nearest }
}

/// Area that two circles in the plane share: radii `a` and `b`, centres `d` apart, all finite and not
/// negative.
///
/// The lens is two circular segments. Each is written as r²·(θ − sin θ cos θ) with θ from `atan2`, and the
/// triangle's height by Kahan's ordering of Heron's formula, so that nearly touching and nearly contained
/// circles keep their digits.
pub fn intersection_area(a: f64, b: f64, d: f64) -> f64 {
    let (small, large) = if a <= b { (a, b) } else { (b, a) };
    if small == 0.0 || d >= small + large {
        return 0.0;
    }
    if d <= large - small {
        return PI * small * small;
    }
    // Four times the area of the triangle with sides small, large, d.
    let mut sides = [small, large, d];
    sides.sort_by(f64::total_cmp);
    let [z, y, x] = sides;
    let product = (x + (y + z)) * (z - (x - y)) * (z + (x - y)) * (x + (y - z));
    let quadruple = product.max(0.0).sqrt();
    // Twice the distance from each centre to the chord, times d.
    let segment = |own: f64, other: f64| {
        let along = d * d + (own - other) * (own + other);
        let angle = quadruple.atan2(along);
        own * own * (angle - 0.5 * (2.0 * angle).sin())
    };
    (segment(small, large) + segment(large, small)).clamp(0.0, PI * small * small)
}

/// The shared area of two circles as a share of each circle's own area. A circle without area shares nothing.
pub fn overlap(a: f64, b: f64, d: f64) -> (f64, f64) {
    let shared = intersection_area(a, b, d);
    let share = |radius: f64| if radius == 0.0 { 0.0 } else { shared / (PI * radius * radius) };
    (share(a), share(b))
}

#[cfg(test)]
mod tests;
