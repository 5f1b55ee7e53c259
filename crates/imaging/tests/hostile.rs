//! Bytes from outside: limits hold before decoding, damage is an error, and nothing panics.
#![allow(clippy::unwrap_used, reason = "a golden that cannot be read must fail its test")]

use std::path::Path;
use std::sync::OnceLock;

use proptest::prelude::*;
use reasonedit_imaging::{
    DecodeLimits, ImageFormat, ImagingError, PixelRules, RgbImage, decode, decode_cost, decode_under,
    encode_jpeg, encode_png,
};

static KINDS: OnceLock<Vec<Vec<u8>>> = OnceLock::new();

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

/// All files of the kinds that other programs write: small ones, whose headers and pixels can be bent in
/// every way.
fn kinds() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kinds");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.retain(|path| path.extension().is_none());
    assert!(paths.len() > 150);
    paths.into_iter().map(|path| std::fs::read(path).unwrap()).collect()
}

/// Small enough that a mutated header cannot make a test slow.
fn tight() -> DecodeLimits {
    DecodeLimits { max_bytes: 100_000, max_pixels: 250_000, max_side: 4096 }
}

#[test]
fn nothing_and_nonsense_are_told_apart() {
    let limits = DecodeLimits::default();
    assert_eq!(decode(&[], &limits).unwrap_err(), ImagingError::Empty);
    assert_eq!(decode(b"plain words", &limits).unwrap_err(), ImagingError::UnsupportedFormat);
    assert!(matches!(decode(b"<svg></svg>", &limits), Err(ImagingError::NotRead { .. })));
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
    // 65,535 × 65,535 pixels in a file of some hundred bytes: refused by the header, not by running out of
    // memory.
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
fn a_kind_cut_short_anywhere_never_panics() {
    for bytes in kinds() {
        for part in (0..bytes.len()).step_by(bytes.len().div_ceil(97)) {
            let _ = decode(&bytes[..part], &tight());
        }
    }
}

/// A little-endian TIFF of one row of entries: tag, type, count, value.
fn tiff(entries: &[(u16, u16, u32, u32)], next: u32, tail: &[u8]) -> Vec<u8> {
    let mut bytes = b"II*\0\x08\0\0\0".to_vec();
    bytes.extend_from_slice(&(entries.len() as u16).to_le_bytes());
    for &(tag, kind, count, value) in entries {
        bytes.extend_from_slice(&tag.to_le_bytes());
        bytes.extend_from_slice(&kind.to_le_bytes());
        bytes.extend_from_slice(&count.to_le_bytes());
        bytes.extend_from_slice(&value.to_le_bytes());
    }
    bytes.extend_from_slice(&next.to_le_bytes());
    bytes.extend_from_slice(tail);
    bytes
}

#[test]
fn tiffs_that_promise_too_much_are_refused_by_their_header() {
    let size = |width, height| [(256, 4, 1, width), (257, 4, 1, height)];
    let strip = [(258, 3, 1, 8), (262, 3, 1, 1), (273, 4, 1, 200), (279, 4, 1, 64)];
    let limits = DecodeLimits::default();
    let too_long = decode(&tiff(&[&size(70_000, 8)[..], &strip].concat(), 0, &[0; 200]), &limits);
    assert_eq!(too_long.unwrap_err(), ImagingError::SideTooLong { limit: 16_384, actual: 70_000 });
    let too_many = decode(&tiff(&[&size(16_000, 16_000)[..], &strip].concat(), 0, &[0; 200]), &limits);
    assert_eq!(too_many.unwrap_err(), ImagingError::TooManyPixels { limit: 50_000_000, actual: 256_000_000 });
    // 64 bits in 40 channels: more memory than there is, and nothing of it taken.
    let deep = [(258, 3, 1, 64), (262, 3, 1, 1), (273, 4, 1, 200), (277, 3, 1, 1000)];
    let too_deep = decode(&tiff(&[&size(7000, 7000)[..], &deep].concat(), 0, &[0; 200]), &limits);
    assert!(matches!(too_deep, Err(ImagingError::TooMuchMemory { .. })), "{too_deep:?}");
    // Tiles of one pixel, tiles far beyond the picture, and offsets that the file can't hold.
    for (width, height, side, count) in [
        (4096, 4096, 1, 1 << 24),
        (16, 16, 1 << 20, 1),
        (16_384, 1, 16_384, 1),
        (4096, 4096, 16, 65_536),
        (16, 16, 0, 1),
    ] {
        let tiles = [
            (258, 3, 1, 8),
            (262, 3, 1, 1),
            (322, 4, 1, side),
            (323, 4, 1, side),
            (324, 4, count, 200),
            (325, 4, count, 200),
        ];
        let result = decode(&tiff(&[&size(width, height)[..], &tiles].concat(), 0, &[0; 4096]), &limits);
        let refused = matches!(result, Err(ImagingError::Malformed(_) | ImagingError::TooMuchMemory { .. }));
        assert!(refused, "{width} {height} {side}: {result:?}");
    }
}

#[test]
fn a_tiff_whose_fields_are_impossibly_long_is_taken_for_dear_and_read_by_its_first_values() {
    // The number of rows of a strip, a million times, and once where it is said twice.
    for doubled in [false, true] {
        let long = (278, 3, 1 << 20, 8);
        let mut entries =
            vec![(256, 4, 1, 4), (257, 4, 1, 4), (258, 3, 1, 8), (262, 3, 1, 1), (273, 4, 1, 150)];
        entries.extend(if doubled { vec![(278, 3, 1, 4), long] } else { vec![long] });
        entries.push((279, 4, 1, 16));
        let bytes = tiff(&entries, 0, &[7; 80]);
        let limits = tight();
        let most = 8 * limits.max_pixels + (16 << 20);
        assert_eq!(decode_cost(&bytes, &limits), most);
        for rules in [PixelRules::First, PixelRules::CURRENT] {
            let decoded = decode_under(&bytes, &limits, rules);
            assert_eq!(decoded.unwrap().image.get_pixel(3, 3).0, [7; 3], "{rules:?} {doubled}");
        }
    }
}

#[test]
fn a_tiff_that_leads_back_to_itself_ends() {
    let entries =
        [(256, 4, 1, 4), (257, 4, 1, 4), (258, 3, 1, 8), (262, 3, 1, 1), (273, 4, 1, 110), (279, 4, 1, 16)];
    for next in [8, 2, 109, u32::MAX] {
        let decoded = decode(&tiff(&entries, next, &[7; 80]), &DecodeLimits::default()).unwrap();
        assert_eq!(decoded.image.get_pixel(0, 0).0, [7; 3]);
    }
}

#[test]
fn a_window_that_is_larger_than_a_decoder_has_to_have_is_refused() {
    for (log, refused) in [(20, false), (23, false), (24, true), (27, true)] {
        // A frame without its content's size, which then would be the window: 16 bytes as they are.
        let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0, (log - 10) << 3, 16 << 3 | 1, 0, 0];
        frame.extend_from_slice(&[7; 16]);
        let entries = [
            (256, 4, 1, 4),
            (257, 4, 1, 4),
            (258, 3, 1, 8),
            (259, 3, 1, 50_000),
            (262, 3, 1, 1),
            (273, 4, 1, 98),
            (279, 4, 1, frame.len() as u32),
        ];
        let decoded = decode(&tiff(&entries, 0, &frame), &DecodeLimits::default());
        match decoded {
            Ok(decoded) if !refused => assert_eq!(decoded.image.get_pixel(3, 3).0, [7; 3]),
            Err(ImagingError::Malformed(_)) if refused => {}
            other => panic!("{log}: {other:?}"),
        }
    }
}

