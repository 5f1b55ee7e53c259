//! Untrusted bytes to an upright RGB picture.

use std::fmt;
use std::io::Cursor;

use image::error::{ImageError, LimitErrorKind};
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageReader, Limits, RgbImage};
use serde::{Deserialize, Serialize};

use crate::{ImagingError, orient};

/// What an upload may cost. All limits are checked before pixels are decoded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DecodeLimits {
    /// Most bytes of the encoded file.
    pub max_bytes: u64,
    /// Most pixels (width times height).
    pub max_pixels: u64,
    /// Longest side in pixels.
    pub max_side: u32,
}

impl Default for DecodeLimits {
    fn default() -> Self {
        Self { max_bytes: 20 * 1024 * 1024, max_pixels: 50_000_000, max_side: 16_384 }
    }
}

impl DecodeLimits {
    /// Bytes a decoder may allocate: the largest picture allowed at 16 bits in four channels, and some working space.
    fn max_alloc(&self) -> u64 {
        self.max_pixels.saturating_mul(8).saturating_add(16 * 1024 * 1024)
    }

    fn check_size(&self, width: u32, height: u32) -> Result<(), ImagingError> {
        let side = width.max(height);
        if side > self.max_side {
            return Err(ImagingError::SideTooLong { limit: self.max_side, actual: side });
        }
        let pixels = u64::from(width) * u64::from(height);
        if pixels > self.max_pixels {
            return Err(ImagingError::TooManyPixels { limit: self.max_pixels, actual: pixels });
        }
        if pixels == 0 {
            return Err(ImagingError::Malformed("it has no pixels".to_owned()));
        }
        Ok(())
    }
}

/// File formats that are read. Recognised by content, never by name or media type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ImageFormat {
    /// JPEG, baseline or progressive; grey, YCbCr, RGB, CMYK or YCCK.
    Jpeg,
    /// PNG of any colour type and depth.
    Png,
    /// WebP, lossy or lossless; of an animation the first frame.
    WebP,
    /// GIF; of an animation the first frame.
    Gif,
    /// Windows bitmap.
    Bmp,
    /// TIFF; of several pages the first.
    Tiff,
}

impl ImageFormat {
    /// The format that the first bytes of a file announce.
    pub fn sniff(bytes: &[u8]) -> Option<Self> {
        match image::guess_format(bytes).ok()? {
            image::ImageFormat::Jpeg => Some(Self::Jpeg),
            image::ImageFormat::Png => Some(Self::Png),
            image::ImageFormat::WebP => Some(Self::WebP),
            image::ImageFormat::Gif => Some(Self::Gif),
            image::ImageFormat::Bmp => Some(Self::Bmp),
            image::ImageFormat::Tiff => Some(Self::Tiff),
            _ => None,
        }
    }

    const fn codec(self) -> image::ImageFormat {
        match self {
            Self::Jpeg => image::ImageFormat::Jpeg,
            Self::Png => image::ImageFormat::Png,
            Self::WebP => image::ImageFormat::WebP,
            Self::Gif => image::ImageFormat::Gif,
            Self::Bmp => image::ImageFormat::Bmp,
            Self::Tiff => image::ImageFormat::Tiff,
        }
    }

    /// Internet media type, such as `image/jpeg`.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
            Self::WebP => "image/webp",
            Self::Gif => "image/gif",
            Self::Bmp => "image/bmp",
            Self::Tiff => "image/tiff",
        }
    }
}

/// How stored samples become 8-bit RGB. Keys are made of pixels: those made under one of these don't stand beside those made under another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PixelRules {
    /// As the first releases had it: 16 bits are scaled by the whole range of their type, transparency stands on white.
    #[default]
    First,
    /// Samples above 8 bits are scaled by the range that the file declares or holds; transparency by what it hides.
    DeclaredRange,
}

impl PixelRules {
    /// What new codebooks are made under.
    pub const CURRENT: Self = Self::DeclaredRange;
}

/// Something that decoding did to samples and that a person should know of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodeNote {
    /// For programs: lower case with underscores, such as `depth_scaled`.
    pub code: &'static str,
    /// For people; no bytes of the file in it.
    pub detail: String,
}

/// A decoded upload. Its `Debug` form names the size and not the pixels, so that it can stand in a log.
#[derive(Clone)]
pub struct Decoded {
    /// Upright 8-bit RGB picture.
    pub image: RgbImage,
    /// The format it came in.
    pub format: ImageFormat,
    /// What was done to its samples; empty for most pictures.
    pub notes: Vec<DecodeNote>,
}

impl fmt::Debug for Decoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} of {}x{} pixels", self.format, self.image.width(), self.image.height())
    }
}

/// Decodes an upload to an upright RGB picture.
///
/// The format is sniffed from the content. Sizes are read from the header and checked against `limits` before any pixel is
/// decoded. The EXIF orientation is applied, transparency is blended over white, grey and palettes become RGB, 16-bit
/// channels are scaled to 8 bits, CMYK and YCCK JPEGs (with the inverted inks that Adobe writes, as Pillow assumes too) are
/// multiplied out. Embedded colour profiles are ignored, as the processors of the published checkpoints do.
///
/// # Errors
/// [`ImagingError::Empty`], [`ImagingError::TooManyBytes`], [`ImagingError::UnsupportedFormat`],
/// [`ImagingError::SideTooLong`], [`ImagingError::TooManyPixels`], [`ImagingError::TooMuchMemory`], or
/// [`ImagingError::Malformed`] for content that is damaged or cut short.
pub fn decode(bytes: &[u8], limits: &DecodeLimits) -> Result<Decoded, ImagingError> {
    decode_under(bytes, limits, PixelRules::CURRENT)
}

