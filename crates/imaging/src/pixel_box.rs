//! Boxes in pixels of the upright picture.

use std::fmt;

use image::RgbImage;
use serde::{Deserialize, Serialize};

use crate::ImagingError;

/// An axis-aligned box: `x`, `y` its top left pixel (origin top left, orientation applied), `width`, `height`
/// in pixels.
///
/// Values come from outside, so a box is only meaningful for a picture after [`PixelBox::validate`] or
/// [`PixelBox::clamp`]. The order is by `x`, `y`, `width`, `height`: good for sorting and sets, without
/// geometric meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PixelBox {
    /// Column of the leftmost pixel.
    pub x: u32,
    /// Row of the topmost pixel.
    pub y: u32,
    /// Columns covered.
    pub width: u32,
    /// Rows covered.
    pub height: u32,
}

impl PixelBox {
    /// The box that covers a whole picture.
    pub const fn whole(image_width: u32, image_height: u32) -> Self {
        Self { x: 0, y: 0, width: image_width, height: image_height }
    }

    /// Area in pixels.
    pub const fn area(&self) -> u64 {
        self.width as u64 * self.height as u64
    }

    /// The part of the box that lies on a picture of this size, or `None` if that part is empty.
    ///
    /// Takes `self` by value so that it wins over `Ord::clamp`, which would compare boxes by their order.
    pub fn clamp(self, image_width: u32, image_height: u32) -> Option<Self> {
        let width = self.x.saturating_add(self.width).min(image_width).checked_sub(self.x)?;
        let height = self.y.saturating_add(self.height).min(image_height).checked_sub(self.y)?;
        (width > 0 && height > 0).then_some(Self { x: self.x, y: self.y, width, height })
    }

    /// Checks that the box has an area and lies wholly on a picture of this size.
    ///
    /// # Errors
    /// [`ImagingError::BoxOutside`] otherwise.
    pub fn validate(&self, image_width: u32, image_height: u32) -> Result<(), ImagingError> {
        if (*self).clamp(image_width, image_height) == Some(*self) {
            Ok(())
        } else {
            Err(ImagingError::BoxOutside { bounds: *self, width: image_width, height: image_height })
        }
    }
}

impl fmt::Display for PixelBox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}+{}+{}", self.width, self.height, self.x, self.y)
    }
}

/// Copies the part of `image` that `bounds` covers.
///
/// # Errors
/// [`ImagingError::BoxOutside`] if the box is empty or reaches outside the picture.
pub fn crop(image: &RgbImage, bounds: PixelBox) -> Result<RgbImage, ImagingError> {
    bounds.validate(image.width(), image.height())?;
    Ok(image::imageops::crop_imm(image, bounds.x, bounds.y, bounds.width, bounds.height).to_image())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bounds(x: u32, y: u32, width: u32, height: u32) -> PixelBox {
        PixelBox { x, y, width, height }
    }

    #[test]
    fn boxes_that_miss_the_picture_are_refused() {
        let image = RgbImage::new(10, 5);
        for outside in [
            bounds(0, 0, 0, 3),
            bounds(0, 0, 11, 1),
            bounds(10, 0, 1, 1),
            bounds(0, 5, 1, 1),
            bounds(0, 1, 1, 5),
            bounds(1, 0, u32::MAX, 1),
            bounds(u32::MAX, u32::MAX, u32::MAX, u32::MAX),
        ] {
            let expected = ImagingError::BoxOutside { bounds: outside, width: 10, height: 5 };
            assert_eq!(outside.validate(10, 5), Err(expected.clone()), "{outside}");
            assert_eq!(crop(&image, outside), Err(expected), "{outside}");
        }
        assert_eq!(bounds(9, 4, 1, 1).validate(10, 5), Ok(()));
    }

    #[test]
    fn a_crop_holds_the_pixels_of_its_box() {
        let image = RgbImage::from_fn(10, 5, |x, y| image::Rgb([x as u8, y as u8, 0]));
        let part = crop(&image, bounds(3, 1, 4, 2)).unwrap();
        assert_eq!(part, RgbImage::from_fn(4, 2, |x, y| image::Rgb([x as u8 + 3, y as u8 + 1, 0])));
    }

    #[test]
    fn json_is_that_of_the_interface() {
        let json = serde_json::to_string(&bounds(1, 2, 3, 4)).unwrap();
        assert_eq!(json, r#"{"x":1,"y":2,"width":3,"height":4}"#);
        assert!(serde_json::from_str::<PixelBox>(r#"{"x":-1,"y":2,"width":3,"height":4}"#).is_err());
    }

    proptest! {
        #[test]
        fn clamping_gives_a_valid_part(
            b in any::<(u32, u32, u32, u32)>(), small in (0u32..40, 0u32..40, 0u32..40, 0u32..40),
            image in (0u32..40, 0u32..40)
        ) {
            for b in [bounds(b.0, b.1, b.2, b.3), bounds(small.0, small.1, small.2, small.3)] {
                match b.clamp(image.0, image.1) {
                    Some(part) => {
                        prop_assert_eq!(part.validate(image.0, image.1), Ok(()));
                        prop_assert_eq!(part.clamp(image.0, image.1), Some(part));
                        prop_assert!(part.area() <= b.area());
                    }
                    None => prop_assert!(b.area() == 0 || b.x >= image.0 || b.y >= image.1),
                }
            }
        }
    }
}
