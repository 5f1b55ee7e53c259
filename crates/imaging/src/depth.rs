//! Samples of more than 8 bits: which value becomes black and which white.
//!
//! | samples | black and white |
//! | --- | --- |
//! | unsigned, up to 15 bits in the file | the whole range of the depth, or the range that the file declares |
//! | unsigned, 16 bits | the declared range; else 0 and 255 where nothing is above 255, 0 and 2ⁿ − 1 for the least n from 9 to 14 that holds the greatest value, 0 and 65535 otherwise |
//! | unsigned, 24 to 64 bits | as 16 bits; above 65535 the least 2ⁿ − 1 that holds the greatest value |
//! | signed, up to 15 bits | the whole range of the depth, or the declared range |
//! | signed, 16 to 64 bits | the declared range; with a declared minimum alone, from there as unsigned; else from minus the least power of two that holds the least value (0 if none is negative) to the number that unsigned samples would have |
//! | floating-point | the declared range; else 0 and 1 if the values keep within, 0 and 255 if all are whole numbers within; anything else is refused |

use crate::{DecodeNote, ImagingError};

/// Half a level of 8 bits: what is beyond 0 and 1 by less is rounding.
const HALF_LEVEL: f64 = 0.5 / 255.0;

/// How samples are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SampleKind {
    /// Unsigned integers of so many bits.
    Unsigned(u32),
    /// Signed integers of so many bits.
    Signed(u32),
    /// Floating-point numbers.
    Float,
}

/// The values that a picture holds in its colour channels.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extent {
    /// Least finite value.
    pub(crate) least: f64,
    /// Greatest finite value.
    pub(crate) greatest: f64,
    /// Whether all finite values are whole numbers.
    pub(crate) whole: bool,
    /// Whether all values are finite.
    pub(crate) finite: bool,
}

impl Default for Extent {
    fn default() -> Self {
        Self { least: f64::INFINITY, greatest: f64::NEG_INFINITY, whole: true, finite: true }
    }
}

impl Extent {
    /// Takes a value in.
    pub(crate) fn add(&mut self, value: f64) {
        if value.is_finite() {
            self.least = self.least.min(value);
            self.greatest = self.greatest.max(value);
            self.whole &= value.fract() == 0.0;
        } else {
            self.finite = false;
        }
    }

    /// The extent of unsigned 16-bit samples.
    pub(crate) fn of_u16(samples: impl Iterator<Item = u16>) -> Self {
        let mut found = Self::default();
        let (mut least, mut greatest) = (u16::MAX, 0);
        let mut any = false;
        for sample in samples {
            least = least.min(sample);
            greatest = greatest.max(sample);
            any = true;
        }
        if any {
            found.least = f64::from(least);
            found.greatest = f64::from(greatest);
        }
        found
    }
}

/// What a file says of its range; either end may be missing.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Declared {
    /// Value of black.
    pub(crate) low: Option<f64>,
    /// Value of white.
    pub(crate) high: Option<f64>,
}

impl Declared {
    /// Unsigned samples with so many significant bits.
    pub(crate) fn bits(bits: u32) -> Self {
        Self { low: Some(0.0), high: Some(highest(bits)) }
    }

    /// Without ends that are no numbers, and without both if they are not in order.
    fn sane(self) -> Self {
        let finite = |value: Option<f64>| value.filter(|value| value.is_finite());
        match (finite(self.low), finite(self.high)) {
            (Some(low), Some(high)) if low >= high => Self::default(),
            (low, high) => Self { low, high },
        }
    }
}

/// Values of black and of white.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Range {
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Range {
    /// A sample as 8 bits, rounded to the nearest; what is no number is black.
    pub(crate) fn to_u8(self, sample: f64) -> u8 {
        let level = ((sample - self.low) * (255.0 / (self.high - self.low)) + 0.5).clamp(0.0, 255.0);
        // A NaN becomes 0 here; everything else is between 0 and 255.
        level as u8
    }

    /// The 8-bit value of each unsigned sample of up to 16 bits.
    pub(crate) fn table(self) -> Vec<u8> {
        (0..=u16::MAX).map(|sample| self.to_u8(f64::from(sample))).collect()
    }
}

