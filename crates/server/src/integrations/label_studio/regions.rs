//! Rectangles of Label Studio, in percent of the picture, and boxes of pixels.

use reasonedit_imaging::{PixelBox, pixels_between};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A rectangle in percent of the upright picture; turned by `rotation` degrees clockwise about its top left corner.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct PercentBox {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
    #[serde(default)]
    pub(super) rotation: f64,
}

impl PercentBox {
    /// The box of pixels of a picture of this size that holds the rectangle; `None` if they have no pixel in common.
    pub(super) fn to_pixels(self, width: u32, height: u32) -> Option<PixelBox> {
        let (w, h) = (f64::from(width), f64::from(height));
        let (left, top) = (self.x / 100.0 * w, self.y / 100.0 * h);
        let (dx, dy) = (self.width / 100.0 * w, self.height / 100.0 * h);
        let (sin, cos) = self.rotation.to_radians().sin_cos();
        let corners = [(0.0, 0.0), (dx, 0.0), (0.0, dy), (dx, dy)];
        let xs = corners.map(|(x, y)| left + x * cos - y * sin);
        let ys = corners.map(|(x, y)| top + x * sin + y * cos);
        let (x, width) = extent(xs, width)?;
        let (y, height) = extent(ys, height)?;
        Some(PixelBox { x, y, width, height })
    }

    /// The rectangle of a box inside a picture of this size.
    pub(super) fn of_pixels(area: PixelBox, width: u32, height: u32) -> Self {
        let percent = |part: u32, whole: u32| f64::from(part) * 100.0 / f64::from(whole.max(1));
        Self {
            x: percent(area.x, width),
            y: percent(area.y, height),
            width: percent(area.width, width),
            height: percent(area.height, height),
            rotation: 0.0,
        }
    }

    /// As the value of a region, to be completed with labels.
    pub(super) fn value(self) -> Value {
        json!({"x": self.x, "y": self.y, "width": self.width, "height": self.height, "rotation": self.rotation})
    }
}

/// First pixel and number of pixels from the least to the greatest of the places, within a side of this length.
fn extent(places: [f64; 4], side: u32) -> Option<(u32, u32)> {
    let low = places.into_iter().fold(f64::INFINITY, f64::min);
    let high = places.into_iter().fold(f64::NEG_INFINITY, f64::max);
    pixels_between(low, high, side)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rectangle(x: f64, y: f64, width: f64, height: f64, rotation: f64) -> PercentBox {
        PercentBox { x, y, width, height, rotation }
    }

    #[test]
    fn percents_are_of_each_side() {
        let area = rectangle(10.0, 50.0, 25.0, 50.0, 0.0).to_pixels(200, 80);
        assert_eq!(area, Some(PixelBox { x: 20, y: 40, width: 50, height: 40 }));
        // A quarter turn about the corner: what was to the right is below.
        let area = rectangle(50.0, 25.0, 20.0, 25.0, 90.0).to_pixels(200, 80);
        assert_eq!(area, Some(PixelBox { x: 80, y: 20, width: 20, height: 40 }));
        let area = rectangle(99.9, 0.0, 0.01, 0.01, 0.0).to_pixels(100, 100);
        assert_eq!(area, Some(PixelBox { x: 99, y: 0, width: 1, height: 1 }));
        for outside in [
            rectangle(100.0, 0.0, 10.0, 10.0, 0.0),
            rectangle(-20.0, 0.0, 10.0, 10.0, 0.0),
            rectangle(f64::NAN, 0.0, 10.0, 10.0, 0.0),
            rectangle(0.0, 0.0, 10.0, 10.0, f64::INFINITY),
        ] {
            assert_eq!(outside.to_pixels(100, 100), None, "{outside:?}");
        }
    }

    proptest! {
        #[test]
        fn boxes_come_back(width in 1..5000u32, height in 1..5000u32, a: u32, b: u32, c: u32, d: u32) {
            let (x, y) = (a % width, b % height);
            let area = PixelBox { x, y, width: 1 + c % (width - x), height: 1 + d % (height - y) };
            prop_assert_eq!(PercentBox::of_pixels(area, width, height).to_pixels(width, height), Some(area));
        }

        #[test]
        fn whatever_was_drawn_is_inside(
            x in -1e9..1e9f64, y in -200.0..300.0f64, w in -1e3..1e12f64, h in -100.0..200.0f64, turn in -720.0..720.0f64,
            width in 1..3000u32, height in 1..3000u32,
        ) {
            if let Some(area) = rectangle(x, y, w, h, turn).to_pixels(width, height) {
                prop_assert!(area.width >= 1 && area.height >= 1);
                prop_assert!(area.x + area.width <= width && area.y + area.height <= height, "{area:?}");
            }
        }
    }
}
