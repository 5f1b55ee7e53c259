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
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn naive(a: &[f32], b: &[f32]) -> f64 {
        a.iter().zip(b).map(|(x, y)| (f64::from(*x) - f64::from(*y)).powi(2)).sum::<f64>().sqrt()
    }

    /// The shared area by midpoint integration over the chord's direction.
    fn integrated(a: f64, b: f64, d: f64) -> f64 {
        let steps = 200_000;
        let (from, to) = ((-a).max(d - b), a.min(d + b));
        if from >= to {
            return 0.0;
        }
        let width = (to - from) / f64::from(steps);
        (0..steps)
            .map(|i| {
                let x = from + (f64::from(i) + 0.5) * width;
                let first = (a * a - x * x).max(0.0).sqrt();
                let second = (b * b - (x - d) * (x - d)).max(0.0).sqrt();
                2.0 * first.min(second) * width
            })
            .sum()
    }

    #[test]
    fn overlap_of_special_cases() {
        assert_eq!(overlap(2.0, 2.0, 0.0), (1.0, 1.0));
        assert_eq!(overlap(1.0, 2.0, 0.5), (1.0, 0.25));
        assert_eq!(overlap(1.0, 2.0, 1.0), (1.0, 0.25));
        assert_eq!(overlap(1.0, 2.0, 3.0), (0.0, 0.0));
        assert_eq!(overlap(0.0, 2.0, 0.5), (0.0, 0.0));
        assert_eq!(overlap(0.0, 0.0, 0.0), (0.0, 0.0));
        // Equal circles whose centres are one radius apart: 2π/3 − √3/2.
        assert!((intersection_area(1.0, 1.0, 1.0) - (2.0 * PI / 3.0 - 3f64.sqrt() / 2.0)).abs() < 1e-14);
    }

    #[test]
    fn nearly_touching_circles_keep_their_digits() {
        // For a gap of g the lens of unit circles has the area (4/3)·g^1.5 to first order.
        let gap = 1e-8f64;
        let area = intersection_area(1.0, 1.0, 2.0 - gap);
        let expected = 4.0 / 3.0 * gap.powf(1.5);
        assert!((area - expected).abs() < 1e-4 * expected, "{area} {expected}");
    }

    proptest! {
        #[test]
        fn overlap_is_the_integral(a in 0.01f64..5.0, b in 0.01f64..5.0, d in 0.0f64..10.0) {
            let area = intersection_area(a, b, d);
            prop_assert!((area - integrated(a, b, d)).abs() < 2e-5 * (1.0 + area));
            prop_assert_eq!(area, intersection_area(b, a, d));
        }

        #[test]
        fn overlap_scales_and_stays_a_share(a in 0.01f64..5.0, b in 0.01f64..5.0, d in 0.0f64..10.0, s in 1e-6f64..1e6) {
            let (one, other) = overlap(a, b, d);
            prop_assert!((0.0..=1.0 + 1e-12).contains(&one) && (0.0..=1.0 + 1e-12).contains(&other));
            let (scaled, _) = overlap(a * s, b * s, d * s);
            prop_assert!((one - scaled).abs() < 1e-7);
        }

        #[test]
        fn distances_agree_with_the_definition(
            pairs in prop::collection::vec((-100f32..100.0, -100f32..100.0), 0..400),
            bound in 0f64..2000.0,
        ) {
            let (a, b): (Vec<f32>, Vec<f32>) = pairs.into_iter().unzip();
            let d = distance(&a, &b);
            let expected = naive(&a, &b);
            prop_assert!((d - expected).abs() <= 1e-12 * (1.0 + expected));
            prop_assert_eq!(d.to_bits(), distance(&b, &a).to_bits());
            prop_assert_eq!(distance_within(&a, &b, bound), (d <= bound).then_some(d));
            prop_assert_eq!(distance_within(&a, &b, d), Some(d));
            prop_assert_eq!(norm(&a).to_bits(), distance(&a, &vec![0.0; a.len()]).to_bits());
        }

        #[test]
        fn rounding_up_is_least(value in 0f64..1e30) {
            let up = round_up(value);
            prop_assert!(f64::from(up) >= value);
            prop_assert!(up == 0.0 || f64::from(up.next_down()) < value);
        }
    }
}
