//! How the samples of a TIFF are laid out, checked against the limits before any of them is read.

use super::directory::{Directory, tag};
use super::faults::{cut_short, malformed, not_read};
use crate::ImagingError;
use crate::decoded::DecodeLimits;
use crate::depth::{Declared, SampleKind};

/// Most strips or tiles. A picture of the greatest size in the smallest tiles of the standard has fewer.
pub(super) const MOST_CHUNKS: u64 = 1 << 18;
/// Most samples of a pixel, of which only colours and opacity are kept.
const MOST_SAMPLES: u64 = 1024;

/// What the first samples of a pixel mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Colour {
    WhiteIsZero,
    BlackIsZero,
    Rgb,
    Palette,
    Cmyk,
    YCbCr,
    /// L* unsigned, a* and b* signed.
    CieLab,
    /// a* and b* shifted by half of their range.
    IccLab,
}

impl Colour {
    pub(super) const fn channels(self) -> usize {
        match self {
            Self::WhiteIsZero | Self::BlackIsZero | Self::Palette => 1,
            Self::Rgb | Self::YCbCr | Self::CieLab | Self::IccLab => 3,
            Self::Cmyk => 4,
        }
    }
}

/// An extra sample that is opacity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Alpha {
    /// Which sample of the pixel it is.
    pub sample: usize,
    /// Whether the colours were multiplied by it.
    pub associated: bool,
}

/// Everything that is needed to find and unpack samples.
pub(super) struct Layout {
    pub width: usize,
    pub height: usize,
    pub bits: u32,
    pub kind: SampleKind,
    pub samples: usize,
    pub colour: Colour,
    pub alpha: Option<Alpha>,
    pub compression: u64,
    pub predictor: u64,
    pub planar: bool,
    pub reversed_bits: bool,
    /// Rows and columns of a strip or tile as it is stored.
    pub chunk_width: usize,
    pub chunk_height: usize,
    pub tiled: bool,
    pub offsets: Vec<u64>,
    /// Empty where the file has none.
    pub counts: Vec<u64>,
    /// Horizontal and vertical, of the colour differences of YCbCr.
    pub subsampling: (usize, usize),
    pub t4_options: u64,
    pub declared: Declared,
}

impl Layout {
    pub(super) fn read(directory: &Directory<'_>, limits: &DecodeLimits) -> Result<Self, ImagingError> {
        let side = |tag| -> Result<u32, ImagingError> {
            let value = directory.one(tag)?.ok_or_else(|| malformed("it doesn't say its size"))?;
            u32::try_from(value).map_err(|_| malformed("its size is impossible"))
        };
        let (width, height) = (side(tag::WIDTH)?, side(tag::HEIGHT)?);
        limits.check_size(width, height)?;

        let samples = directory.one(tag::SAMPLES_PER_PIXEL)?.unwrap_or(1);
        if samples == 0 || samples > MOST_SAMPLES {
            return Err(malformed("its number of samples per pixel is impossible"));
        }
        let compression = directory.one(tag::COMPRESSION)?.unwrap_or(1);
        let (bits, kind) = sample_kind(directory, samples)?;
        let colour = colour(directory, samples, compression)?;
        let samples = samples as usize;
        if samples < colour.channels() {
            return Err(malformed("it has fewer samples per pixel than its colours need"));
        }
        let planar = match directory.one(tag::PLANAR)?.unwrap_or(1) {
            1 => false,
            2 => samples > 1,
            _ => return Err(malformed("the order of its samples is impossible")),
        };
        let subsampling = subsampling(directory, colour)?;
        let mut layout = Self {
            width: width as usize,
            height: height as usize,
            bits,
            kind,
            samples,
            colour,
            alpha: alpha(directory, colour, samples)?,
            compression,
            predictor: directory.one(tag::PREDICTOR)?.unwrap_or(1),
            planar,
            reversed_bits: directory.one(tag::FILL_ORDER)?.unwrap_or(1) == 2,
            chunk_width: width as usize,
            chunk_height: height as usize,
            tiled: false,
            offsets: Vec::new(),
            counts: Vec::new(),
            subsampling,
            t4_options: directory.one(tag::T4_OPTIONS)?.unwrap_or(0),
            declared: declared(directory, colour, kind),
        };
        layout.find_chunks(directory, limits)?;
        layout.check_depth()?;
        Ok(layout)
    }

    /// Chunks beside each other.
    pub(super) fn across(&self) -> usize {
        self.width.div_ceil(self.chunk_width)
    }

    /// Chunks above each other.
    pub(super) fn down(&self) -> usize {
        self.height.div_ceil(self.chunk_height)
    }

    /// Rows that the chunk of a row of chunks holds; the last strip may be shorter than the others, a tile is
    /// not.
    pub(super) fn rows_of(&self, row: usize) -> usize {
        if self.tiled {
            self.chunk_height
        } else {
            self.chunk_height.min(self.height - row * self.chunk_height)
        }
    }