#[test]
fn what_unfolds_without_end_is_read_as_far_as_the_picture_goes() {
    use std::io::Write;
    let mut packer = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    packer.write_all(&vec![9; 64 << 20]).unwrap();
    let bomb = packer.finish().unwrap();
    assert!(bomb.len() < 100_000);
    let entries = [
        (256, 4, 1, 16),
        (257, 4, 1, 16),
        (258, 3, 1, 8),
        (259, 3, 1, 8),
        (262, 3, 1, 1),
        (273, 4, 1, 98),
        (279, 4, 1, bomb.len() as u32),
    ];
    let decoded = decode(&tiff(&entries, 0, &bomb), &DecodeLimits::default()).unwrap();
    assert_eq!((decoded.image.dimensions(), decoded.image.get_pixel(15, 15).0), ((16, 16), [9; 3]));
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
            b"RIFF\x20\0\0\0WEBPVP8X", b"GIF89a", b"GIF87a", b"BM", b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08", b"II+\0\x08\0\0\0\x10\0\0\0\0\0\0\0",
        ]),
        tail in prop::collection::vec(any::<u8>(), 0..600)
    ) {
        let bytes = [magic, &tail].concat();
        if let Ok(decoded) = decode(&bytes, &tight()) {
            prop_assert!(decoded.image.pixels().len() as u64 <= tight().max_pixels);
        }
    }

    #[test]
    fn mutated_kinds_never_panic(
        which in any::<prop::sample::Index>(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        early in prop::collection::vec((0usize..260, prop::sample::select(vec![0u8, 1, 2, 3, 4, 5, 6, 7, 8, 16, 32, 255])), 0..4),
        cut in any::<prop::sample::Index>(), keep in any::<bool>()
    ) {
        let kinds = KINDS.get_or_init(kinds);
        let mut bytes = kinds[which.index(kinds.len())].clone();
        // The end of small files is where their directories are, the beginning where their headers are.
        let length = bytes.len();
        for (at, value) in early {
            bytes[length - 1 - at.min(length - 1)] = value;
        }
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if !keep {
            bytes.truncate(cut.index(bytes.len()));
        }
        for rules in [PixelRules::First, PixelRules::CURRENT] {
            if let Ok(decoded) = decode_under(&bytes, &tight(), rules) {
                let (width, height) = decoded.image.dimensions();
                prop_assert!(width.max(height) <= tight().max_side);
            }
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
