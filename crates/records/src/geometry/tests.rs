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
