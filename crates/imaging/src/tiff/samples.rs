//! Bytes of strips and tiles to samples: predictors, bit depths, byte orders, planes.

use std::borrow::Cow;

use super::compression::unpack;
use super::directory::{Directory, tag};
use super::faults::{cut_short, malformed, not_read};
use super::layout::{Colour, Layout};
use crate::ImagingError;
use crate::depth::{Extent, SampleKind};

/// Samples of all pixels, channel beside channel: the colours, then opacity if there is any.
pub(super) enum Samples {
    /// Unsigned, up to 8 bits.
    U8(Vec<u8>),
    /// Unsigned, 9 to 16 bits.
    U16(Vec<u16>),
    /// All others.
    F32(Vec<f32>),
}

/// Samples and the extent of their colours.
pub(super) struct Raster {
    pub samples: Samples,
    pub channels: usize,
    pub extent: Extent,
}

/// Reads all strips or tiles, without taking more memory than `max_alloc`.
pub(super) fn read(
    layout: &Layout,
    directory: &Directory<'_>,
    max_alloc: u64,
) -> Result<Raster, ImagingError> {
    let mut keep: Vec<usize> = (0..layout.colour.channels()).collect();
    keep.extend(layout.alpha.map(|alpha| alpha.sample));
    let channels = keep.len();
    let too_much = ImagingError::TooMuchMemory { limit: max_alloc };
    let count = layout.width * layout.height * channels;
    let bytes_each = match layout.kind {
        SampleKind::Unsigned(..=8) => 1,
        SampleKind::Unsigned(..=16) => 2,
        _ => 4,
    };
    let chunk =
        chunk_bytes(layout, layout.chunk_height.min(layout.rows_of(0))).ok_or_else(|| too_much.clone())?;
    // Twice: as it is unpacked, and with its predictor undone or its colour differences filled up.
    let needed = (count as u64 * bytes_each).saturating_add((chunk as u64).saturating_mul(2));
    if needed > max_alloc {
        return Err(too_much);
    }
    let samples = match bytes_each {
        1 => Samples::U8(vec![0; count]),
        2 => Samples::U16(vec![0; count]),
        _ => Samples::F32(vec![0.0; count]),
    };
    let mut raster = Raster { samples, channels, extent: Extent::default() };
    let tables = directory.raw(tag::JPEG_TABLES);
    let per_plane = layout.across() * layout.down();
    let planes = if layout.planar { layout.samples } else { 1 };
    for plane in 0..planes {
        let first = keep.iter().position(|&sample| sample == plane);
        if layout.planar && first.is_none() {
            continue;
        }
        for row in 0..layout.down() {
            let rows = layout.rows_of(row);
            let expected = chunk_bytes(layout, rows).ok_or_else(cut_short)?;
            for column in 0..layout.across() {
                let index = plane * per_plane + row * layout.across() + column;
                let Some(stored) = stored(layout, directory.bytes, index, expected)? else { continue };
                let bytes = unpack(layout, stored, tables, rows, expected)?;
                let bytes = if layout.is_subsampled() {
                    Cow::Owned(fill_up(&bytes, layout.chunk_width, rows, layout.subsampling))
                } else {
                    bytes
                };
                let (bytes, little) = undo_predictor(layout, bytes, rows, directory.little)?;
                let place =
                    Place { row: row * layout.chunk_height, column: column * layout.chunk_width, rows };
                let from: &[usize] = if layout.planar { &[0] } else { &keep };
                raster.take(
                    layout,
                    &bytes,
                    little,
                    place,
                    from,
                    first.filter(|_| layout.planar).unwrap_or(0),
                );
            }
        }
    }
    if let Samples::U16(samples) = &raster.samples {
        let colours = layout.colour.channels();
        raster.extent =
            Extent::of_u16(samples.chunks_exact(channels).flat_map(|pixel| &pixel[..colours]).copied());
    }
    Ok(raster)
}

/// Bytes of so many rows of a strip or tile.
fn chunk_bytes(layout: &Layout, rows: usize) -> Option<usize> {
    if layout.is_subsampled() {
        let (across, down) = layout.subsampling;
        let blocks = layout.chunk_width.div_ceil(across).checked_mul(rows.div_ceil(down))?;
        return blocks.checked_mul(across * down + 2);
    }
    row_bytes(layout)?.checked_mul(rows)
}

