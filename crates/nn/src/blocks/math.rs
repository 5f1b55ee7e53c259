//! Slice arithmetic in single precision, written so that the compiler turns it into vector instructions.

#![allow(clippy::inline_always, reason = "a call inside a vector loop keeps it from being one")]

/// Lanes of the widest vector register in use (AVX-512); narrower ones take several.
pub const LANES: usize = 16;

/// `a · b + c`, fused where the processor can (elsewhere `mul_add` would be a library call).
#[inline(always)]
pub fn fma(a: f32, b: f32, c: f32) -> f32 {
    #[cfg(target_feature = "fma")]
    {
        a.mul_add(b, c)
    }
    #[cfg(not(target_feature = "fma"))]
    {
        a * b + c
    }
}

/// e^x with a relative error below 2·10⁻⁷; arguments are clamped to ±87.3, so that nothing overflows or is
/// denormal (e^−87.3 ≈ 10⁻³⁸ stands for 0).
///
/// Cody–Waite reduction by ln 2 and the minimax polynomial of the Cephes library (`expf`).
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    // 1.5 · 2²³: adding it rounds to an integer, which then stands in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let x = x.clamp(-87.3, 87.3);
    let shifted = fma(x, std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = fma(n, -0.693_359_4, x);
    let r = fma(n, 2.121_944_4e-4, r);
    let p = fma(1.987_569_1e-4, r, 1.398_2e-3);
    let p = fma(p, r, 8.333_452e-3);
    let p = fma(p, r, 4.166_579_6e-2);
    let p = fma(p, r, 1.666_666_5e-1);
    let p = fma(p, r, 0.5);
    let p = fma(p, r * r, r) + 1.0;
    p * f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23))
}

/// tanh x = 1 − 2 / (e^2x + 1).
#[inline(always)]
pub fn tanh(x: f32) -> f32 {
    1.0 - 2.0 / (exp(2.0 * x) + 1.0)
}

/// x · σ(x).
#[inline(always)]
pub fn silu(x: f32) -> f32 {
    x / (1.0 + exp(-x))
}

/// The tanh form of GELU (`gelu_pytorch_tanh`).
#[inline(always)]
pub fn gelu_tanh(x: f32) -> f32 {
    let inner = 0.797_884_6 * fma(0.044_715 * x * x, x, x);
    0.5 * x * (1.0 + tanh(inner))
}

/// GELU by the error function, by Abramowitz and Stegun 7.1.26 (absolute error of erf below 1.5·10⁻⁷).
#[inline(always)]
pub fn gelu_erf(x: f32) -> f32 {
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / fma(0.327_591_1, z, 1.0);
    let p = fma(1.061_405_4, t, -1.453_152);
    let p = fma(p, t, 1.421_413_7);
    let p = fma(p, t, -0.284_496_74);
    let p = fma(p, t, 0.254_829_6);
    // 1 − erf z; for negative x, 1 + erf(x/√2) is this very number, with no cancellation.
    let tail = p * t * exp(-z * z);
    0.5 * x * if x < 0.0 { tail } else { 2.0 - tail }
}

/// The sum of the lanes, in halves: sixteen sums one after the other would wait for each other.
#[inline]
pub fn total(sums: [f32; LANES]) -> f32 {
    let eight: [f32; LANES / 2] = std::array::from_fn(|i| sums[i] + sums[i + LANES / 2]);
    let four: [f32; LANES / 4] = std::array::from_fn(|i| eight[i] + eight[i + LANES / 4]);
    (four[0] + four[2]) + (four[1] + four[3])
}