    /// Samples of a pixel within one chunk.
    pub(super) fn samples_in_chunk(&self) -> usize {
        if self.planar { 1 } else { self.samples }
    }

    /// Whether blocks of YCbCr are stored with fewer colour differences than lightnesses. JPEG does that by
    /// itself.
    pub(super) fn is_subsampled(&self) -> bool {
        self.colour == Colour::YCbCr && self.compression != 7 && self.subsampling != (1, 1)
    }

    fn find_chunks(&mut self, directory: &Directory<'_>, limits: &DecodeLimits) -> Result<(), ImagingError> {
        let size = |tag| -> Result<Option<usize>, ImagingError> {
            Ok(directory.one(tag)?.map(|value| usize::try_from(value).unwrap_or(usize::MAX)))
        };
        self.tiled = directory.has(tag::TILE_OFFSETS) || directory.has(tag::TILE_WIDTH);
        let (offsets, counts) = if self.tiled {
            let (width, height) = (size(tag::TILE_WIDTH)?, size(tag::TILE_LENGTH)?);
            let (Some(width @ 1..), Some(height @ 1..)) = (width, height) else {
                return Err(malformed("it doesn't say the size of its tiles"));
            };
            (self.chunk_width, self.chunk_height) = (width, height);
            // Old writers named the offsets of tiles as those of strips.
            let strips = !directory.has(tag::TILE_OFFSETS);
            if strips {
                (tag::STRIP_OFFSETS, tag::STRIP_BYTE_COUNTS)
            } else {
                (tag::TILE_OFFSETS, tag::TILE_BYTE_COUNTS)
            }
        } else {
            let rows = size(tag::ROWS_PER_STRIP)?.unwrap_or(self.height);
            if rows == 0 {
                return Err(malformed("its strips have no rows"));
            }
            self.chunk_height = rows.min(self.height);
            (tag::STRIP_OFFSETS, tag::STRIP_BYTE_COUNTS)
        };
        // What is decoded beyond the picture's edges counts too, or thin tiles would make work without end.
        let padded = (self.across() as u64).saturating_mul(self.chunk_width as u64).saturating_mul(
            (self.down() as u64).saturating_mul(if self.tiled { self.chunk_height as u64 } else { 1 }),
        );
        if self.tiled && padded > limits.max_pixels.saturating_mul(2).saturating_add(1 << 22) {
            return Err(malformed("its tiles are far larger than the picture"));
        }
        let planes = if self.planar { self.samples as u64 } else { 1 };
        let chunks = (self.across() as u64).saturating_mul(self.down() as u64).saturating_mul(planes);
        if chunks > MOST_CHUNKS {
            return Err(malformed("it is cut into impossibly many parts"));
        }
        self.offsets = directory
            .list(offsets, chunks)?
            .ok_or_else(|| malformed("it doesn't say where its pixels are"))?;
        self.counts = directory.list(counts, chunks)?.unwrap_or_default();
        if self.offsets.len() as u64 != chunks
            || !(self.counts.is_empty() || self.counts.len() as u64 == chunks)
        {
            return Err(cut_short());
        }
        Ok(())
    }

    /// Combinations that are read by nobody, or by nothing here, by their names.
    fn check_depth(&self) -> Result<(), ImagingError> {
        let plain = matches!(self.bits, 8 | 16) && matches!(self.kind, SampleKind::Unsigned(_));
        let named = match self.colour {
            Colour::CieLab | Colour::IccLab
                if !matches!(self.bits, 8 | 16) || self.kind == SampleKind::Float =>
            {
                Some(format!("with {} bits of CIELAB", self.bits))
            }
            Colour::YCbCr if self.bits != 8 || !plain => Some(format!("with {} bits of YCbCr", self.bits)),
            Colour::Palette if self.bits > 16 || !matches!(self.kind, SampleKind::Unsigned(_)) => {
                Some("whose palette has indices of a rare kind".to_owned())
            }
            _ if self.is_subsampled() && (self.planar || self.samples != 3 || self.predictor != 1) => {
                Some("whose subsampled YCbCr is stored in a rare way".to_owned())
            }
            _ => None,
        };
        match named {
            Some(what) => Err(not_read(&what)),
            None => Ok(()),
        }
    }
}

/// Depth and type, the same for all samples.
fn sample_kind(directory: &Directory<'_>, samples: u64) -> Result<(u32, SampleKind), ImagingError> {
    let depths = directory.list(tag::BITS_PER_SAMPLE, samples)?.unwrap_or_else(|| vec![1]);
    let formats = directory.list(tag::SAMPLE_FORMAT, samples)?.unwrap_or_else(|| vec![1]);
    let (Some(&bits), Some(&format)) = (depths.first(), formats.first()) else {
        return Err(malformed("it doesn't say the depth of its samples"));
    };
    if depths.iter().any(|&other| other != bits) || formats.iter().any(|&other| other != format) {
        return Err(not_read("whose channels differ in depth or type"));
    }
    let bits = u32::try_from(bits).unwrap_or(u32::MAX);
    match (format, bits) {
        // 4 says that nobody said what it is.
        (1 | 4, 1..=16 | 24 | 32 | 64) => Ok((bits, SampleKind::Unsigned(bits))),
        (2, 2..=16 | 24 | 32 | 64) => Ok((bits, SampleKind::Signed(bits))),
        (3, 16 | 32 | 64) => Ok((bits, SampleKind::Float)),
        (5 | 6, _) => Err(not_read("of complex numbers")),
        (3, _) => Err(not_read(&format!("of floating-point samples of {bits} bits"))),
        _ => Err(not_read(&format!("with {bits} bits per sample"))),
    }
}