fn row_bytes(layout: &Layout) -> Option<usize> {
    let bits =
        layout.chunk_width.checked_mul(layout.samples_in_chunk())?.checked_mul(layout.bits as usize)?;
    Some(bits.div_ceil(8))
}

/// The bytes of a strip or tile in the file; nothing for one that was left out (GDAL writes none where all is
/// zero).
fn stored<'a>(
    layout: &Layout,
    bytes: &'a [u8],
    index: usize,
    expected: usize,
) -> Result<Option<&'a [u8]>, ImagingError> {
    let offset = layout.offsets.get(index).copied().ok_or_else(cut_short)?;
    let count = layout.counts.get(index).copied();
    if offset == 0 && count == Some(0) {
        return Ok(None);
    }
    let from = usize::try_from(offset).ok().filter(|&from| from < bytes.len()).ok_or_else(cut_short)?;
    let rest = &bytes[from..];
    // Old writers told wrong lengths, or none. Without compression the length is known.
    let length = match count {
        _ if layout.compression == 1 => expected,
        Some(count @ 1..) => usize::try_from(count).unwrap_or(usize::MAX),
        _ => rest.len(),
    };
    // A length that goes beyond the file is wrong more often than the pixels are missing: unpacking finds
    // out.
    Ok(Some(&rest[..length.min(rest.len())]))
}

/// Blocks of lightnesses with one pair of colour differences to triples.
fn fill_up(blocks: &[u8], width: usize, rows: usize, (across, down): (usize, usize)) -> Vec<u8> {
    let per_row = width.div_ceil(across);
    let size = across * down + 2;
    let mut filled = Vec::with_capacity(width * rows * 3);
    for y in 0..rows {
        for x in 0..width {
            let block = &blocks[(y / down * per_row + x / across) * size..][..size];
            filled.extend_from_slice(&[
                block[y % down * across + x % across],
                block[size - 2],
                block[size - 1],
            ]);
        }
    }
    filled
}

/// Undoes differences between neighbours. Tells whether the bytes are in little-endian order afterwards.
fn undo_predictor<'a>(
    layout: &Layout,
    bytes: Cow<'a, [u8]>,
    rows: usize,
    little: bool,
) -> Result<(Cow<'a, [u8]>, bool), ImagingError> {
    // JPEG, WebP and fax have none.
    if layout.predictor == 1 || !matches!(layout.compression, 1 | 5 | 8 | 32946 | 32773 | 50000) {
        return Ok((bytes, little));
    }
    let samples = layout.samples_in_chunk();
    let length = row_bytes(layout).filter(|&length| length > 0).ok_or_else(cut_short)?;
    let mut bytes = bytes.into_owned();
    match (layout.predictor, layout.bits) {
        (2, 8) => bytes.chunks_exact_mut(length).take(rows).for_each(|row| {
            for at in samples..row.len() {
                row[at] = row[at].wrapping_add(row[at - samples]);
            }
        }),
        (2, 16 | 32 | 64) => {
            let size = layout.bits as usize / 8;
            for row in bytes.chunks_exact_mut(length).take(rows) {
                for at in (samples * size..row.len()).step_by(size) {
                    let sum = integer(&row[at..at + size], little)
                        .wrapping_add(integer(&row[at - samples * size..][..size], little));
                    let all = if little { sum.to_le_bytes() } else { sum.to_be_bytes() };
                    let part = if little { &all[..size] } else { &all[8 - size..] };
                    row[at..at + size].copy_from_slice(part);
                }
            }
        }
        (3, 16 | 32 | 64) if layout.kind == SampleKind::Float => {
            // The highest bytes of all samples of a row, then the next ones, each as a difference to the one
            // before.
            let size = layout.bits as usize / 8;
            let count = length / size;
            let mut plain = vec![0; length];
            for row in bytes.chunks_exact_mut(length).take(rows) {
                for at in samples..row.len() {
                    row[at] = row[at].wrapping_add(row[at - samples]);
                }
                for (index, &byte) in row.iter().enumerate() {
                    plain[index % count * size + index / count] = byte;
                }
                row.copy_from_slice(&plain);
            }
            return Ok((Cow::Owned(bytes), false));
        }
        (2 | 3, bits) => return Err(not_read(&format!("with a predictor on samples of {bits} bits"))),
        _ => return Err(malformed("its predictor is impossible")),
    }
    Ok((Cow::Owned(bytes), little))
}

