//! TIFF and `BigTIFF`: grey, RGB, palette, CMYK, YCbCr and CIELAB, of 1 to 64 bits, integer or
//! floating-point.
//!
//! The directory and the samples are read here and not by the `tiff` crate, because that one stops at
//! palettes, CIELAB, subsampled YCbCr, and depths such as 10, 12 and 14 bits, before its caller could take
//! over. The compressions are those of the crates that it uses too.

mod colour;
mod compression;
mod directory;
mod faults;
mod layout;
mod samples;

use directory::{Directory, tag};
use image::metadata::Orientation;

use crate::ImagingError;
use crate::decoded::{DecodeLimits, DecodeNote, StoredPixels};

/// Reads the first picture of a TIFF.
///
/// # Errors
/// As [`crate::decode`].
pub(crate) fn read(bytes: &[u8], limits: &DecodeLimits) -> Result<StoredPixels, ImagingError> {
    let directory = Directory::first(bytes)?;
    let layout = layout::Layout::read(&directory, limits)?;
    let raster = samples::read(&layout, &directory, limits.max_alloc())?;
    let (flat, mut notes) = colour::to_rgb8(&layout, &directory, raster)?;
    if has_further_pages(&directory) {
        notes.push(DecodeNote {
            code: "first_page_of_several",
            detail: "the TIFF holds several pictures; the first one was taken".to_owned(),
        });
    }
    // Damaged metadata counts as none, because the pixels are still good.
    let turned = directory.one(tag::ORIENTATION).ok().flatten().and_then(|tag| u8::try_from(tag).ok());
    Ok((flat, turned.and_then(Orientation::from_exif).unwrap_or(Orientation::NoTransforms), notes))
}

/// Whether a TIFF holds one plane of tiles after the other, and its height is no whole number of them.
pub(crate) fn has_planes_of_tiles(bytes: &[u8]) -> bool {
    let Ok(directory) = Directory::first(bytes) else { return false };
    let one = |tag| directory.one(tag).ok().flatten();
    one(tag::PLANAR) == Some(2)
        && one(tag::TILE_LENGTH)
            .zip(one(tag::HEIGHT))
            .is_some_and(|(length, height)| height.checked_rem(length) != Some(0))
}

/// Whether no field says that it has more values than a picture can need. The `tiff` crate makes room for all
/// of them, 32 bytes each and up to a quarter of a gigabyte, before it reads the first, and does so when a
/// file is opened: before anything is known of what the picture costs.
pub(crate) fn is_modest(bytes: &[u8]) -> bool {
    Directory::first(bytes).is_ok_and(|directory| directory.longest <= layout::MOST_CHUNKS)
}

/// Whether another picture follows that is no smaller copy and no mask of the first.
fn has_further_pages(directory: &Directory<'_>) -> bool {
    directory.next().is_some_and(|next| {
        next.has(tag::WIDTH) && next.one(tag::NEW_SUBFILE_TYPE).ok().flatten().unwrap_or(0) & 5 == 0
    })
}
