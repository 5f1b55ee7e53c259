//! What is drawn in Label Studio, in percent of the picture, and boxes of pixels.

use reasonedit_http::json::from_ref;
use reasonedit_imaging::{PixelBox, pixels_between};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A rectangle in percent of the upright picture; turned by `rotation` degrees clockwise about its top left
/// corner.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct PercentBox {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
    #[serde(default)]
    pub(super) rotation: f64,
}

/// An ellipse in percent of each side of the upright picture; turned by `rotation` degrees clockwise about
/// its centre.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PercentEllipse {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) radius_x: f64,
    pub(super) radius_y: f64,
    #[serde(default)]
    pub(super) rotation: f64,
}

/// What a box can be made of.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Area {
    // First: its fields are not a rectangle's.
    Ellipse(PercentEllipse),
    Rectangle(PercentBox),
}

/// A region of an annotation.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Drawn {
    /// One that a box can be made of.
    Area(Area),
    /// One that none can be made of, and why.
    Unusable(String),
}

impl Drawn {
    /// Reads a result of this kind; `None` if nothing is drawn by it.
    pub(super) fn read(kind: &str, value: &Value) -> Option<Self> {
        let shape = kind.strip_suffix("labels").unwrap_or(kind);
        let area = match shape {
            "rectangle" => from_ref::<PercentBox>(value).ok().map(Area::Rectangle),
            "ellipse" => from_ref::<PercentEllipse>(value).ok().map(Area::Ellipse),
            "polygon" => polygon(value).map(Area::Rectangle),
            "brush" | "bitmask" | "keypoint" | "vector" => {
                let name =
                    if shape == "keypoint" { "a point".to_owned() } else { format!("a {shape} region") };
                return Some(Self::Unusable(format!(
                    "{name} can't be used as evidence: draw a rectangle, an ellipse or a polygon"
                )));
            }
            _ => return None,
        };
        let unreadable = || Self::Unusable(format!("the place of the {shape} can't be read"));
        Some(area.map_or_else(unreadable, Self::Area))
    }
}

impl Area {
    /// The box of pixels of a picture of this size that holds it; `None` if they have no pixel in common.
    pub(super) fn to_pixels(self, width: u32, height: u32) -> Option<PixelBox> {
        match self {
            Self::Rectangle(rectangle) => rectangle.to_pixels(width, height),
            Self::Ellipse(ellipse) => ellipse.to_pixels(width, height),
        }
    }

    /// That a box around it was taken instead of itself, in words; `None` where it is a box.
    pub(super) fn enclosed(&self, kind: &str) -> Option<String> {
        match self {
            Self::Rectangle(rectangle) if kind.starts_with("rectangle") => {
                // Quarter turns leave a box a box.
                let turn = rectangle.rotation.rem_euclid(90.0);
                (turn > 1e-6 && turn < 90.0 - 1e-6).then(|| {
                    format!(
                        "the rectangle is turned by {:.1} degrees: the upright box that holds it was taken",
                        rectangle.rotation
                    )
                })
            }
            Self::Rectangle(_) => Some("the upright box that holds the polygon was taken".to_owned()),
            Self::Ellipse(_) => Some("the upright box that holds the ellipse was taken".to_owned()),
        }
    }
}

/// The rectangle that holds a polygon; `None` if it has no area or no readable points.
fn polygon(value: &Value) -> Option<PercentBox> {
    let points = <Vec<[f64; 2]>>::deserialize(value.get("points")?).ok()?;
    let side = |axis: usize| {
        let low = points.iter().map(|point| point[axis]).fold(f64::INFINITY, f64::min);
        let high = points.iter().map(|point| point[axis]).fold(f64::NEG_INFINITY, f64::max);
        (high > low).then_some((low, high - low))
    };
    let ((x, width), (y, height)) = (side(0)?, side(1)?);
    Some(PercentBox { x, y, width, height, rotation: 0.0 })
}

