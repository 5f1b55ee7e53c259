//! Bytes from outside: limits hold before decoding, damage is an error, and nothing panics.
#![allow(clippy::unwrap_used, reason = "a golden that cannot be read must fail its test")]

use std::path::Path;

use proptest::prelude::*;
use reasonedit_imaging::{
    DecodeLimits, ImageFormat, ImagingError, RgbImage, decode, encode_jpeg, encode_png,
};

/// One small file of every kind that is read.
const FILES: [&str; 21] = [
    "baseline.jpg",
    "progressive.jpg",
    "grey.jpg",
    "cmyk.jpg",
    "ycck.jpg",
    "orientation_6.jpg",
    "alpha.png",
    "palette.png",
    "grey16.png",
    "bilevel.png",
    "oriented.png",
    "alpha.webp",
    "lossy.webp",
    "oriented.webp",
    "animated.gif",
    "rgb.bmp",
    "palette.bmp",
    "alpha.tiff",
    "deflate.tiff",
    "cmyk.tiff",
    "oriented.tiff",
];

fn file(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(name)).unwrap()
}

/// Small enough that a mutated header cannot make a test slow.
fn tight() -> DecodeLimits {
    DecodeLimits { max_bytes: 100_000, max_pixels: 250_000, max_side: 4096 }
}

#[test]
fn nothing_and_nonsense_are_told_apart() {
    let limits = DecodeLimits::default();
    assert_eq!(decode(&[], &limits).unwrap_err(), ImagingError::Empty);
    assert_eq!(decode(b"<svg></svg>", &limits).unwrap_err(), ImagingError::UnsupportedFormat);
    assert!(matches!(decode(b"\x89PNG\r\n\x1a\n", &limits), Err(ImagingError::Malformed(_))));
}

#[test]
fn limits_hold_for_every_format() {
    let limits = |max_bytes, max_pixels, max_side| DecodeLimits { max_bytes, max_pixels, max_side };
    for name in FILES {
        let bytes = file(name);
        let actual = bytes.len() as u64;
        let error = decode(&bytes, &limits(actual - 1, 1000, 1000)).unwrap_err();
        assert_eq!(error, ImagingError::TooManyBytes { limit: actual - 1, actual }, "{name}");
        let error = decode(&bytes, &limits(actual, 407, 1000)).unwrap_err();
        assert_eq!(error, ImagingError::TooManyPixels { limit: 407, actual: 24 * 17 }, "{name}");
        let error = decode(&bytes, &limits(actual, 1000, 23)).unwrap_err();
        assert_eq!(error, ImagingError::SideTooLong { limit: 23, actual: 24 }, "{name}");
        assert!(decode(&bytes, &limits(actual, 24 * 17, 24)).is_ok(), "{name}");
    }
}

#[test]
fn a_header_that_promises_too_much_costs_nothing() {
    // 65,535 × 65,535 pixels in a file of some hundred bytes: refused by the header, not by running out of memory.
    let mut bytes = file("baseline.jpg");
    let frame = bytes.windows(2).position(|pair| pair == [0xFF, 0xC0]).unwrap();
    bytes[frame + 5..frame + 9].fill(0xFF);
    let wide = DecodeLimits { max_side: u32::MAX, ..DecodeLimits::default() };
    assert_eq!(
        decode(&bytes, &DecodeLimits::default()).unwrap_err(),
        ImagingError::SideTooLong { limit: 16_384, actual: 65_535 }
    );
    assert_eq!(
        decode(&bytes, &wide).unwrap_err(),
        ImagingError::TooManyPixels { limit: 50_000_000, actual: 65_535 * 65_535 }
    );
}

#[test]
fn files_cut_short_are_damaged() {
    let picture =
        RgbImage::from_fn(120, 90, |x, y| image::Rgb([(x * y) as u8, (x * 7) as u8, (y * 11) as u8]));
    let mut files: Vec<(String, Vec<u8>)> = FILES.map(|name| (name.to_owned(), file(name))).into();
    files.push(("large.jpg".to_owned(), encode_jpeg(&picture, 80).unwrap()));
    files.push(("large.png".to_owned(), encode_png(&picture).unwrap()));
    for (name, bytes) in files {
        for part in [bytes.len() / 4, bytes.len() / 2, bytes.len() * 3 / 4] {
            if name == "animated.gif" && part * 2 >= bytes.len() {
                // The first of its two frames ends there.
                continue;
            }
            let result = decode(&bytes[..part], &DecodeLimits::default());
            assert!(matches!(result, Err(ImagingError::Malformed(_))), "{part} bytes of {name}: {result:?}");
        }
    }
}

#[test]
fn bytes_after_a_jpeg_do_not_matter() {
    // Phones append films and second pictures.
    let mut bytes = file("baseline.jpg");
    let alone = decode(&bytes, &DecodeLimits::default()).unwrap();
    bytes.extend_from_slice(b"MotionPhoto_Data\xFF\xD8\xFF\xE0");
    assert_eq!(decode(&bytes, &DecodeLimits::default()).unwrap().image, alone.image);
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(
        magic in prop::sample::select(vec![
            &b""[..], b"\xFF\xD8\xFF", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"RIFF\x20\0\0\0WEBPVP8 ", b"RIFF\x20\0\0\0WEBPVP8L",
            b"RIFF\x20\0\0\0WEBPVP8X", b"GIF89a", b"GIF87a", b"BM", b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08",
        ]),
        tail in prop::collection::vec(any::<u8>(), 0..600)
    ) {
        let bytes = [magic, &tail].concat();
        if let Ok(decoded) = decode(&bytes, &tight()) {
            prop_assert!(decoded.image.pixels().len() as u64 <= tight().max_pixels);
        }
    }

    #[test]
    fn mutated_files_never_panic(
        name in prop::sample::select(FILES.to_vec()),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
        cut in any::<prop::sample::Index>(), keep in any::<bool>(),
        splice in (any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0usize..40)
    ) {
        let mut bytes = file(name);
        let original = bytes.clone();
        for (at, value) in &flips {
            let at = at.index(bytes.len());
            bytes[at] = *value;
        }
        let (from, to) = (splice.0.index(bytes.len()), splice.1.index(bytes.len()));
        let piece: Vec<u8> = bytes[from..].iter().take(splice.2).copied().collect();
        bytes.splice(to..to, piece);
        if !keep {
            bytes.truncate(cut.index(bytes.len()));
        }
        let result = decode(&bytes, &tight());
        if let Ok(decoded) = &result {
            let (width, height) = decoded.image.dimensions();
            prop_assert!(width.max(height) <= tight().max_side);
            prop_assert_eq!(Some(decoded.format), ImageFormat::sniff(&bytes));
        } else {
            prop_assert!(bytes != original, "an untouched file must decode: {:?}", result);
        }
    }
}
