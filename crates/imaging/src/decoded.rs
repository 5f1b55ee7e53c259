//! What decoding takes and gives: limits, rules, and the decoded picture with its notes.

use std::fmt;

use image::RgbImage;
use image::metadata::Orientation;
use serde::{Deserialize, Serialize};

use crate::{ImageFormat, ImagingError};

/// What an error says of a file that ends before its pixels do.
pub(crate) const CUT_SHORT: &str = "it is cut short";

/// A picture as it is stored, how it has to be turned, and what was done to its samples.
pub(crate) type StoredPixels = (RgbImage, Orientation, Vec<DecodeNote>);

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
    /// Bytes a decoder may allocate: the largest picture allowed at 16 bits in four channels, and some
    /// working space.
    pub(crate) fn max_alloc(&self) -> u64 {
        self.max_pixels.saturating_mul(8).saturating_add(16 * 1024 * 1024)
    }

    pub(crate) fn check_size(&self, width: u32, height: u32) -> Result<(), ImagingError> {
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

/// How stored samples become 8-bit RGB. Keys are made of pixels: those made under one of these don't stand
/// beside those made under another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PixelRules {
    /// As the first releases had it: 16 bits are scaled by the whole range of their type, transparency stands
    /// on white.
    #[default]
    First,
    /// Samples above 8 bits are scaled by the range that the file declares or holds; transparency by what it
    /// hides.
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
