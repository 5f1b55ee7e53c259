//! Untrusted bytes to an upright RGB picture.

use std::io::Cursor;

use image::error::{ImageError, LimitErrorKind};
use image::metadata::Orientation;
use image::{
    DynamicImage, GrayAlphaImage, GrayImage, ImageBuffer, ImageDecoder, ImageReader, Limits, RgbImage,
    RgbaImage,
};

use crate::decoded::{CUT_SHORT, DecodeLimits, DecodeNote, Decoded, PixelRules, StoredPixels};
use crate::depth::{self, Declared, Extent, SampleKind};
use crate::{ImageFormat, ImagingError, flatten, foreign, jpeg, orient, tiff};

/// Decodes an upload to an upright RGB picture.
///
/// The format is sniffed from the content. Sizes are read from the header and checked against `limits` before
/// any pixel is decoded. The EXIF orientation is applied, transparency is put on white (or on black, where a
/// drawing would vanish), grey and palettes become RGB, samples of more than 8 bits are scaled by the range
/// that the file declares or holds (see [`PixelRules::DeclaredRange`]), CMYK and YCCK JPEGs (with the
/// inverted inks that Adobe writes, as Pillow assumes too) are multiplied out. Embedded colour profiles are
/// ignored, as the processors of the published checkpoints do. What was done that a person should know of is
/// in [`Decoded::notes`].
///
/// # Errors
/// [`ImagingError::Empty`], [`ImagingError::TooManyBytes`], [`ImagingError::UnsupportedFormat`],
/// [`ImagingError::NotRead`], [`ImagingError::SideTooLong`], [`ImagingError::TooManyPixels`],
/// [`ImagingError::TooMuchMemory`], or [`ImagingError::Malformed`] for content that is damaged or cut short.
pub fn decode(bytes: &[u8], limits: &DecodeLimits) -> Result<Decoded, ImagingError> {
    decode_under(bytes, limits, PixelRules::CURRENT)
}

/// As [`decode`], with samples taken as an older codebook had them. What the first releases didn't read is
/// read by the present rules whichever are asked for.
///
/// # Errors
/// As [`decode`].
pub fn decode_under(bytes: &[u8], limits: &DecodeLimits, rules: PixelRules) -> Result<Decoded, ImagingError> {
    if bytes.is_empty() {
        return Err(ImagingError::Empty);
    }
    let actual = bytes.len() as u64;
    if actual > limits.max_bytes {
        return Err(ImagingError::TooManyBytes { limit: limits.max_bytes, actual });
    }
    let format = ImageFormat::sniff(bytes);
    if let (PixelRules::First, Some(format)) = (rules, format)
        && let Ok(decoded) = first_rules(bytes, format, limits)
    {
        return Ok(decoded);
    }
    if let Some(refusal) = foreign::named(bytes) {
        return Err(refusal);
    }
    let format = format.ok_or(ImagingError::UnsupportedFormat)?;
    let (flat, orientation, notes) = match format {
        ImageFormat::Tiff => tiff::read(bytes, limits)?,
        ImageFormat::Jpeg => jpeg_pixels(bytes, limits)?,
        _ => {
            let (pixels, orientation) = codec(bytes, format, limits)?;
            let declared = if format == ImageFormat::Png { png_significant_bits(bytes) } else { None };
            let (flat, notes) = to_rgb8(pixels, declared)?;
            (flat, orientation, notes)
        }
    };
    Ok(Decoded { image: orient::apply(flat, orientation), format, notes })
}

/// As the first releases had it, errors included: a codebook of theirs is to find the same pixels.
fn first_rules(bytes: &[u8], format: ImageFormat, limits: &DecodeLimits) -> Result<Decoded, ImagingError> {
    if format == ImageFormat::Jpeg && !jpeg::is_complete(bytes) {
        return Err(ImagingError::Malformed(CUT_SHORT.to_owned()));
    }
    if format == ImageFormat::Tiff && tiff::has_planes_of_tiles(bytes) {
        // Where such tiles reach beyond the lower edge the first releases' codec panics (tiff 0.11.3).
        return Err(ImagingError::UnsupportedFormat);
    }
    let (pixels, orientation) = codec(bytes, format, limits)?;
    let flat = if pixels.color().has_alpha() {
        let pixels = pixels.into_rgba8();
        flatten::over_white(pixels.width(), pixels.height(), &pixels)
    } else {
        pixels.into_rgb8()
    };
    Ok(Decoded { image: orient::apply(flat, orientation), format, notes: Vec::new() })
}

