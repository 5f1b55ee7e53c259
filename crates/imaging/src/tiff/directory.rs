//! The first directory of a TIFF or `BigTIFF`: which field stands where.
//!
//! Values stay in the file until they are asked for, and no more of them are read than was asked for, so that
//! a directory costs no more memory than its own entries.

use std::collections::BTreeMap;

use super::faults::{cut_short, malformed};
use crate::ImagingError;

/// Numbers of the fields (TIFF 6.0, its technical notes, and `BigTIFF`).
pub(super) mod tag {
    pub(crate) const NEW_SUBFILE_TYPE: u16 = 254;
    pub(crate) const WIDTH: u16 = 256;
    pub(crate) const HEIGHT: u16 = 257;
    pub(crate) const BITS_PER_SAMPLE: u16 = 258;
    pub(crate) const COMPRESSION: u16 = 259;
    pub(crate) const PHOTOMETRIC: u16 = 262;
    pub(crate) const FILL_ORDER: u16 = 266;
    pub(crate) const IMAGE_DESCRIPTION: u16 = 270;
    pub(crate) const STRIP_OFFSETS: u16 = 273;
    pub(crate) const ORIENTATION: u16 = 274;
    pub(crate) const SAMPLES_PER_PIXEL: u16 = 277;
    pub(crate) const ROWS_PER_STRIP: u16 = 278;
    pub(crate) const STRIP_BYTE_COUNTS: u16 = 279;
    pub(crate) const MIN_SAMPLE_VALUE: u16 = 280;
    pub(crate) const MAX_SAMPLE_VALUE: u16 = 281;
    pub(crate) const PLANAR: u16 = 284;
    pub(crate) const T4_OPTIONS: u16 = 292;
    pub(crate) const PREDICTOR: u16 = 317;
    pub(crate) const COLOR_MAP: u16 = 320;
    pub(crate) const TILE_WIDTH: u16 = 322;
    pub(crate) const TILE_LENGTH: u16 = 323;
    pub(crate) const TILE_OFFSETS: u16 = 324;
    pub(crate) const TILE_BYTE_COUNTS: u16 = 325;
    pub(crate) const EXTRA_SAMPLES: u16 = 338;
    pub(crate) const SAMPLE_FORMAT: u16 = 339;
    pub(crate) const S_MIN_SAMPLE_VALUE: u16 = 340;
    pub(crate) const S_MAX_SAMPLE_VALUE: u16 = 341;
    pub(crate) const JPEG_TABLES: u16 = 347;
    pub(crate) const YCBCR_COEFFICIENTS: u16 = 529;
    pub(crate) const YCBCR_SUBSAMPLING: u16 = 530;
    pub(crate) const REFERENCE_BLACK_WHITE: u16 = 532;

    /// Fields that are numbers and say how pixels lie.
    pub(crate) const OF_LAYOUT: [u16; 20] = [
        WIDTH,
        HEIGHT,
        BITS_PER_SAMPLE,
        COMPRESSION,
        PHOTOMETRIC,
        FILL_ORDER,
        STRIP_OFFSETS,
        ORIENTATION,
        SAMPLES_PER_PIXEL,
        ROWS_PER_STRIP,
        STRIP_BYTE_COUNTS,
        PLANAR,
        PREDICTOR,
        COLOR_MAP,
        TILE_WIDTH,
        TILE_LENGTH,
        TILE_OFFSETS,
        TILE_BYTE_COUNTS,
        EXTRA_SAMPLES,
        SAMPLE_FORMAT,
    ];
}

/// Entries beyond this many are no picture's.
const MOST_ENTRIES: u64 = 4096;

struct Field {
    kind: u16,
    count: u64,
    /// Where the values begin in the file.
    at: u64,
}

/// A directory and the file that it is in.
pub(super) struct Directory<'a> {
    pub bytes: &'a [u8],
    pub little: bool,
    big: bool,
    fields: BTreeMap<u16, Field>,
    next: u64,
    /// Most values that a field of the layout says it has, fields that are there twice included.
    pub longest: u64,
}

/// Bytes of one value of a type; nothing for types that no standard has.
const fn size_of(kind: u16) -> Option<u64> {
    match kind {
        1 | 2 | 6 | 7 => Some(1),
        3 | 8 => Some(2),
        4 | 9 | 11 | 13 => Some(4),
        5 | 10 | 12 | 16 | 17 | 18 => Some(8),
        _ => None,
    }
}

impl<'a> Directory<'a> {
    /// The first directory of a file.
    pub(super) fn first(bytes: &'a [u8]) -> Result<Self, ImagingError> {
        let little = bytes.starts_with(b"II");
        let big = matches!(bytes.get(2..4), Some([43, 0] | [0, 43]));
        let mut empty = Self { bytes, little, big, fields: BTreeMap::new(), next: 0, longest: 0 };
        let at = if big {
            if empty.number(4, 2)? != 8 {
                return Err(malformed("its header is not one of a BigTIFF"));
            }
            empty.number(8, 8)?
        } else {
            empty.number(4, 4)?
        };
        empty.read(at)?;
        Ok(empty)
    }

