//! Errors of TIFFs.

use crate::ImagingError;
use crate::decoded::CUT_SHORT;

pub(super) fn cut_short() -> ImagingError {
    malformed(CUT_SHORT)
}

pub(super) fn malformed(why: &str) -> ImagingError {
    ImagingError::Malformed(why.to_owned())
}

/// `kind` completes "a TIFF …".
pub(super) fn not_read(kind: &str) -> ImagingError {
    ImagingError::NotRead {
        what: format!("a TIFF {kind}"),
        advice: "save it as an ordinary TIFF (RGB or grey, uncompressed or LZW), or as PNG",
    }
}
