//! Antialiased resampling as Pillow does it.
//!
//! Vision processors of published checkpoints were fed by Pillow or by torchvision, which does the same: the
//! filters are widened by the scale when a picture shrinks, they run along x first, the result is rounded to
//! eight bits, then they run along y. The order matters because the rounding in between also clips overshoot,
//! so the two passes are asked for one after the other here. Since version 13 Pillow begins with y where that
//! is cheaper; on noise it then differs by up to 19/255 from its own earlier results, which are those that
//! the checkpoints know.

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::U8x3;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};
use image::RgbImage;
use serde::{Deserialize, Serialize};

/// Resampling filter, with the support it has in Pillow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Filter {
    /// Cubic convolution with a = −0.5 (Catmull–Rom), Pillow's `BICUBIC`; what `Qwen2VL` and `CLIP`
    /// processors ask for.
    #[default]
    Bicubic,
    /// Triangle filter, Pillow's `BILINEAR`.
    Bilinear,
}

impl Filter {
    fn algorithm(self) -> ResizeAlg {
        ResizeAlg::Convolution(match self {
            Self::Bicubic => FilterType::CatmullRom,
            Self::Bilinear => FilterType::Bilinear,
        })
    }
}

/// Resizes `image` to `width`×`height` pixels, equal to the `Image.resize` of Pillow before version 13, and
/// to torchvision's antialiased `resize` on bytes, within 1/255 per channel.
///
/// A target side of zero is taken as one pixel: a picture always has an area. An empty source gives a black
/// picture.
pub fn resize(image: &RgbImage, width: u32, height: u32, filter: Filter) -> RgbImage {
    let (width, height) = (width.max(1), height.max(1));
    if image.dimensions() == (width, height) {
        return image.clone();
    }
    if image.width() == 0 || image.height() == 0 {
        return RgbImage::new(width, height);
    }
    let mut resizer = Resizer::new();
    if image.height() == height || image.width() == width {
        return pass(&mut resizer, image, width, height, filter);
    }
    let narrowed = pass(&mut resizer, image, width, image.height(), filter);
    pass(&mut resizer, &narrowed, width, height, filter)
}

/// Filters along one axis; the other keeps its length.
fn pass(resizer: &mut Resizer, image: &RgbImage, width: u32, height: u32, filter: Filter) -> RgbImage {
    let mut output = RgbImage::new(width, height);
    let options = ResizeOptions::new().resize_alg(filter.algorithm()).use_alpha(false);
    // The typed form: the dynamic one would compile every pixel type for every instruction set into this
    // crate.
    let source = TypedImageRef::<U8x3>::from_buffer(image.width(), image.height(), image.as_raw());
    let target = TypedImage::<U8x3>::from_buffer(width, height, &mut output);
    if let (Ok(source), Ok(mut target)) = (source, target) {
        // Both views have the size and type of their buffers, which is all that this call can refuse.
        let done = resizer.resize_typed(&source, &mut target, &options);
        debug_assert!(done.is_ok(), "{done:?}");
    }
    output
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn shrinking_averages_the_whole_picture() {
        // Without antialiasing a single sample, black or white, would survive.
        let checker =
            RgbImage::from_fn(64, 64, |x, y| image::Rgb([if (x + y) % 2 == 0 { 255 } else { 0 }; 3]));
        let small = resize(&checker, 4, 4, Filter::Bicubic);
        assert!(small.iter().all(|&c| (126..=129).contains(&c)), "{:?}", small.as_raw());
    }

    #[test]
    fn degenerate_sizes_give_a_picture() {
        let image = RgbImage::from_pixel(3, 2, image::Rgb([9, 8, 7]));
        assert_eq!(resize(&image, 0, 0, Filter::Bicubic).dimensions(), (1, 1));
        assert_eq!(resize(&RgbImage::new(0, 0), 2, 2, Filter::Bilinear), RgbImage::new(2, 2));
    }

    proptest! {
        #[test]
        fn a_plain_picture_stays_plain(
            colour in any::<[u8; 3]>(), from in (1u32..60, 1u32..60), to in (1u32..60, 1u32..60), cubic in any::<bool>()
        ) {
            let filter = if cubic { Filter::Bicubic } else { Filter::Bilinear };
            let plain = RgbImage::from_pixel(from.0, from.1, image::Rgb(colour));
            let resized = resize(&plain, to.0, to.1, filter);
            prop_assert_eq!(resized, RgbImage::from_pixel(to.0, to.1, image::Rgb(colour)));
        }

        #[test]
        fn mirroring_commutes_with_resizing(
            pixels in prop::collection::vec(any::<u8>(), 11 * 7 * 3), to in (1u32..30, 1u32..30)
        ) {
            let image = RgbImage::from_raw(11, 7, pixels).unwrap();
            let one = image::imageops::flip_horizontal(&resize(&image, to.0, to.1, Filter::Bicubic));
            let other = resize(&image::imageops::flip_horizontal(&image), to.0, to.1, Filter::Bicubic);
            for (a, b) in one.iter().zip(other.iter()) {
                prop_assert!(a.abs_diff(*b) <= 1);
            }
        }
    }
}