    /// The directory after this one, if there is one that can be read.
    pub(super) fn next(&self) -> Option<Self> {
        let mut next = Self { fields: BTreeMap::new(), next: 0, longest: 0, ..*self };
        // A chain that leads back to where it began never gets longer than one step here.
        (self.next != 0).then(|| next.read(self.next).ok()).flatten()?;
        Some(next)
    }

    fn read(&mut self, at: u64) -> Result<(), ImagingError> {
        let (head, entry, inline) = if self.big { (8, 20, 8) } else { (2, 12, 4) };
        let count = self.number(at, head)?;
        if count > MOST_ENTRIES {
            return Err(malformed("its directory is impossibly long"));
        }
        for index in 0..count {
            let from = at.saturating_add(head + index * entry);
            let (tag, kind) = (self.number(from, 2)? as u16, self.number(from + 2, 2)? as u16);
            let count = self.number(from + 4, inline)?;
            if tag::OF_LAYOUT.contains(&tag) {
                self.longest = self.longest.max(count);
            }
            let Some(size) = size_of(kind) else { continue };
            let value = from + 4 + inline;
            let at = if count.saturating_mul(size) <= inline { value } else { self.number(value, inline)? };
            self.fields.entry(tag).or_insert(Field { kind, count, at });
        }
        // A file that ends here has no further directory.
        self.next = self.number(at.saturating_add(head + count * entry), inline).unwrap_or(0);
        Ok(())
    }

    /// An unsigned number of 1, 2, 4 or 8 bytes.
    fn number(&self, at: u64, size: u64) -> Result<u64, ImagingError> {
        let from = usize::try_from(at).map_err(|_| cut_short())?;
        let to = from.checked_add(size as usize).ok_or_else(cut_short)?;
        let raw = self.bytes.get(from..to).ok_or_else(cut_short)?;
        let add = |sum: u64, &byte: &u8| sum << 8 | u64::from(byte);
        Ok(if self.little { raw.iter().rev().fold(0, add) } else { raw.iter().fold(0, add) })
    }

    pub(super) fn has(&self, tag: u16) -> bool {
        self.fields.contains_key(&tag)
    }

    /// Unsigned values of a field, `most` at most.
    pub(super) fn list(&self, tag: u16, most: u64) -> Result<Option<Vec<u64>>, ImagingError> {
        let Some(field) = self.fields.get(&tag) else { return Ok(None) };
        if !matches!(field.kind, 1 | 3 | 4 | 6..=9 | 13 | 16..=18) {
            return Err(malformed("a field of its directory has the wrong type"));
        }
        let size = size_of(field.kind).unwrap_or(1);
        (0..field.count.min(most))
            .map(|index| self.number(field.at.saturating_add(index * size), size))
            .collect::<Result<_, _>>()
            .map(Some)
    }

    /// The first value of a field.
    pub(super) fn one(&self, tag: u16) -> Result<Option<u64>, ImagingError> {
        Ok(self.list(tag, 1)?.and_then(|list| list.first().copied()))
    }

    /// Values of a field as real numbers, `most` at most; nothing if it isn't there or holds no numbers.
    pub(super) fn reals(&self, tag: u16, most: u64) -> Option<Vec<f64>> {
        let field = self.fields.get(&tag)?;
        let size = size_of(field.kind)?;
        (0..field.count.min(most))
            .map(|index| {
                let at = field.at.saturating_add(index * size);
                let raw = self.number(at, size).ok()?;
                Some(match field.kind {
                    5 => self.number(at, 4).ok()? as f64 / self.number(at + 4, 4).ok()? as f64,
                    10 => {
                        f64::from(self.number(at, 4).ok()? as u32 as i32)
                            / f64::from(self.number(at + 4, 4).ok()? as u32 as i32)
                    }
                    6 => f64::from(raw as u8 as i8),
                    8 => f64::from(raw as u16 as i16),
                    9 => f64::from(raw as u32 as i32),
                    17 => raw as i64 as f64,
                    11 => f64::from(f32::from_bits(raw as u32)),
                    12 => f64::from_bits(raw),
                    _ => raw as f64,
                })
            })
            .collect()
    }

    /// The bytes of a field, if they are all in the file.
    pub(super) fn raw(&self, tag: u16) -> Option<&'a [u8]> {
        let field = self.fields.get(&tag)?;
        let from = usize::try_from(field.at).ok()?;
        let length = usize::try_from(field.count.checked_mul(size_of(field.kind)?)?).ok()?;
        self.bytes.get(from..from.checked_add(length)?)
    }
}
