//! Pictures for the tests of this crate.

use bytes::Bytes;
use reasonedit_imaging::{RgbImage, encode_png};

use crate::types::ImageSource;

pub(crate) fn picture(seed: u64) -> ImageSource {
    let (a, b) = ((seed % 251) as u8, (seed / 7 % 251) as u8);
    let image = RgbImage::from_fn(48, 40, |x, y| {
        let inside = (12..30).contains(&x) && (8..28).contains(&y);
        image::Rgb(if inside { [a, b, 255 - a] } else { [230, (x % 7) as u8 * 9, 220] })
    });
    ImageSource::from(Bytes::from(encode_png(&image).unwrap()))
}
