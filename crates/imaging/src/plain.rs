//! Which files every program shows alike. Readers differ over orientation, transparency, deep samples and
//! colour models: a file without any of them can be handed on as it came.

use image::metadata::Orientation;

use crate::{ImageFormat, jpeg};

/// How XMP says that a picture has to be turned, which some readers follow.
const XMP_ORIENTATION: &[u8] = b"tiff:Orientation";
/// Chunks of a PNG that change nothing of what a reader shows.
const HARMLESS_CHUNKS: [&[u8; 4]; 13] = [
    b"IHDR", b"PLTE", b"IDAT", b"IEND", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"pHYs", b"tIME", b"bKGD",
    b"hIST", b"sBIT",
];

/// The format of a file that every program shows as [`decode`](crate::decode) does: an upright JPEG of grey
/// or colours, a PNG of at most 8 bits without transparency, a lossy WebP without extensions. `None` for any
/// other, which is handed on as [`encode_png`](crate::encode_png) of what was decoded.
pub fn plain_format(bytes: &[u8]) -> Option<ImageFormat> {
    let format = ImageFormat::sniff(bytes)?;
    let plain = match format {
        ImageFormat::Jpeg => is_plain_jpeg(bytes),
        ImageFormat::Png => is_plain_png(bytes).unwrap_or(false),
        ImageFormat::WebP => bytes.get(12..16) == Some(b"VP8 "),
        ImageFormat::Gif | ImageFormat::Bmp | ImageFormat::Tiff => false,
    };
    plain.then_some(format)
}

fn is_plain_jpeg(bytes: &[u8]) -> bool {
    let turned = |body: &[u8]| {
        let exif = body.strip_prefix(b"Exif\0\0").and_then(Orientation::from_exif_chunk);
        exif.is_some_and(|orientation| orientation != Orientation::NoTransforms)
            || holds_xmp_orientation(body)
    };
    jpeg::is_common(bytes) && jpeg::is_complete(bytes) && !jpeg::application_data(bytes).any(turned)
}

fn holds_xmp_orientation(body: &[u8]) -> bool {
    body.windows(XMP_ORIENTATION.len()).any(|window| window == XMP_ORIENTATION)
}

/// Whether a PNG holds nothing but what all readers take alike; `None` where its chunks break off.
fn is_plain_png(bytes: &[u8]) -> Option<bool> {
    let mut rest = bytes.get(8..)?;
    loop {
        let (head, after) = rest.split_at_checked(8)?;
        let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let body = after.get(..length)?;
        match &head[4..] {
            b"IHDR" => {
                let (depth, colour) = (*body.get(8)?, *body.get(9)?);
                if depth > 8 || colour & 4 != 0 {
                    return Some(false);
                }
            }
            b"IEND" => return Some(true),
            // What ImageMagick keeps of EXIF stands in a text.
            b"tEXt" if !body.starts_with(b"Raw profile") => {}
            kind if HARMLESS_CHUNKS.iter().any(|harmless| *harmless == kind) => {}
            _ => return Some(false),
        }
        rest = after.get(length.checked_add(4)?..)?;
    }
}

#[cfg(test)]
mod tests {
    use image::codecs::jpeg::JpegEncoder;
    use image::{DynamicImage, ExtendedColorType, ImageEncoder as _, RgbImage};

    use super::*;
    use crate::{encode_jpeg, encode_png};

    fn picture() -> RgbImage {
        RgbImage::from_fn(20, 10, |x, y| image::Rgb([x as u8, y as u8, 7]))
    }

    fn written(image: &DynamicImage, format: image::ImageFormat) -> Vec<u8> {
        let mut bytes = std::io::Cursor::new(Vec::new());
        image.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    /// A JPEG with this after its first marker.
    fn with_segment(kind: u8, body: &[u8]) -> Vec<u8> {
        let bytes = encode_jpeg(&picture(), 90).unwrap();
        let length = u16::try_from(body.len() + 2).unwrap().to_be_bytes();
        [&bytes[..2], &[0xFF, kind], &length, body, &bytes[2..]].concat()
    }

    /// The EXIF block of an orientation.
    fn exif(orientation: u8) -> Vec<u8> {
        let entry = [0x12, 0x01, 3, 0, 1, 0, 0, 0, orientation, 0, 0, 0];
        [&b"Exif\0\0II*\0"[..], &[8, 0, 0, 0, 1, 0], &entry, &[0; 4]].concat()
    }

    #[test]
    fn ordinary_files_stay_as_they_are() {
        assert_eq!(plain_format(&encode_jpeg(&picture(), 90).unwrap()), Some(ImageFormat::Jpeg));
        assert_eq!(plain_format(&encode_png(&picture()).unwrap()), Some(ImageFormat::Png));
        let grey = DynamicImage::from(picture()).into_luma8();
        assert_eq!(plain_format(&written(&grey.into(), image::ImageFormat::Png)), Some(ImageFormat::Png));
        assert_eq!(plain_format(&with_segment(0xE1, &exif(1))), Some(ImageFormat::Jpeg));
        assert_eq!(
            plain_format(&with_segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x/>")),
            Some(ImageFormat::Jpeg)
        );
    }

    #[test]
    fn what_readers_show_each_in_their_way_does_not() {
        let whole = DynamicImage::from(picture());
        let jpeg = encode_jpeg(&picture(), 90).unwrap();
        let mut cmyk = Vec::new();
        JpegEncoder::new(&mut cmyk).write_image(&[9; 27], 3, 3, ExtendedColorType::Rgb8).unwrap();
        let at = cmyk.windows(2).position(|two| two == [0xFF, 0xC0]).unwrap();
        cmyk[at + 9] = 4;
        let png = encode_png(&picture()).unwrap();
        let chunk = |kind: &[u8; 4], body: &[u8]| {
            let length = u32::try_from(body.len()).unwrap().to_be_bytes();
            [&png[..33], &length, kind, body, &[0; 4], &png[33..]].concat()
        };
        for (what, bytes) in [
            ("turned by EXIF", with_segment(0xE1, &exif(6))),
            ("turned by XMP", with_segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x tiff:Orientation='6'/>")),
            ("cut short", jpeg[..jpeg.len() - 2].to_vec()),
            ("four components", cmyk),
            ("transparent", written(&whole.clone().into_rgba8().into(), image::ImageFormat::Png)),
            ("deep", written(&whole.clone().into_luma16().into(), image::ImageFormat::Png)),
            ("PNG turned by EXIF", chunk(b"eXIf", &exif(6)[6..])),
            ("PNG with a transparent colour", chunk(b"tRNS", &[0; 6])),
            ("PNG with EXIF of ImageMagick", chunk(b"tEXt", b"Raw profile type exif\0x")),
            ("PNG cut short", png[..png.len() - 12].to_vec()),
            ("lossless WebP", written(&whole, image::ImageFormat::WebP)),
            ("GIF", written(&whole, image::ImageFormat::Gif)),
            ("BMP", written(&whole, image::ImageFormat::Bmp)),
            ("TIFF", written(&whole, image::ImageFormat::Tiff)),
            ("no picture", b"no picture".to_vec()),
        ] {
            assert_eq!(plain_format(&bytes), None, "{what}");
        }
        assert_eq!(plain_format(&chunk(b"tEXt", b"Title\0x")), Some(ImageFormat::Png));
    }
}
