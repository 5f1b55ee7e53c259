//! Pictures back to bytes.

use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder as _, RgbImage};

use crate::ImagingError;

/// Encodes as 8-bit RGB PNG, without loss.
///
/// # Errors
/// [`ImagingError::Encode`] if the picture has no pixels.
pub fn encode_png(image: &RgbImage) -> Result<Vec<u8>, ImagingError> {
    let mut bytes = Vec::new();
    PngEncoder::new_with_quality(&mut bytes, CompressionType::Fast, FilterType::Adaptive)
        .write_image(image, image.width(), image.height(), ExtendedColorType::Rgb8)
        .map_err(|error| ImagingError::Encode(error.to_string()))?;
    Ok(bytes)
}

/// Encodes as JPEG at `quality` from 1 (smallest) to 100 (best); other values are brought into that range.
///
/// # Errors
/// [`ImagingError::Encode`] if the picture has no pixels or a side above the 65,535 that the format can
/// state.
pub fn encode_jpeg(image: &RgbImage, quality: u8) -> Result<Vec<u8>, ImagingError> {
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, quality.clamp(1, 100))
        .write_image(image, image.width(), image.height(), ExtendedColorType::Rgb8)
        .map_err(|error| ImagingError::Encode(error.to_string()))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DecodeLimits, ImageFormat, decode};

    fn gradient() -> RgbImage {
        RgbImage::from_fn(40, 30, |x, y| image::Rgb([x as u8 * 6, y as u8 * 8, 128]))
    }

    #[test]
    fn png_keeps_every_pixel() {
        let decoded = decode(&encode_png(&gradient()).unwrap(), &DecodeLimits::default()).unwrap();
        assert_eq!(decoded.format, ImageFormat::Png);
        assert_eq!(decoded.image, gradient());
    }

    #[test]
    fn jpeg_quality_trades_size_for_fidelity() {
        let error = |quality| {
            let bytes = encode_jpeg(&gradient(), quality).unwrap();
            let decoded = decode(&bytes, &DecodeLimits::default()).unwrap();
            assert_eq!(decoded.format, ImageFormat::Jpeg);
            let sum: u32 =
                gradient().iter().zip(decoded.image.iter()).map(|(a, b)| u32::from(a.abs_diff(*b))).sum();
            (bytes.len(), sum)
        };
        let (good, rough) = (error(95), error(10));
        assert!(good.0 > rough.0 && good.1 < rough.1, "{good:?} {rough:?}");
        assert_eq!(error(0), error(1));
        assert_eq!(error(200), error(100));
    }

    #[test]
    fn a_picture_without_pixels_is_refused() {
        assert!(matches!(encode_jpeg(&RgbImage::new(0, 0), 90), Err(ImagingError::Encode(_))));
        assert!(matches!(encode_png(&RgbImage::new(0, 4)), Err(ImagingError::Encode(_))));
    }
}