fn colour(directory: &Directory<'_>, samples: u64, compression: u64) -> Result<Colour, ImagingError> {
    Ok(match directory.one(tag::PHOTOMETRIC)? {
        Some(0) => Colour::WhiteIsZero,
        // A mask is 1 where something is.
        Some(1 | 4) => Colour::BlackIsZero,
        Some(2) => Colour::Rgb,
        Some(3) => Colour::Palette,
        Some(5) => Colour::Cmyk,
        Some(6) => Colour::YCbCr,
        Some(8) => Colour::CieLab,
        Some(9) => Colour::IccLab,
        Some(10) => return Err(not_read("of ITU CIELAB colours, as fax machines send them")),
        Some(32803 | 34892) => return Err(not_read("of a camera's raw sensor data")),
        Some(32844 | 32845) => return Err(not_read("of LogLuv colours")),
        Some(51177) => return Err(not_read("of depths")),
        Some(_) => return Err(not_read("of a colour model that no standard names")),
        // As libtiff decides where the field is missing.
        None if samples >= 3 => Colour::Rgb,
        None if (2..=4).contains(&compression) => Colour::WhiteIsZero,
        None => Colour::BlackIsZero,
    })
}

/// The first extra sample that is opacity. Four samples of RGB without a word are those three and opacity, as
/// Pillow has it.
fn alpha(directory: &Directory<'_>, colour: Colour, samples: usize) -> Result<Option<Alpha>, ImagingError> {
    let extra = samples - colour.channels();
    let Some(meanings) = directory.list(tag::EXTRA_SAMPLES, extra as u64)? else {
        let guessed = colour == Colour::Rgb && extra == 1;
        return Ok(guessed.then_some(Alpha { sample: 3, associated: false }));
    };
    let found = meanings.iter().position(|meaning| matches!(meaning, 1 | 2));
    Ok(found.map(|index| Alpha { sample: colour.channels() + index, associated: meanings[index] == 1 }))
}

fn subsampling(directory: &Directory<'_>, colour: Colour) -> Result<(usize, usize), ImagingError> {
    if colour != Colour::YCbCr {
        return Ok((1, 1));
    }
    match directory.list(tag::YCBCR_SUBSAMPLING, 2)?.as_deref() {
        None => Ok((2, 2)),
        Some(&[across @ (1 | 2 | 4), down @ (1 | 2 | 4)]) => Ok((across as usize, down as usize)),
        Some(_) => Err(malformed("the subsampling of its colours is impossible")),
    }
}

/// The range that the file says its samples have, of all colours together.
fn declared(directory: &Directory<'_>, colour: Colour, kind: SampleKind) -> Declared {
    let channels = colour.channels() as u64;
    let ends = |low, high| {
        let least = directory.reals(low, channels).and_then(|all| all.into_iter().reduce(f64::min));
        let greatest = directory.reals(high, channels).and_then(|all| all.into_iter().reduce(f64::max));
        Declared { low: least, high: greatest }
    };
    let signed = ends(tag::S_MIN_SAMPLE_VALUE, tag::S_MAX_SAMPLE_VALUE);
    if signed != Declared::default() {
        return signed;
    }
    let plain = ends(tag::MIN_SAMPLE_VALUE, tag::MAX_SAMPLE_VALUE);
    if plain.high.is_some() || plain.low.is_some_and(|low| low > 0.0) {
        return plain;
    }
    // OME-XML tells the bits that the camera used. All of them say no more than the type.
    let significant = directory.raw(tag::IMAGE_DESCRIPTION).and_then(significant_bits);
    match (kind, significant) {
        (SampleKind::Unsigned(bits), Some(significant)) if significant < bits => Declared::bits(significant),
        _ => Declared::default(),
    }
}

/// `SignificantBits` of an OME-XML block.
fn significant_bits(description: &[u8]) -> Option<u32> {
    const NAME: &[u8] = b"SignificantBits=\"";
    let head = &description[..description.len().min(1 << 16)];
    head.windows(4).any(|part| part == b"<OME").then_some(())?;
    let at = head.windows(NAME.len()).position(|part| part == NAME)? + NAME.len();
    let digits = head[at..].iter().take(3).take_while(|byte| byte.is_ascii_digit());
    let bits = digits.fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'));
    (1..=32).contains(&bits).then_some(bits)
}