/// What the codec of a format makes of a file, as it is stored, and how it has to be turned.
fn codec(
    bytes: &[u8],
    format: ImageFormat,
    limits: &DecodeLimits,
) -> Result<(DynamicImage, Orientation), ImagingError> {
    let max_alloc = limits.max_alloc();
    let failed = |error| from_codec(error, format, max_alloc);
    if format == ImageFormat::Tiff && !tiff::is_modest(bytes) {
        return Err(ImagingError::Malformed("a field of its directory is impossibly long".to_owned()));
    }
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
    let orientation = orientation(&mut decoder, format);
    Ok((DynamicImage::from_decoder(decoder).map_err(failed)?, orientation))
}

fn jpeg_pixels(bytes: &[u8], limits: &DecodeLimits) -> Result<StoredPixels, ImagingError> {
    jpeg::check_process(bytes)?;
    if let Some(frame) = jpeg::lossless_frame(bytes) {
        return lossless_jpeg(bytes, frame, limits);
    }
    if jpeg::is_complete(bytes) {
        let (pixels, orientation) = codec(bytes, ImageFormat::Jpeg, limits)?;
        return Ok((pixels.into_rgb8(), orientation, Vec::new()));
    }
    // The codec would fill a missing part with grey, and an edit would then speak of a picture that nobody
    // took.
    let cut_short = || ImagingError::Malformed(CUT_SHORT.to_owned());
    let mut found: Option<(RgbImage, Orientation)> = None;
    for ended in jpeg::endings(bytes).ok_or_else(cut_short)? {
        let (pixels, orientation) = match codec(&ended, ImageFormat::Jpeg, limits) {
            Err(ImagingError::Malformed(_)) => return Err(cut_short()),
            other => other?,
        };
        let pixels = pixels.into_rgb8();
        match &found {
            Some((first, _)) if *first != pixels => return Err(cut_short()),
            Some(_) => {}
            None => found = Some((pixels, orientation)),
        }
    }
    let (pixels, orientation) = found.ok_or_else(cut_short)?;
    let note = DecodeNote {
        code: "no_end_marker",
        detail: "the JPEG has no end marker; its pixels are whole and were taken".to_owned(),
    };
    Ok((pixels, orientation, vec![note]))
}

/// Reads a JPEG of the lossless process: grey of 2 to 16 bits, or colours of 8.
fn lossless_jpeg(
    bytes: &[u8],
    (precision, width, height, channels): (u32, u32, u32, usize),
    limits: &DecodeLimits,
) -> Result<StoredPixels, ImagingError> {
    let damaged = || ImagingError::Malformed("what it holds doesn't follow the rules of JPEG".to_owned());
    limits.check_size(width, height)?;
    let count = width as usize * height as usize * channels;
    // The decoder holds each sample as a difference of 4 bytes, as a value of 2, and as what it gives back.
    if count as u64 * 8 > limits.max_alloc() {
        return Err(ImagingError::TooMuchMemory { limit: limits.max_alloc() });
    }
    if !jpeg::is_complete(bytes) {
        return Err(ImagingError::Malformed(CUT_SHORT.to_owned()));
    }
    let mut decoder = jpeg_decoder::Decoder::new(bytes);
    decoder.set_max_decoding_buffer_size(count * 2);
    let samples = decoder.decode().map_err(|_| damaged())?;
    let exif = decoder.exif_data().and_then(Orientation::from_exif_chunk);
    let pixels = match decoder.info().map(|info| info.pixel_format) {
        Some(jpeg_decoder::PixelFormat::L8) => {
            GrayImage::from_raw(width, height, samples).map(DynamicImage::ImageLuma8)
        }
        Some(jpeg_decoder::PixelFormat::L16) => {
            let (pairs, _) = samples.as_chunks::<2>();
            let samples = pairs.iter().map(|&pair| u16::from_ne_bytes(pair)).collect();
            ImageBuffer::from_raw(width, height, samples).map(DynamicImage::ImageLuma16)
        }
        Some(jpeg_decoder::PixelFormat::RGB24) => {
            RgbImage::from_raw(width, height, samples).map(DynamicImage::ImageRgb8)
        }
        _ => None,
    };
    // The file says its depth, be it less than 16 bits or all of them.
    let (flat, notes) = to_rgb8(pixels.ok_or_else(damaged)?, Some(precision))?;
    let own_depth = |note: &DecodeNote| note.code != "depth_scaled";
    Ok((flat, exif.unwrap_or(Orientation::NoTransforms), notes.into_iter().filter(own_depth).collect()))
}