/// Σ aᵢ·bᵢ over the shorter of the two.
#[inline]
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0f32; LANES];
    let (a_chunks, b_chunks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f32 = a_chunks.remainder().iter().zip(b_chunks.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a_chunks.zip(b_chunks) {
        for i in 0..LANES {
            lanes[i] = fma(a[i], b[i], lanes[i]);
        }
    }
    total(lanes) + rest
}

/// Σ aᵢ.
#[inline]
pub fn sum(a: &[f32]) -> f32 {
    let mut lanes = [0f32; LANES];
    let chunks = a.chunks_exact(LANES);
    let rest: f32 = chunks.remainder().iter().sum();
    for a in chunks {
        for i in 0..LANES {
            lanes[i] += a[i];
        }
    }
    total(lanes) + rest
}

/// The greatest of some numbers, −∞ if there are none; what is not a number is passed over.
pub fn max(a: &[f32]) -> f32 {
    let greater = |a: f32, b: f32| if b > a { b } else { a };
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = a.as_chunks::<LANES>();
    for a in chunks {
        for i in 0..LANES {
            lanes[i] = greater(lanes[i], a[i]);
        }
    }
    lanes.iter().chain(rest).copied().fold(f32::NEG_INFINITY, greater)
}

/// Σ e^(aᵢ − shift), where no aᵢ is above `shift`; not a number if one of them isn't. Each term is as
/// accurate as [`exp`], their sum is in double precision but for a few neighbours.
pub fn sum_exp(a: &[f32], shift: f32) -> f64 {
    /// Terms to a lane that are summed in single precision.
    const NEIGHBOURS: usize = 8;
    let (blocks, rest) = a.as_chunks::<{ LANES * NEIGHBOURS }>();
    let mut sum = 0f64;
    for block in blocks {
        let mut lanes = [0f32; LANES];
        for a in block.as_chunks::<LANES>().0 {
            for i in 0..LANES {
                lanes[i] += exp(a[i] - shift);
            }
        }
        sum += f64::from(total(lanes));
    }
    sum + rest.iter().map(|a| f64::from(exp(a - shift))).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// erf by its Maclaurin series in double precision; good for |x| ≤ 5.
    fn erf(x: f64) -> f64 {
        let (mut term, mut total) = (x, x);
        for n in 1..200 {
            term *= -x * x / f64::from(n);
            total += term / f64::from(2 * n + 1);
        }
        total * 2.0 / std::f64::consts::PI.sqrt()
    }

    proptest! {
        #[test]
        fn exp_is_accurate(x in -87f32..87.0) {
            let want = f64::from(x).exp();
            prop_assert!((f64::from(exp(x)) / want - 1.0).abs() < 2e-7);
        }

        #[test]
        fn activations_are_accurate(x in -5f32..5.0) {
            let d = f64::from(x);
            prop_assert!((f64::from(silu(x)) - d / (1.0 + (-d).exp())).abs() < 1e-6);
            prop_assert!((f64::from(tanh(x)) - d.tanh()).abs() < 5e-7);
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (d + 0.044_715 * d.powi(3));
            prop_assert!((f64::from(gelu_tanh(x)) - 0.5 * d * (1.0 + inner.tanh())).abs() < 2e-6);
            let gelu = 0.5 * d * (1.0 + erf(d / 2f64.sqrt()));
            prop_assert!((f64::from(gelu_erf(x)) - gelu).abs() < 2e-6);
        }

        #[test]
        fn reductions_agree(values in proptest::collection::vec((-3f32..3.0, -3f32..3.0), 0..100)) {
            let (a, b): (Vec<f32>, Vec<f32>) = values.iter().copied().unzip();
            let want: f64 = values.iter().map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            prop_assert!((f64::from(dot(&a, &b)) - want).abs() < 1e-4);
            let want: f64 = a.iter().map(|a| f64::from(*a)).sum();
            prop_assert!((f64::from(sum(&a)) - want).abs() < 1e-4);
            let greatest = a.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            prop_assert_eq!(max(&a), greatest);
            let many: Vec<f32> = a.iter().copied().cycle().take(7 * a.len()).collect();
            let want: f64 = many.iter().map(|a| f64::from(a - greatest).exp()).sum();
            prop_assert!((sum_exp(&many, greatest) / want.max(1.0) - want / want.max(1.0)).abs() < 5e-7);
        }
    }

    #[test]
    fn what_is_not_a_number_is_seen() {
        for at in [0, 100, 199] {
            let mut a = [0f32; 200];
            a[at] = f32::NAN;
            assert_eq!(max(&a), 0.0);
            assert!(sum_exp(&a, 0.0).is_nan());
        }
    }

    #[test]
    fn extremes_stay_finite() {
        assert!(exp(f32::NEG_INFINITY) < 1e-37);
        assert!(exp(1e9).is_finite());
        assert_eq!(silu(-1e9), 0.0f32.min(silu(-1e9)));
        assert!(silu(-1e4).abs() < 1e-30);
        assert_eq!(gelu_erf(100.0), 100.0);
        assert!(gelu_erf(-100.0).abs() < 1e-30);
        assert_eq!(tanh(50.0), 1.0);
        assert_eq!(tanh(-50.0), -1.0);
    }
}
