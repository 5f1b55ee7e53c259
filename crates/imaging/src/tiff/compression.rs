//! Strips and tiles as they are stored to the bytes that they stand for.

use std::borrow::Cow;
use std::io::Read;

use fax::decoder::{DecodeStatus, Group4Decoder, pels};
use fax::{BitReader, ByteReader, Color, maps};
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::faults::{cut_short, malformed, not_read};
use super::layout::{Colour, Layout};
use crate::{ImagingError, jpeg};

/// Bytes of one strip or tile, `expected` of them; of `rows` rows.
pub(super) fn unpack<'a>(
    layout: &Layout,
    stored: &'a [u8],
    jpeg_tables: Option<&[u8]>,
    rows: usize,
    expected: usize,
) -> Result<Cow<'a, [u8]>, ImagingError> {
    let stored: Cow<'a, [u8]> = if layout.reversed_bits && !matches!(layout.compression, 7 | 50001) {
        let most = stored.len().min(expected.saturating_mul(8).saturating_add(1 << 16));
        Cow::Owned(stored[..most].iter().map(|byte| byte.reverse_bits()).collect())
    } else {
        Cow::Borrowed(stored)
    };
    let unpacked = match layout.compression {
        1 => match stored {
            Cow::Borrowed(stored) => return stored.get(..expected).map(Cow::Borrowed).ok_or_else(cut_short),
            Cow::Owned(stored) => stored,
        },
        2 | 3 => one_dimensional(layout, &stored, rows)?,
        4 => group4(layout, &stored, rows)?,
        5 => lzw(&stored, expected)?,
        7 => jpeg_samples(layout, &stored, jpeg_tables, rows, expected)?,
        8 | 32946 => inflate(flate2::read::ZlibDecoder::new(&*stored), expected)?,
        32773 => pack_bits(&stored, expected),
        50000 => {
            let mut decoder = zstd::stream::read::Decoder::new(&*stored).map_err(|_| damaged())?;
            // 8 MiB, what RFC 8878 asks every decoder for: a frame may ask for more than the picture is
            // worth.
            decoder.window_log_max(23).map_err(|_| damaged())?;
            inflate(decoder, expected)?
        }
        50001 => webp(layout, &stored, rows, expected)?,
        other => return Err(not_read(&format!("with {}", compression_name(other)))),
    };
    let mut unpacked = unpacked;
    if unpacked.len() < expected {
        return Err(cut_short());
    }
    unpacked.truncate(expected);
    Ok(Cow::Owned(unpacked))
}

fn damaged() -> ImagingError {
    malformed("a part of its pixels can't be unpacked")
}

fn compression_name(code: u64) -> String {
    match code {
        6 => "JPEG compression of the kind that TIFF 6.0 has withdrawn",
        34676 | 34677 => "LogLuv compression",
        34892 => "lossy JPEG compression of a raw file",
        33003 | 33004 | 33005 | 34712 => "JPEG 2000 compression",
        34713 | 65535 => "a camera's raw compression",
        34887 => "LERC compression",
        34925 => "LZMA compression",
        34933 => "PNG compression",
        34934 | 22610 => "JPEG XR compression",
        50002 | 52546 => "JPEG XL compression",
        other => return format!("a compression that is rare (number {other})"),
    }
    .to_owned()
}

/// Reads as much as is wanted, and no more: what a few bytes can unfold to has no end.
fn inflate(from: impl Read, expected: usize) -> Result<Vec<u8>, ImagingError> {
    let mut unpacked = Vec::new();
    match from.take(expected as u64).read_to_end(&mut unpacked) {
        Ok(_) => Ok(unpacked),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Err(cut_short()),
        Err(_) => Err(damaged()),
    }
}