/// As [`decode`], with samples taken as an older codebook had them.
///
/// # Errors
/// As [`decode`].
pub fn decode_under(
    bytes: &[u8],
    limits: &DecodeLimits,
    _rules: PixelRules,
) -> Result<Decoded, ImagingError> {
    if bytes.is_empty() {
        return Err(ImagingError::Empty);
    }
    let actual = bytes.len() as u64;
    if actual > limits.max_bytes {
        return Err(ImagingError::TooManyBytes { limit: limits.max_bytes, actual });
    }
    let format = ImageFormat::sniff(bytes).ok_or(ImagingError::UnsupportedFormat)?;
    let max_alloc = limits.max_alloc();
    let failed = |error| from_codec(error, max_alloc);

    let mut reader = ImageReader::with_format(Cursor::new(bytes), format.codec());
    let mut codec_limits = Limits::no_limits();
    codec_limits.max_alloc = Some(max_alloc);
    reader.limits(codec_limits);
    let mut decoder = reader.into_decoder().map_err(failed)?;
    let (width, height) = decoder.dimensions();
    limits.check_size(width, height)?;
    if decoder.total_bytes() > max_alloc {
        return Err(ImagingError::TooMuchMemory { limit: max_alloc });
    }
    if format == ImageFormat::Jpeg && !jpeg_is_complete(bytes) {
        // The codec would fill the missing part with grey, and an edit would then speak of a picture that nobody took.
        return Err(ImagingError::Malformed("it is cut short".to_owned()));
    }
    let orientation = orientation(&mut decoder, format);
    let pixels = DynamicImage::from_decoder(decoder).map_err(failed)?;
    let flat = if pixels.color().has_alpha() { over_white(pixels) } else { pixels.into_rgb8() };
    Ok(Decoded { image: orient::apply(flat, orientation), format, notes: Vec::new() })
}

/// The orientation tag of the file; damaged metadata counts as none, because the pixels are still good.
fn orientation(decoder: &mut impl ImageDecoder, format: ImageFormat) -> Orientation {
    let found =
        if format == ImageFormat::Tiff {
            decoder.orientation().ok()
        } else {
            // Some writers of WebP and PNG keep the prefix that the block has inside a JPEG.
            decoder.exif_metadata().ok().flatten().and_then(|block| {
                Orientation::from_exif_chunk(block.strip_prefix(b"Exif\0\0").unwrap_or(&block))
            })
        };
    found.unwrap_or(Orientation::NoTransforms)
}

/// Blends a picture with alpha over white.
fn over_white(image: DynamicImage) -> RgbImage {
    let image = image.into_rgba8();
    let (width, height) = image.dimensions();
    let mut flat = RgbImage::new(width, height);
    for (target, source) in flat.chunks_exact_mut(3).zip(image.chunks_exact(4)) {
        let alpha = u32::from(source[3]);
        for (target, &channel) in target.iter_mut().zip(source) {
            // At most 255·255 + 127, so the quotient fits a byte.
            *target = ((u32::from(channel) * alpha + 255 * (255 - alpha) + 127) / 255) as u8;
        }
    }
    flat
}

/// Whether the segments of a JPEG run on to its end-of-image marker.
fn jpeg_is_complete(bytes: &[u8]) -> bool {
    let mut rest = bytes.get(2..).unwrap_or_default();
    while let Some(at) = rest.iter().position(|&byte| byte == 0xFF) {
        rest = &rest[at + 1..];
        match rest {
            [0xD9, ..] => return true,
            // Fill byte: the marker's code is still to come.
            [0xFF, ..] => {}
            // Stuffed byte of entropy-coded data, or a marker without a segment.
            [0x00 | 0x01 | 0xD0..=0xD8, after @ ..] => rest = after,
            [_, high, low, ..] => {
                let length = usize::from(u16::from_be_bytes([*high, *low]));
                match rest.get(1 + length..) {
                    Some(after) => rest = after,
                    None => return false,
                }
            }
            _ => return false,
        }
    }
    false
}

/// Puts an error of the codecs into this crate's terms.
fn from_codec(error: ImageError, max_alloc: u64) -> ImagingError {
    match error {
        ImageError::Unsupported(_) => ImagingError::UnsupportedFormat,
        ImageError::Limits(limit) if matches!(limit.kind(), LimitErrorKind::DimensionError) => {
            ImagingError::Malformed("its size is impossible".to_owned())
        }
        ImageError::Limits(_) => ImagingError::TooMuchMemory { limit: max_alloc },
        ImageError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            ImagingError::Malformed("it is cut short".to_owned())
        }
        // Codecs quote what they met; a hostile file must not fill a log with it.
        error => ImagingError::Malformed(error.to_string().chars().take(200).collect()),
    }
}
