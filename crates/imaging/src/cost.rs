//! What decoding an upload takes, known before it begins.

use std::io::Cursor;

use image::{ImageDecoder as _, ImageReader};

use crate::{DecodeLimits, ImageFormat, tiff};

/// Bytes of an RGB picture, once as decoded and once more as it is turned upright.
const TWO_COPIES: u64 = 6;
/// Bytes of a pixel of a JPEG that a decoder keeps besides: coefficients of progressive ones, planes.
const JPEG: u64 = 8;

/// Bytes of memory that decoding an upload takes at most, from its header alone: the stored samples, whatever
/// the decoder keeps beside them, and the RGB picture that they become. 0 for what is refused before any
/// pixel is decoded.
pub fn decode_cost(bytes: &[u8], limits: &DecodeLimits) -> u64 {
    if bytes.len() as u64 > limits.max_bytes {
        return 0;
    }
    let Some(format) = ImageFormat::sniff(bytes) else { return 0 };
    let largest = limits.max_alloc();
    if format == ImageFormat::Tiff && !tiff::is_modest(bytes) {
        return largest;
    }
    let reader = ImageReader::with_format(Cursor::new(bytes), format.codec());
    // What another reader than the codec takes (TIFFs of many kinds, lossless JPEGs) is taken for the
    // largest.
    let Ok(decoder) = reader.into_decoder() else { return largest };
    let (width, height) = decoder.dimensions();
    if limits.check_size(width, height).is_err() {
        return 0;
    }
    let pixels = u64::from(width) * u64::from(height);
    let beside = match format {
        ImageFormat::Jpeg => JPEG * pixels,
        ImageFormat::Tiff | ImageFormat::WebP => decoder.total_bytes(),
        ImageFormat::Png | ImageFormat::Gif | ImageFormat::Bmp => 0,
    };
    decoder.total_bytes().saturating_add(beside).saturating_add(TWO_COPIES * pixels)
}

#[cfg(test)]
mod tests {
    use image::{DynamicImage, ExtendedColorType, ImageEncoder as _, codecs::png::PngEncoder};

    use super::*;

    #[test]
    fn it_is_that_of_the_pixels_and_not_of_the_file() {
        let limits = DecodeLimits::default();
        let (width, height) = (700_u32, 710);
        let pixels = u64::from(width) * u64::from(height);
        let mut grey = Vec::new();
        let empty = vec![0; pixels as usize];
        PngEncoder::new(&mut grey).write_image(&empty, width, height, ExtendedColorType::L8).unwrap();
        assert!(grey.len() < 20_000);
        assert_eq!(decode_cost(&grey, &limits), 7 * pixels);
        let mut deep = Vec::new();
        let empty = vec![0; 8 * pixels as usize];
        PngEncoder::new(&mut deep).write_image(&empty, width, height, ExtendedColorType::Rgba16).unwrap();
        assert_eq!(decode_cost(&deep, &limits), 14 * pixels);
        for (format, least) in [
            (image::ImageFormat::Jpeg, 9),
            (image::ImageFormat::Tiff, 9),
            (image::ImageFormat::Bmp, 9),
            (image::ImageFormat::WebP, 9),
        ] {
            let mut out = Cursor::new(Vec::new());
            DynamicImage::new_rgb8(width, height).write_to(&mut out, format).unwrap();
            let cost = decode_cost(out.get_ref(), &limits);
            assert!((least * pixels..=24 * pixels).contains(&cost), "{format:?}: {}", cost / pixels);
        }
    }

    #[test]
    fn what_is_refused_before_it_is_decoded_costs_nothing() {
        let limits = DecodeLimits { max_pixels: 100, ..DecodeLimits::default() };
        let mut out = Cursor::new(Vec::new());
        DynamicImage::new_rgb8(20, 20).write_to(&mut out, image::ImageFormat::Png).unwrap();
        assert_eq!(decode_cost(out.get_ref(), &limits), 0);
        assert_eq!(decode_cost(b"no picture", &limits), 0);
        assert_eq!(decode_cost(&[], &limits), 0);
        let short = DecodeLimits { max_bytes: 10, ..DecodeLimits::default() };
        assert_eq!(decode_cost(out.get_ref(), &short), 0);
    }
}
