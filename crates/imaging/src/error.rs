//! What can go wrong between untrusted bytes and a picture.

use crate::PixelBox;

/// Errors of this crate. None carries a path or any of the caller's bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImagingError {
    /// The upload holds no bytes at all.
    #[error("the image is empty")]
    Empty,
    /// The encoded file is larger than [`crate::DecodeLimits::max_bytes`].
    #[error("the image file has {actual} bytes, more than the {limit} allowed")]
    TooManyBytes {
        /// Most bytes allowed.
        limit: u64,
        /// Bytes received.
        actual: u64,
    },
    /// The header announces more pixels than [`crate::DecodeLimits::max_pixels`].
    #[error("the image has {actual} pixels, more than the {limit} allowed")]
    TooManyPixels {
        /// Most pixels allowed.
        limit: u64,
        /// Width times height as the header states them.
        actual: u64,
    },
    /// The header announces a side longer than [`crate::DecodeLimits::max_side`].
    #[error("the longer side of the image has {actual} pixels, more than the {limit} allowed")]
    SideTooLong {
        /// Longest side allowed, in pixels.
        limit: u32,
        /// The longer side as the header states it, in pixels.
        actual: u32,
    },
    /// Decoding would take more memory than the limits leave for it.
    #[error("decoding the image would take more memory than the {limit} bytes allowed")]
    TooMuchMemory {
        /// Bytes the decoder may allocate.
        limit: u64,
    },
    /// The content is none of JPEG, PNG, WebP, GIF, BMP and TIFF, nor anything that has a name here.
    #[error("the content is not an image in a format that is read (JPEG, PNG, WebP, GIF, BMP, TIFF)")]
    UnsupportedFormat,
    /// The content is known, but of a format, or a variant of a format, that is not read.
    #[error("the content is {what}, which is not read: {advice}")]
    NotRead {
        /// What it is, such as `a DICOM file` or `a JPEG with arithmetic coding`.
        what: String,
        /// What to do about it.
        advice: &'static str,
    },
    /// The content claims a known format but is damaged or cut short. In words of this crate, never of a
    /// codec.
    #[error("the image is damaged: {0}")]
    Malformed(String),
    /// A box has no area or reaches outside the picture.
    #[error("the box {bounds} is empty or reaches outside the image of {width}x{height} pixels")]
    BoxOutside {
        /// The box asked for.
        bounds: PixelBox,
        /// Width of the picture in pixels.
        width: u32,
        /// Height of the picture in pixels.
        height: u32,
    },
    /// A width, height, factor or pixel budget that no picture can have.
    #[error("no usable size: {0}")]
    InvalidSize(String),
    /// The longer side is more than 200 times the shorter.
    #[error("the aspect ratio of {width}x{height} pixels is above 200")]
    AspectRatio {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
    },
    /// The picture could not be written in the format asked for.
    #[error("the image could not be encoded: {0}")]
    Encode(String),
}
