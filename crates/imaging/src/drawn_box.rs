//! Rectangles as people and tools draw them, and the pixels that they cover.

use serde::{Deserialize, Serialize, Serializer};

use crate::pixel_box::PixelBox;

/// Farther from the origin nothing is drawn: what is, is a mistake and no rectangle.
const FARTHEST: f64 = 1e9;

/// A rectangle as it was drawn, in pixels of the upright picture: with fractions, from right to left (a
/// negative width), partly beside the picture.
///
/// Values come from outside and may be anything, not a number too; [`Self::to_pixels`] gives the box that is
/// meant. Whole numbers are written without a point, as [`PixelBox`] writes them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct DrawnBox {
    /// Column where drawing began.
    #[serde(serialize_with = "plain")]
    pub x: f64,
    /// Row where drawing began.
    #[serde(serialize_with = "plain")]
    pub y: f64,
    /// Columns from there; negative to the left.
    #[serde(serialize_with = "plain")]
    pub width: f64,
    /// Rows from there; negative upwards.
    #[serde(serialize_with = "plain")]
    pub height: f64,
}

impl DrawnBox {
    /// The whole pixels of a picture of this size that the rectangle covers: its edges rounded (halves away
    /// from zero) and held inside; one that is thinner than a pixel has one. `None` if it has no area, lies
    /// beside the picture or is no rectangle at all.
    pub fn to_pixels(self, image_width: u32, image_height: u32) -> Option<PixelBox> {
        let numbers = [self.x, self.y, self.width, self.height];
        if !numbers.iter().all(|number| number.abs() <= FARTHEST) || self.width == 0.0 || self.height == 0.0 {
            return None;
        }
        let span = |begin: f64, extent: f64, side| {
            let end = begin + extent;
            pixels_between(begin.min(end), begin.max(end), side)
        };
        let (x, width) = span(self.x, self.width, image_width)?;
        let (y, height) = span(self.y, self.height, image_height)?;
        Some(PixelBox { x, y, width, height })
    }
}

impl From<PixelBox> for DrawnBox {
    fn from(area: PixelBox) -> Self {
        Self { x: area.x.into(), y: area.y.into(), width: area.width.into(), height: area.height.into() }
    }
}

/// First pixel and number of pixels from a place to one that is not before it, within a side of this length.
/// `None` if nothing between them is on the side.
pub fn pixels_between(low: f64, high: f64, side: u32) -> Option<(u32, u32)> {
    let side = f64::from(side);
    // Not a number, or outside.
    if !(low < side && high > 0.0) {
        return None;
    }
    // A thin one still has a pixel.
    let first = low.round().clamp(0.0, side - 1.0);
    let end = high.round().clamp(first + 1.0, side);
    Some((first as u32, (end - first) as u32))
}

/// A whole number without a point.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn plain<S: Serializer>(number: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    if number.fract() == 0.0 && number.abs() <= FARTHEST {
        serializer.serialize_i64(*number as i64)
    } else {
        serializer.serialize_f64(*number)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn drawn(x: f64, y: f64, width: f64, height: f64) -> DrawnBox {
        DrawnBox { x, y, width, height }
    }

    #[test]
    fn pixels_as_they_were_meant() {
        for (given, expected) in [
            (drawn(40.0, 32.0, 60.0, 50.0), (40, 32, 60, 50)),
            (drawn(40.5, 32.25, 60.7, 50.1), (41, 32, 60, 50)),
            (drawn(100.0, 0.0, 61.0, 50.0), (100, 0, 60, 50)),
            (drawn(-2.0, 0.0, 50.0, 50.0), (0, 0, 48, 50)),
            (drawn(100.0, 100.0, -50.0, -40.0), (50, 60, 50, 40)),
            (drawn(-1e6, -1e6, 2e6, 2e6), (0, 0, 160, 120)),
            (drawn(159.7, 119.7, 5.0, 5.0), (159, 119, 1, 1)),
            (drawn(10.1, 10.1, 0.2, 0.2), (10, 10, 1, 1)),
            (drawn(-0.4, -0.0, 1.0, 1.0), (0, 0, 1, 1)),
        ] {
            let (x, y, width, height) = expected;
            assert_eq!(given.to_pixels(160, 120), Some(PixelBox { x, y, width, height }), "{given:?}");
        }
    }

    #[test]
    fn what_is_beside_the_picture_or_nothing_is_refused() {
        for given in [
            drawn(160.0, 0.0, 10.0, 10.0),
            drawn(0.0, 120.0, 10.0, 10.0),
            drawn(-10.0, 0.0, 10.0, 10.0),
            drawn(0.0, 0.0, 10.0, -5.0),
            drawn(10.0, 10.0, 0.0, 10.0),
            drawn(10.0, 10.0, 10.0, -0.0),
            drawn(f64::NAN, 0.0, 10.0, 10.0),
            drawn(0.0, 0.0, f64::INFINITY, 10.0),
            drawn(-1e300, 0.0, 2e300, 10.0),
            drawn(0.0, -1e10, 10.0, 2e10),
        ] {
            assert_eq!(given.to_pixels(160, 120), None, "{given:?}");
        }
        assert_eq!(drawn(0.0, 0.0, 1.0, 1.0).to_pixels(0, 5), None);
    }

    #[test]
    fn whole_numbers_are_written_as_those_of_pixels() {
        let json = serde_json::to_string(&drawn(1.0, 2.5, -3.0, 4.0)).unwrap();
        assert_eq!(json, r#"{"x":1,"y":2.5,"width":-3,"height":4}"#);
    }

    proptest! {
        #[test]
        fn boxes_inside_stay_as_they_are(width in 1..9000u32, height in 1..9000u32, a: u32, b: u32, c: u32, d: u32) {
            let (x, y) = (a % width, b % height);
            let area = PixelBox { x, y, width: 1 + c % (width - x), height: 1 + d % (height - y) };
            prop_assert_eq!(DrawnBox::from(area).to_pixels(width, height), Some(area));
        }

        #[test]
        fn pixels_are_inside(x: f64, y in -1e4..1e4f64, w in -1e4..1e4f64, h in -1e4..1e4f64, width in 1..3000u32, height in 1..3000u32) {
            for given in [drawn(x, y, w, h), drawn(y, y, w, h)] {
                if let Some(area) = given.to_pixels(width, height) {
                    prop_assert!(area.validate(width, height).is_ok(), "{:?}", area);
                }
            }
        }
    }
}