/// Scales samples of more than 8 bits and puts transparency on a ground.
fn to_rgb8(
    pixels: DynamicImage,
    significant: Option<u32>,
) -> Result<(RgbImage, Vec<DecodeNote>), ImagingError> {
    let (width, height) = (pixels.width(), pixels.height());
    let (mut notes, pixels) = match pixels {
        DynamicImage::ImageLuma16(image) => {
            let (samples, notes) = scale_u16(&image, 1, false, significant)?;
            (notes, GrayImage::from_raw(width, height, samples).map(DynamicImage::ImageLuma8))
        }
        DynamicImage::ImageLumaA16(image) => {
            let (samples, notes) = scale_u16(&image, 2, true, significant)?;
            (notes, GrayAlphaImage::from_raw(width, height, samples).map(DynamicImage::ImageLumaA8))
        }
        DynamicImage::ImageRgb16(image) => {
            let (samples, notes) = scale_u16(&image, 3, false, significant)?;
            (notes, RgbImage::from_raw(width, height, samples).map(DynamicImage::ImageRgb8))
        }
        DynamicImage::ImageRgba16(image) => {
            let (samples, notes) = scale_u16(&image, 4, true, significant)?;
            (notes, RgbaImage::from_raw(width, height, samples).map(DynamicImage::ImageRgba8))
        }
        other => (Vec::new(), Some(other)),
    };
    let pixels = pixels.ok_or_else(|| ImagingError::Malformed("its size is impossible".to_owned()))?;
    if !pixels.color().has_alpha() {
        return Ok((pixels.into_rgb8(), notes));
    }
    let (flat, ground) = flatten::flatten(width, height, &pixels.into_rgba8());
    notes.extend(ground);
    Ok((flat, notes))
}

/// Scales unsigned 16-bit samples to 8 bits, all colours by one range; the last of `channels` may be alpha.
fn scale_u16(
    samples: &[u16],
    channels: usize,
    alpha: bool,
    significant: Option<u32>,
) -> Result<(Vec<u8>, Vec<DecodeNote>), ImagingError> {
    let colours = channels - usize::from(alpha);
    let extent = Extent::of_u16(samples.chunks_exact(channels).flat_map(|pixel| &pixel[..colours]).copied());
    // Who writes the standard's way puts the significant bits at the top and repeats them below: then the
    // whole range is theirs. Below 2ⁿ the samples were written as they are.
    let declared = match significant {
        Some(bits) if extent.greatest < f64::from(1u32 << bits) => Declared::bits(bits),
        Some(_) => Declared::bits(16),
        None => Declared::default(),
    };
    let (range, notes) = depth::choose(SampleKind::Unsigned(16), &extent, declared)?;
    let table = range.table();
    let mut scaled: Vec<u8> = samples.iter().map(|&sample| table[usize::from(sample)]).collect();
    if alpha {
        // Opacity has a range of its own, unless it was written in as few bits as the colours.
        let most = samples.chunks_exact(channels).map(|pixel| pixel[colours]).max().unwrap_or_default();
        if f64::from(most) > range.high {
            let whole = depth::Range { low: 0.0, high: f64::from(u16::MAX) };
            for (target, source) in scaled.chunks_exact_mut(channels).zip(samples.chunks_exact(channels)) {
                target[colours] = whole.to_u8(f64::from(source[colours]));
            }
        }
    }
    Ok((scaled, notes))
}

/// The significant bits that a PNG of 16 bits declares (its sBIT chunk), the most of its colours.
fn png_significant_bits(bytes: &[u8]) -> Option<u32> {
    let mut rest = bytes.get(8..)?;
    let mut colours = 0;
    loop {
        let (head, after) = rest.split_at_checked(8)?;
        let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let body = after.get(..length)?;
        match &head[4..] {
            b"IHDR" => {
                if body.get(8) != Some(&16) {
                    return None;
                }
                colours = if body.get(9)? & 2 == 0 { 1 } else { 3 };
            }
            b"sBIT" => {
                let most = body.get(..colours)?.iter().copied().max()?;
                return (1..=16).contains(&most).then_some(u32::from(most));
            }
            b"IDAT" => return None,
            _ => {}
        }
        rest = after.get(length + 4..)?;
    }
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

/// Puts an error of the codecs into this crate's terms. Nothing of their own words: they quote what they met,
/// and name what only their authors know.
fn from_codec(error: ImageError, format: ImageFormat, max_alloc: u64) -> ImagingError {
    match error {
        ImageError::Unsupported(_) => ImagingError::NotRead {
            what: format!("a {} of a kind that is rare", format.name()),
            advice: "save it as an ordinary PNG or JPEG",
        },
        ImageError::Limits(limit) if matches!(limit.kind(), LimitErrorKind::DimensionError) => {
            ImagingError::Malformed("its size is impossible".to_owned())
        }
        ImageError::Limits(_) => ImagingError::TooMuchMemory { limit: max_alloc },
        ImageError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            ImagingError::Malformed(CUT_SHORT.to_owned())
        }
        _ => ImagingError::Malformed(format!("what it holds doesn't follow the rules of {}", format.name())),
    }
}
