//! Bytes to an upright RGB image under limits; Pillow-exact resizing; patch grid; augmentation.
//!
//! Pure: no I/O, no clock, no global state. Every random choice follows from a seed that the caller hands in.
//!
//! An upload becomes a picture, and a part of it is cut out:
//!
//! ```
//! use reasonedit_imaging::{DecodeLimits, PixelBox, RgbImage, crop, decode, encode_png};
//!
//! # fn main() -> Result<(), reasonedit_imaging::ImagingError> {
//! let upload = encode_png(&RgbImage::new(600, 450))?;
//! let picture = decode(&upload, &DecodeLimits::default())?.image;
//! let part = crop(&picture, PixelBox { x: 10, y: 20, width: 30, height: 40 })?;
//! assert_eq!(part.dimensions(), (30, 40));
//!
//! let strict = DecodeLimits { max_side: 500, ..DecodeLimits::default() };
//! assert!(decode(&upload, &strict).is_err());
//! # Ok(())
//! # }
//! ```

pub mod augment;
mod cost;
mod decode;
mod decoded;
mod depth;
mod drawn_box;
mod encode;
mod error;
mod failure;
mod flatten;
mod foreign;
mod formats;
pub mod grid;
mod jpeg;
mod orient;
mod pixel_box;
mod plain;
mod resize;
mod smart_resize;
mod tiff;

pub use cost::decode_cost;
pub use decode::{decode, decode_under};
pub use decoded::{DecodeLimits, DecodeNote, Decoded, PixelRules};
pub use drawn_box::{DrawnBox, pixels_between};
pub use encode::{encode_jpeg, encode_png};
pub use error::ImagingError;
pub use formats::ImageFormat;
pub use image::RgbImage;
pub use pixel_box::{PixelBox, crop};
pub use plain::plain_format;
pub use resize::{Filter, resize};
pub use smart_resize::smart_resize;