fn lzw(stored: &[u8], expected: usize) -> Result<Vec<u8>, ImagingError> {
    if let [0, second, ..] = stored
        && second & 1 == 1
    {
        return Err(not_read("with LZW compression of the kind before TIFF 6.0"));
    }
    let mut decoder = weezl::decode::Decoder::with_tiff_size_switch(weezl::BitOrder::Msb, 8);
    let mut unpacked = Vec::new();
    let mut rest = stored;
    let mut piece = vec![0; expected.clamp(1, 1 << 16)];
    while unpacked.len() < expected {
        let result = decoder.decode_bytes(rest, &mut piece);
        rest = &rest[result.consumed_in.min(rest.len())..];
        unpacked.extend_from_slice(&piece[..result.consumed_out]);
        match result.status {
            Ok(weezl::LzwStatus::Ok) if result.consumed_in + result.consumed_out > 0 => {}
            Ok(_) => break,
            Err(_) => return Err(damaged()),
        }
    }
    Ok(unpacked)
}

fn pack_bits(stored: &[u8], expected: usize) -> Vec<u8> {
    let mut unpacked = Vec::new();
    let mut rest = stored;
    while let [head, after @ ..] = rest
        && unpacked.len() < expected
    {
        rest = match head {
            0..=127 => {
                let (literal, after) = after.split_at(after.len().min(usize::from(*head) + 1));
                unpacked.extend_from_slice(literal);
                after
            }
            128 => after,
            129..=255 => {
                let [byte, after @ ..] = after else { break };
                unpacked.resize(unpacked.len() + 257 - usize::from(*head), *byte);
                after
            }
        };
    }
    unpacked
}

/// A row of black and white as bits, black as 1.
fn push_bits(packed: &mut Vec<u8>, row: impl Iterator<Item = Color>) {
    for (count, colour) in row.enumerate() {
        if count % 8 == 0 {
            packed.push(0);
        }
        if colour == Color::Black
            && let Some(last) = packed.last_mut()
        {
            *last |= 0x80 >> (count % 8);
        }
    }
}

/// The width that the fax codecs can count, and the part of the input that so many pixels can need.
fn fax_input<'a>(
    layout: &Layout,
    stored: &'a [u8],
    rows: usize,
) -> Result<(u16, impl Iterator<Item = Result<u8, std::convert::Infallible>> + use<'a>), ImagingError> {
    if layout.bits != 1 || layout.samples_in_chunk() != 1 {
        return Err(malformed("fax compression is for black and white alone"));
    }
    let width = u16::try_from(layout.chunk_width).map_err(|_| not_read("of a fax that is too wide"))?;
    let most = stored.len().min(layout.chunk_width.saturating_mul(rows).saturating_add(1 << 16));
    // The codec looks further ahead than the last code may reach; zeros are no code.
    Ok((width, stored[..most].iter().copied().chain([0, 0]).map(Ok)))
}

fn group4(layout: &Layout, stored: &[u8], rows: usize) -> Result<Vec<u8>, ImagingError> {
    let (width, input) = fax_input(layout, stored, rows)?;
    let Ok(mut decoder) = Group4Decoder::new(input, width);
    let mut packed = Vec::new();
    for _ in 0..rows {
        match decoder.advance() {
            Ok(DecodeStatus::Incomplete) => push_bits(&mut packed, pels(decoder.transition(), width)),
            // The end of the block before the last row: what is left is white.
            Ok(DecodeStatus::End) => packed.resize(rows * usize::from(width).div_ceil(8), 0),
            Err(_) => return Err(cut_short()),
        }
        if packed.len() == rows * usize::from(width).div_ceil(8) {
            break;
        }
    }
    Ok(packed)
}