/// The greatest unsigned number of so many bits.
fn highest(bits: u32) -> f64 {
    2f64.powi(bits.min(1024) as i32) - 1.0
}

/// The end of the range of integers up to `greatest` whose file says nothing.
fn guessed_high(greatest: f64) -> f64 {
    // 15 bits and 16 bits are left as they are: photographs use their depth, and what measures uses fewer
    // bits.
    let steps = [8].into_iter().chain(9..=14).chain(16..=64).map(highest);
    steps.into_iter().find(|&high| greatest <= high).unwrap_or(f64::MAX)
}

/// Chooses the range, and says what was done where it isn't the whole range of the type.
///
/// # Errors
/// [`ImagingError::NotRead`] for floating-point samples whose range can't be known.
pub(crate) fn choose(
    kind: SampleKind,
    extent: &Extent,
    declared: Declared,
) -> Result<(Range, Vec<DecodeNote>), ImagingError> {
    let mut declared = declared.sane();
    if matches!(kind, SampleKind::Unsigned(_)) && declared == (Declared { low: Some(0.0), high: None }) {
        // Says no more than the type.
        declared = Declared::default();
    }
    let mut notes = Vec::new();
    let empty = extent.least > extent.greatest;
    let (least, greatest) = if empty { (0.0, 0.0) } else { (extent.least, extent.greatest) };
    let type_range = match kind {
        SampleKind::Unsigned(bits) => Range { low: 0.0, high: highest(bits) },
        SampleKind::Signed(bits) => {
            Range { low: -highest(bits.saturating_sub(1)) - 1.0, high: highest(bits.saturating_sub(1)) }
        }
        SampleKind::Float => Range { low: 0.0, high: 1.0 },
    };
    let range = match (kind, declared) {
        (SampleKind::Unsigned(..=8) | SampleKind::Signed(..=8), _) => return Ok((type_range, notes)),
        (_, Declared { low: Some(low), high: Some(high) }) => Range { low, high },
        (SampleKind::Unsigned(_), Declared { low: None, high: Some(high) }) if high > 0.0 => {
            Range { low: 0.0, high }
        }
        (SampleKind::Unsigned(bits) | SampleKind::Signed(bits), _) if bits < 16 => {
            return Ok((type_range, notes));
        }
        (SampleKind::Unsigned(_) | SampleKind::Signed(_), Declared { low: Some(low), high: None }) => {
            Range { low, high: low + guessed_high(greatest - low) }
        }
        (SampleKind::Unsigned(_), _) => Range { low: 0.0, high: guessed_high(greatest) },
        (SampleKind::Signed(bits), Declared { high, .. }) => {
            let powers = (0..bits).map(|bit| -(2f64.powi(bit as i32)));
            let low = if least < 0.0 { powers.into_iter().find(|&power| power <= least) } else { Some(0.0) };
            let low = low.unwrap_or(type_range.low);
            let high = high.filter(|&high| high > low);
            let guess = if greatest <= 0.0 && low < 0.0 { 0.0 } else { guessed_high(greatest) };
            Range { low, high: high.unwrap_or_else(|| guess.min(type_range.high)) }
        }
        (SampleKind::Float, _) => float_range(least, greatest, extent.whole)?,
    };
    let known = declared.low.is_some() || declared.high.is_some();
    if range != type_range && !(empty || (greatest == 0.0 && least == 0.0)) {
        let (code, why) = if known {
            ("depth_scaled", "which the file declares")
        } else {
            ("depth_guessed", "which is the smallest that holds them, because the file declares none")
        };
        let Range { low, high } = range;
        let detail = format!("samples of {} were scaled from the range {low} to {high}, {why}", name(kind));
        notes.push(DecodeNote { code, detail });
    }
    if known && (least < range.low || greatest > range.high) {
        notes.push(DecodeNote {
            code: "range_clipped",
            detail: "samples beyond the range that the file declares were shown as black or white".to_owned(),
        });
    }
    if !extent.finite {
        notes.push(DecodeNote {
            code: "samples_not_finite",
            detail: "samples that are no numbers were shown as black, infinite ones as black or white"
                .to_owned(),
        });
    }
    Ok((range, notes))
}