/// An unsigned number of up to 8 bytes.
fn integer(raw: &[u8], little: bool) -> u64 {
    let add = |sum: u64, &byte: &u8| sum << 8 | u64::from(byte);
    if little { raw.iter().rev().fold(0, add) } else { raw.iter().fold(0, add) }
}

/// The stored bits of the sample with this number in a row. Depths that aren't whole bytes are packed from
/// the top.
fn stored_bits(row: &[u8], index: usize, bits: u32, little: bool) -> u64 {
    if bits.is_multiple_of(8) {
        let size = bits as usize / 8;
        return integer(&row[index * size..][..size], little);
    }
    let first = index * bits as usize;
    let (from, to) = (first / 8, (first + bits as usize).div_ceil(8));
    let window = row[from..to].iter().fold(0u64, |sum, &byte| sum << 8 | u64::from(byte));
    let below = to * 8 - first - bits as usize;
    window >> below & ((1 << bits) - 1)
}

/// Stored bits as the number that they are.
fn value(stored: u64, kind: SampleKind, bits: u32) -> f64 {
    match (kind, bits) {
        (SampleKind::Unsigned(_), _) => stored as f64,
        (SampleKind::Signed(_), _) => ((stored << (64 - bits)) as i64 >> (64 - bits)) as f64,
        (SampleKind::Float, 16) => f64::from(half::f16::from_bits(stored as u16)),
        (SampleKind::Float, 32) => f64::from(f32::from_bits(stored as u32)),
        (SampleKind::Float, _) => f64::from_bits(stored),
    }
}

/// Where a strip or tile lies in the picture.
#[derive(Clone, Copy)]
struct Place {
    row: usize,
    column: usize,
    rows: usize,
}

impl Raster {
    /// Puts samples of a strip or tile in their place: those with the numbers `from` of each of its pixels,
    /// into the channels from `channel` on.
    fn take(
        &mut self,
        layout: &Layout,
        bytes: &[u8],
        little: bool,
        place: Place,
        from: &[usize],
        channel: usize,
    ) {
        let (stride, bits) = (layout.samples_in_chunk(), layout.bits);
        let in_row =
            if layout.is_subsampled() { layout.chunk_width * 3 } else { row_bytes(layout).unwrap_or(0) };
        let width = layout.chunk_width.min(layout.width - place.column);
        let rows = place.rows.min(layout.height - place.row);
        let colours = layout.colour.channels();
        for (y, row) in bytes.chunks_exact(in_row.max(1)).take(rows).enumerate() {
            let start = ((place.row + y) * layout.width + place.column) * self.channels;
            if let (Samples::U8(target), 8) = (&mut self.samples, bits)
                && from.len() == stride
                && stride == self.channels
            {
                target[start..][..width * stride].copy_from_slice(&row[..width * stride]);
                continue;
            }
            for x in 0..width {
                for (offset, &sample) in from.iter().enumerate() {
                    let stored = stored_bits(row, x * stride + sample, bits, little);
                    let at = start + x * self.channels + channel + offset;
                    match &mut self.samples {
                        Samples::U8(target) => target[at] = stored as u8,
                        Samples::U16(target) => target[at] = stored as u16,
                        Samples::F32(target) => {
                            let value = value(stored, layout.kind, bits);
                            if channel + offset < colours {
                                self.extent.add(value);
                            }
                            target[at] = value as f32;
                        }
                    }
                }
            }
        }
    }
}

/// Which colours the samples have once they are read: YCbCr in one JPEG came out as RGB.
pub(super) fn colour_of_samples(layout: &Layout) -> Colour {
    if layout.colour == Colour::YCbCr && layout.compression == 7 && !layout.planar {
        Colour::Rgb
    } else {
        layout.colour
    }
}