/// Runs of white and black in turn: the modified Huffman code, and Group 3 without reference to the row
/// above.
fn one_dimensional(layout: &Layout, stored: &[u8], rows: usize) -> Result<Vec<u8>, ImagingError> {
    let group3 = layout.compression == 3;
    if group3 && layout.t4_options & 3 != 0 {
        return Err(not_read("with two-dimensional Group 3 fax compression"));
    }
    let (width, input) = fax_input(layout, stored, rows)?;
    let Ok(mut reader) = ByteReader::new(input);
    let mut packed = Vec::new();
    let mut runs = Vec::new();
    for _ in 0..rows {
        if group3 {
            // Eleven zeros and more, then a one: the mark before a row.
            while reader.peek(11) == Some(0) {
                while reader.peek(1) == Some(0) {
                    let Ok(()) = reader.consume(1);
                }
                let Ok(()) = reader.consume(1);
            }
        } else {
            let skip = reader.bits_to_byte_boundary();
            let Ok(()) = reader.consume(skip);
        }
        runs.clear();
        let (mut at, mut white) = (0u32, true);
        while at < u32::from(width) {
            loop {
                let run =
                    if white { maps::white::decode(&mut reader) } else { maps::black::decode(&mut reader) };
                let run = run.ok_or_else(cut_short)?;
                at = at.saturating_add(u32::from(run));
                if run < 64 {
                    break;
                }
            }
            runs.push(at.min(u32::from(width)) as u16);
            white = !white;
        }
        push_bits(&mut packed, pels(&runs, width));
    }
    Ok(packed)
}

/// Decodes one JPEG of a TIFF. Its colours stay as they are stored, but for YCbCr, which becomes RGB.
fn jpeg_samples(
    layout: &Layout,
    stored: &[u8],
    tables: Option<&[u8]>,
    rows: usize,
    expected: usize,
) -> Result<Vec<u8>, ImagingError> {
    // The tables stand in a JPEG of their own: what is between its two ends goes behind the beginning of
    // each.
    let tables = tables.and_then(|tables| tables.strip_prefix(b"\xFF\xD8"));
    let tables = tables.map_or(&[][..], |tables| tables.strip_suffix(b"\xFF\xD9").unwrap_or(tables));
    let body = stored.strip_prefix(b"\xFF\xD8").ok_or_else(damaged)?;
    let whole = [b"\xFF\xD8", tables, body].concat();
    jpeg::check_process(&whole)?;
    if !jpeg::is_complete(&whole) {
        return Err(cut_short());
    }
    let mut options =
        DecoderOptions::default().set_strict_mode(false).set_max_width(1 << 16).set_max_height(1 << 16);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(&whole[..]), options);
    decoder.decode_headers().map_err(|_| damaged())?;
    let (width, height) = decoder.dimensions().ok_or_else(damaged)?;
    let stored_as = decoder.input_colorspace().ok_or_else(damaged)?;
    let samples = layout.samples_in_chunk();
    // Strips may be padded to whole blocks at their end.
    if width != layout.chunk_width
        || height < rows
        || height > rows.max(layout.chunk_height).saturating_add(16)
        || stored_as.num_components() != samples
        || expected != width * rows * samples
    {
        return Err(malformed("a JPEG in it has another size than the part that it stands for"));
    }
    let colours = layout.colour == Colour::YCbCr && samples == 3 && stored_as == ColorSpace::YCbCr;
    options = options.jpeg_set_out_colorspace(if colours { ColorSpace::RGB } else { stored_as });
    decoder.set_options(options);
    decoder.decode().map_err(|_| damaged())
}

fn webp(layout: &Layout, stored: &[u8], rows: usize, expected: usize) -> Result<Vec<u8>, ImagingError> {
    use image::ImageDecoder;
    let decoder =
        image::codecs::webp::WebPDecoder::new(std::io::Cursor::new(stored)).map_err(|_| damaged())?;
    let (width, height) = decoder.dimensions();
    if (width as usize, height as usize) != (layout.chunk_width, rows)
        || decoder.total_bytes() != expected as u64
    {
        return Err(malformed("a WebP in it has another size than the part that it stands for"));
    }
    let mut pixels = vec![0; expected];
    decoder.read_image(&mut pixels).map_err(|_| damaged())?;
    Ok(pixels)
}