fn float_range(least: f64, greatest: f64, whole: bool) -> Result<Range, ImagingError> {
    if least >= -HALF_LEVEL && greatest <= 1.0 + HALF_LEVEL {
        Ok(Range { low: 0.0, high: 1.0 })
    } else if whole && least >= 0.0 && greatest <= 255.0 {
        // 8-bit pictures that a program turned into floating-point numbers, and nothing else.
        Ok(Range { low: 0.0, high: 255.0 })
    } else {
        Err(ImagingError::NotRead {
            what: "a picture of floating-point samples beyond 0 to 1 that doesn't declare their range"
                .to_owned(),
            advice: "scale them to 0 to 1, write SMinSampleValue and SMaxSampleValue, or export 8 or 16 bits",
        })
    }
}

fn name(kind: SampleKind) -> String {
    match kind {
        SampleKind::Unsigned(bits) => format!("{bits} bits"),
        SampleKind::Signed(bits) => format!("{bits} signed bits"),
        SampleKind::Float => "floating-point numbers".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn extent(values: &[f64]) -> Extent {
        let mut extent = Extent::default();
        for &value in values {
            extent.add(value);
        }
        extent
    }

    #[test]
    fn ranges_follow_the_table() {
        let none = Declared::default();
        let both = |low, high| Declared { low: Some(low), high: Some(high) };
        let low = |low| Declared { low: Some(low), high: None };
        let high = |high| Declared { low: None, high: Some(high) };
        let (u, s, f) = (SampleKind::Unsigned, SampleKind::Signed, SampleKind::Float);
        for (kind, values, declared, expected, codes) in [
            (u(8), &[0.0, 3.0][..], both(0.0, 3.0), (0.0, 255.0), ""),
            (u(4), &[0.0, 15.0], none, (0.0, 15.0), ""),
            (u(10), &[0.0, 300.0], none, (0.0, 1023.0), ""),
            (u(12), &[0.0, 300.0], both(0.0, 511.0), (0.0, 511.0), "depth_scaled"),
            (u(16), &[0.0, 0.0], none, (0.0, 255.0), ""),
            (u(16), &[0.0, 3.0], none, (0.0, 255.0), "depth_guessed"),
            (u(16), &[0.0, 255.0], none, (0.0, 255.0), "depth_guessed"),
            (u(16), &[0.0, 256.0], none, (0.0, 511.0), "depth_guessed"),
            (u(16), &[0.0, 511.0], none, (0.0, 511.0), "depth_guessed"),
            (u(16), &[0.0, 1023.0], none, (0.0, 1023.0), "depth_guessed"),
            (u(16), &[0.0, 4064.0], none, (0.0, 4095.0), "depth_guessed"),
            (u(16), &[0.0, 4096.0], none, (0.0, 8191.0), "depth_guessed"),
            (u(16), &[0.0, 16383.0], none, (0.0, 16383.0), "depth_guessed"),
            (u(16), &[0.0, 16384.0], none, (0.0, 65535.0), ""),
            (u(16), &[0.0, 65535.0], none, (0.0, 65535.0), ""),
            (u(16), &[0.0, 300.0], Declared::bits(12), (0.0, 4095.0), "depth_scaled"),
            (u(16), &[0.0, 300.0], high(4095.0), (0.0, 4095.0), "depth_scaled"),
            (u(16), &[0.0, 300.0], low(0.0), (0.0, 511.0), "depth_guessed"),
            (u(16), &[0.0, 300.0], both(0.0, 65535.0), (0.0, 65535.0), ""),
            (u(16), &[100.0, 300.0], both(100.0, 300.0), (100.0, 300.0), "depth_scaled"),
            (u(16), &[0.0, 5000.0], high(4095.0), (0.0, 4095.0), "depth_scaled range_clipped"),
            (u(16), &[0.0, 300.0], both(9.0, 9.0), (0.0, 511.0), "depth_guessed"),
            (u(16), &[0.0, 300.0], both(f64::NAN, f64::INFINITY), (0.0, 511.0), "depth_guessed"),
            (u(32), &[0.0, 254.0], none, (0.0, 255.0), "depth_guessed"),
            (u(32), &[0.0, 20000.0], none, (0.0, 65535.0), "depth_guessed"),
            (u(32), &[0.0, 70000.0], none, (0.0, 131_071.0), "depth_guessed"),
            (u(32), &[0.0, 4_294_967_295.0], none, (0.0, 4_294_967_295.0), ""),
            (s(8), &[-3.0, 3.0], none, (-128.0, 127.0), ""),
            (s(16), &[0.0, 900.0], none, (0.0, 1023.0), "depth_guessed"),
            (s(16), &[0.0, 32767.0], none, (0.0, 32767.0), "depth_guessed"),
            (s(16), &[-500.0, 900.0], none, (-512.0, 1023.0), "depth_guessed"),
            (s(16), &[-1024.0, 3071.0], none, (-1024.0, 4095.0), "depth_guessed"),
            (s(16), &[-900.0, -1.0], none, (-1024.0, 0.0), "depth_guessed"),
            (s(16), &[-32768.0, 32767.0], none, (-32768.0, 32767.0), ""),
            (s(16), &[-1000.0, 3000.0], low(-1024.0), (-1024.0, 3071.0), "depth_scaled"),
            (s(16), &[-1000.0, 3100.0], low(-1024.0), (-1024.0, 7167.0), "depth_scaled"),
            (s(16), &[-1000.0, 3000.0], both(-1024.0, 3071.0), (-1024.0, 3071.0), "depth_scaled"),
            (s(32), &[-70000.0, 5.0], none, (-131_072.0, 255.0), "depth_guessed"),
            (f, &[0.0, 1.0], none, (0.0, 1.0), ""),
            (f, &[0.2, 0.3], none, (0.0, 1.0), ""),
            (f, &[-0.001, 1.001], none, (0.0, 1.0), ""),
            (f, &[0.0, 254.0], none, (0.0, 255.0), "depth_guessed"),
            (f, &[-7.5, 400.0], both(-7.5, 400.0), (-7.5, 400.0), "depth_scaled"),
            (f, &[0.0, f64::NAN], none, (0.0, 1.0), "samples_not_finite"),
        ] {
            let (range, notes) = choose(kind, &extent(values), declared).unwrap();
            let found: Vec<_> = notes.iter().map(|note| note.code).collect();
            assert_eq!((range.low, range.high), expected, "{kind:?} {values:?} {declared:?}");
            assert_eq!(found.join(" "), codes, "{kind:?} {values:?} {declared:?}");
        }
    }

    #[test]
    fn floating_point_samples_beyond_one_are_refused() {
        for values in
            [&[0.0, 1.1][..], &[-1.0, 0.5], &[0.0, 254.5], &[0.0, 256.0], &[-1.0, 200.0], &[0.0, 4095.0]]
        {
            let result = choose(SampleKind::Float, &extent(values), Declared::default());
            assert!(matches!(result, Err(ImagingError::NotRead { .. })), "{values:?}");
            let one_end = Declared { low: Some(-1.0), high: None };
            assert!(choose(SampleKind::Float, &extent(values), one_end).is_err(), "{values:?}");
        }
    }

    proptest! {
        #[test]
        fn scaling_keeps_the_order_and_reaches_both_ends(
            low in -1e6f64..1e6, span in 1f64..1e6, a in any::<f64>(), b in any::<f64>()
        ) {
            let range = Range { low, high: low + span };
            prop_assert_eq!(range.to_u8(low), 0);
            prop_assert_eq!(range.to_u8(range.high), 255);
            if a <= b {
                prop_assert!(range.to_u8(a) <= range.to_u8(b));
            }
        }

        #[test]
        fn the_whole_range_of_16_bits_is_scaled_as_ever(sample in any::<u16>()) {
            let range = Range { low: 0.0, high: 65535.0 };
            prop_assert_eq!(u32::from(range.to_u8(f64::from(sample))), (u32::from(sample) + 128) / 257);
        }
    }
}
