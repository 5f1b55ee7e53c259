//! The size to which Qwen-VL processors bring a picture before cutting it into patches.

use crate::ImagingError;

/// Longest allowed ratio of the sides, as in transformers.
const MAX_ASPECT_RATIO: f64 = 200.0;

/// Height and width, both multiples of `factor`, whose product lies between `min_pixels` and `max_pixels`
/// while the aspect ratio stays as near to the original as that allows. Same as `smart_resize` of
/// `transformers` (`models/qwen2_vl/image_processing_qwen2_vl.py`), whose `round` takes halves to the even
/// neighbour.
///
/// All sizes are in pixels; the result is `(height, width)`.
///
/// # Errors
/// [`ImagingError::AspectRatio`] if one side is more than 200 times the other; [`ImagingError::InvalidSize`]
/// if a side or `factor` is zero or the budget leaves no size at all.
pub fn smart_resize(
    height: u32,
    width: u32,
    factor: u32,
    min_pixels: u64,
    max_pixels: u64,
) -> Result<(u32, u32), ImagingError> {
    if height == 0 || width == 0 || factor == 0 {
        return Err(ImagingError::InvalidSize(format!("{width}x{height} pixels in steps of {factor}")));
    }
    let (h, w, step) = (f64::from(height), f64::from(width), f64::from(factor));
    if h.max(w) / h.min(w) > MAX_ASPECT_RATIO {
        return Err(ImagingError::AspectRatio { width, height });
    }
    let mut rows = (h / step).round_ties_even() * step;
    let mut columns = (w / step).round_ties_even() * step;
    let (least, most) = (min_pixels as f64, max_pixels as f64);
    if rows * columns > most {
        let shrink = (h * w / most).sqrt();
        rows = step.max((h / shrink / step).floor() * step);
        columns = step.max((w / shrink / step).floor() * step);
    } else if rows * columns < least {
        let grow = (least / (h * w)).sqrt();
        rows = (h * grow / step).ceil() * step;
        columns = (w * grow / step).ceil() * step;
    }
    let usable = |side: f64| side >= 1.0 && side <= f64::from(u32::MAX);
    if usable(rows) && usable(columns) {
        Ok((rows as u32, columns as u32))
    } else {
        Err(ImagingError::InvalidSize(format!(
            "{width}x{height} pixels within {min_pixels} to {max_pixels} pixels in steps of {factor}"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn halves_go_to_the_even_neighbour() {
        // 42 / 28 = 1.5 goes up to 2 and 70 / 28 = 2.5 down to 2, as Python rounds.
        assert_eq!(smart_resize(42, 70, 28, 1, 1_000_000), Ok((56, 56)));
    }

    #[test]
    fn impossible_requests_are_refused() {
        assert_eq!(
            smart_resize(1, 201, 28, 1, 1000),
            Err(ImagingError::AspectRatio { width: 201, height: 1 })
        );
        assert!(smart_resize(1, 200, 28, 3136, 1_000_000).is_ok());
        for (height, width, factor, most) in [(0, 5, 28, 99), (5, 0, 28, 99), (5, 5, 0, 99), (5, 5, 28, 0)] {
            let result = smart_resize(height, width, factor, 0, most);
            assert!(
                matches!(result, Err(ImagingError::InvalidSize(_))),
                "{height} {width} {factor}: {result:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn sides_are_multiples_within_the_budget(
            height in 1u32..4000, width in 1u32..4000, factor in 1u32..64, least in 0u64..100_000, span in 0u64..2_000_000
        ) {
            let factor_area = u64::from(factor) * u64::from(factor);
            // A budget that leaves room for a whole step each way, so that both bounds can hold.
            let most = (least * 4).max(factor_area * 1000) + span;
            if let Ok((rows, columns)) = smart_resize(height, width, factor, least, most) {
                prop_assert_eq!((rows % factor, columns % factor), (0, 0));
                let pixels = u64::from(rows) * u64::from(columns);
                prop_assert!(pixels >= least, "{} < {}", pixels, least);
                prop_assert!(pixels <= most, "{} > {}", pixels, most);
            }
        }
    }
}