impl PercentEllipse {
    /// As [`Area::to_pixels`].
    fn to_pixels(self, width: u32, height: u32) -> Option<PixelBox> {
        let (w, h) = (f64::from(width), f64::from(height));
        let (x, y) = (self.x / 100.0 * w, self.y / 100.0 * h);
        let (rx, ry) = (self.radius_x / 100.0 * w, self.radius_y / 100.0 * h);
        let (sin, cos) = self.rotation.to_radians().sin_cos();
        let (across, down) = ((rx * cos).hypot(ry * sin), (rx * sin).hypot(ry * cos));
        let (x, width) = extent([x - across, x + across, x, x], width)?;
        let (y, height) = extent([y - down, y + down, y, y], height)?;
        Some(PixelBox { x, y, width, height })
    }
}

impl PercentBox {
    /// The box of pixels of a picture of this size that holds the rectangle; `None` if they have no pixel in
    /// common.
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

/// First pixel and number of pixels from the least to the greatest of the places, within a side of this
/// length.
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

    #[test]
    fn turned_rectangles_are_where_label_studios_converter_has_them() {
        // Corners by `convert_annotation_to_yolo_obb` of label-studio-sdk 2.1.2, rounded and held inside.
        for (width, height, turned, (x, y, columns, rows)) in [
            (600, 400, rectangle(10.0, 20.0, 30.0, 40.0, 30.0), (0, 80, 216, 229)),
            (600, 400, rectangle(50.0, 50.0, 20.0, 10.0, 315.0), (300, 115, 113, 113)),
            (200, 80, rectangle(60.0, 10.0, 20.0, 25.0, 120.5), (82, 0, 38, 42)),
        ] {
            let area = PixelBox { x, y, width: columns, height: rows };
            assert_eq!(turned.to_pixels(width, height), Some(area), "{turned:?}");
        }
    }

    #[test]
    fn ellipses_and_polygons_have_boxes() {
        let of = |kind: &str, value: Value| match Drawn::read(kind, &value) {
            Some(Drawn::Area(area)) => (area.to_pixels(200, 100), area.enclosed(kind).is_some()),
            other => panic!("{other:?}"),
        };
        let boxed = |x, y, width, height| Some(PixelBox { x, y, width, height });
        let ellipse =
            |rotation: f64| json!({"x": 50, "y": 50, "radiusX": 20, "radiusY": 10, "rotation": rotation});
        assert_eq!(of("ellipse", ellipse(0.0)), (boxed(60, 40, 80, 20), true));
        // Radii of 40 and 10 pixels change places.
        assert_eq!(of("ellipselabels", ellipse(90.0)), (boxed(90, 10, 20, 80), true));
        let points = json!({"points": [[10, 20], [60, 30], [40, 80]], "closed": true});
        assert_eq!(of("polygonlabels", points), (boxed(20, 20, 100, 60), true));
        let rectangle =
            |rotation: f64| json!({"x": 10, "y": 20, "width": 10, "height": 10, "rotation": rotation});
        assert_eq!(of("rectanglelabels", rectangle(0.0)), (boxed(20, 20, 20, 10), false));
        assert_eq!(of("rectangle", rectangle(270.0)), (boxed(20, 0, 10, 20), false));
        assert!(of("rectangle", rectangle(30.0)).1);
        for (kind, value) in [
            ("polygon", json!({"points": [[1, 1], [1, 5]]})),
            ("polygon", json!({"points": [[1], [1, 5]]})),
            ("ellipse", json!({"x": 1})),
            ("rectanglelabels", json!({"x": "left"})),
            ("brushlabels", json!({"rle": [0, 1]})),
            ("keypoint", json!({"x": 1, "y": 2, "width": 1})),
        ] {
            assert!(matches!(Drawn::read(kind, &value), Some(Drawn::Unusable(_))), "{kind}");
        }
        assert_eq!(Drawn::read("choices", &json!({"choices": ["a"]})), None);
        // What waited in a queue before ellipses were known reads back as it was.
        let stored = json!({"x": 1.0, "y": 2.0, "width": 3.0, "height": 4.0, "rotation": 0.0});
        let area: Area = serde_json::from_value(stored.clone()).unwrap();
        assert_eq!(
            (area, serde_json::to_value(area).unwrap()),
            (Area::Rectangle(rectangle_of(&stored)), stored)
        );
    }

    fn rectangle_of(value: &Value) -> PercentBox {
        PercentBox::deserialize(value).unwrap()
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
