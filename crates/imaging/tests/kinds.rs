//! One file of every kind of picture that other programs write (`tools/goldens/picture_kinds.py`), and what
//! it shows.
#![allow(clippy::unwrap_used, reason = "a golden that cannot be read must fail its test")]

use std::path::{Path, PathBuf};

use image::DynamicImage;
use reasonedit_imaging::{DecodeLimits, ImagingError, PixelRules, RgbImage, decode, decode_under};
use serde::Deserialize;

#[derive(Deserialize)]
struct Kind {
    file: String,
    expected: Option<String>,
    tolerance: u8,
    refused: Option<String>,
}

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kinds").join(name)
}

fn kinds() -> Vec<(Kind, Vec<u8>)> {
    let kinds: Vec<Kind> = serde_json::from_slice(&std::fs::read(path("kinds.json")).unwrap()).unwrap();
    assert!(kinds.len() > 150);
    kinds
        .into_iter()
        .map(|kind| {
            let bytes = std::fs::read(path(&kind.file)).unwrap();
            (kind, bytes)
        })
        .collect()
}

fn worst(a: &RgbImage, b: &RgbImage) -> u8 {
    assert_eq!(a.dimensions(), b.dimensions());
    a.iter().zip(b.iter()).map(|(a, b)| a.abs_diff(*b)).max().unwrap()
}

#[test]
fn every_kind_shows_what_was_written_or_is_refused_by_its_name() {
    let mut wrong = Vec::new();
    for (kind, bytes) in kinds() {
        match (decode(&bytes, &DecodeLimits::default()), &kind.expected, &kind.refused) {
            (Ok(decoded), Some(expected), _) => {
                let off = worst(&decoded.image, &image::open(path(expected)).unwrap().into_rgb8());
                if off > kind.tolerance {
                    wrong.push(format!("{}: off by {off}", kind.file));
                }
            }
            (Err(error), _, Some(refused)) if error.to_string().contains(refused.as_str()) => {
                let of_a_kind =
                    matches!(error, ImagingError::NotRead { .. } | ImagingError::UnsupportedFormat);
                if of_a_kind == refused.contains("damaged") {
                    wrong.push(format!("{}: {error:?}", kind.file));
                }
            }
            (result, ..) => wrong.push(format!("{}: {result:?}", kind.file)),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn notes_tell_what_was_done() {
    for (file, codes) in [
        ("png_grey__8_bits", ""),
        ("png_grey__12_bits_in_16", "depth_guessed"),
        ("png_grey__8_bits_in_16", "depth_guessed"),
        ("png_grey__0_to_65535_in_16_bits", ""),
        ("png_grey__0_to_20000_in_16_bits", ""),
        ("png_grey__0_to_700_in_16_bits__sbit_12", "depth_scaled"),
        ("png_grey__0_to_700_in_16_bits__sbit_16", ""),
        ("png_grey__12_bits_spread_over_16__sbit_12", ""),
        ("png_rgb__12_bits_in_16", "depth_guessed"),
        ("png_rgb__opacity_zero_everywhere", "alpha_ignored"),
        ("png_white_drawing__transparent_ground", "ground_changed"),
        ("png_black_drawing__transparent_ground", ""),
        ("jpeg_baseline__no_end_marker", "no_end_marker"),
        ("jpeg_progressive__a_trailer_for_the_end_marker", "no_end_marker"),
        ("tiff_grey__12_bits_packed", ""),
        ("jpeg_lossless__12_bits", ""),
        ("tiff_grey__0_to_700__maxsamplevalue_4095", "depth_scaled"),
        ("tiff_grey__0_to_700__smin_100__smax_600", "depth_scaled range_clipped"),
        ("tiff_grey___500_to_900_in_16_bits__signed", "depth_guessed"),
        ("tiff_grey__0_to_1_in_32_bits__floating_point", ""),
        ("tiff_two_pages__the_first_one", "first_page_of_several"),
        ("tiff_palette__8_bits", ""),
    ] {
        let decoded = decode(&std::fs::read(path(file)).unwrap(), &DecodeLimits::default()).unwrap();
        let found: Vec<_> = decoded.notes.iter().map(|note| note.code).collect();
        assert_eq!(found.join(" "), codes, "{file}");
        assert!(decoded.notes.iter().all(|note| !note.detail.is_empty()));
    }
}

/// Blends over white in whole numbers, as the first releases did.
fn over_white(image: &DynamicImage) -> RgbImage {
    let image = image.to_rgba8();
    RgbImage::from_fn(image.width(), image.height(), |x, y| {
        let [red, green, blue, alpha] = image.get_pixel(x, y).0.map(u32::from);
        image::Rgb(
            [red, green, blue].map(|channel| ((channel * alpha + 255 * (255 - alpha) + 127) / 255) as u8),
        )
    })
}

/// `image` 0.25.10 panics on planes of tiles that reach beyond the lower edge.
fn breaks_the_codec(kind: &Kind) -> bool {
    kind.file.contains("tiles__plane_after_plane")
}

#[test]
fn under_the_first_rules_what_was_read_gives_the_same_pixels() {
    let (mut same, mut new, mut refused) = (0, 0, 0);
    for (kind, bytes) in kinds() {
        if breaks_the_codec(&kind) {
            continue;
        }
        let first = decode_under(&bytes, &DecodeLimits::default(), PixelRules::First);
        let incomplete =
            kind.file.contains("end_marker") || kind.refused.is_some() && kind.file.starts_with("jpeg");
        match image::load_from_memory(&bytes) {
            // Turned pictures have goldens of their own.
            Ok(_) if kind.file.contains("turned") => {}
            Ok(plain) if !incomplete => {
                let plain = if plain.color().has_alpha() { over_white(&plain) } else { plain.into_rgb8() };
                assert_eq!(worst(&first.unwrap().image, &plain), 0, "{}", kind.file);
                same += 1;
            }
            _ => match first {
                Ok(decoded) => {
                    let now = decode(&bytes, &DecodeLimits::default()).unwrap();
                    assert_eq!(decoded.image, now.image, "{}", kind.file);
                    new += 1;
                }
                Err(error) => {
                    assert_eq!(Some(error), decode(&bytes, &DecodeLimits::default()).err(), "{}", kind.file);
                    refused += 1;
                }
            },
        }
    }
    assert!(same > 60 && new > 30 && refused > 30, "{same} {new} {refused}");
}

#[test]
fn twelve_bits_in_sixteen_are_seen_and_stay_dark_under_the_first_rules() {
    let bytes = std::fs::read(path("png_grey__12_bits_in_16")).unwrap();
    let brightest = |rules| {
        let decoded = decode_under(&bytes, &DecodeLimits::default(), rules).unwrap();
        decoded.image.iter().copied().max().unwrap()
    };
    assert_eq!(brightest(PixelRules::First), 16);
    assert_eq!(brightest(PixelRules::DeclaredRange), 255);
}

#[test]
fn what_the_first_releases_read_is_not_refused_now() {
    for (kind, bytes) in kinds() {
        if breaks_the_codec(&kind) {
            assert!(decode_under(&bytes, &DecodeLimits::default(), PixelRules::First).is_ok());
            continue;
        }
        // The only exceptions: a DICOM file that looks like a TIFF, and colours of floating-point numbers
        // beyond 1.
        if image::load_from_memory(&bytes).is_ok() && !kind.file.contains("dicom") && kind.refused.is_none() {
            assert!(decode(&bytes, &DecodeLimits::default()).is_ok(), "{}", kind.file);
        }
    }
}

#[test]
fn no_refusal_is_in_the_words_of_a_codec() {
    for (kind, bytes) in kinds() {
        for part in [bytes.len() / 3, bytes.len() / 2, bytes.len() - 1, bytes.len()] {
            if let Err(error) = decode(&bytes[..part], &DecodeLimits::default()) {
                let said = error.to_string();
                for word in [
                    "Error",
                    "Err(",
                    "Format error",
                    "decoder",
                    "marker 0",
                    "unsupported",
                    "Unsupported",
                    "IFD",
                    "chunk",
                    "Huffman",
                    "::",
                ] {
                    assert!(!said.contains(word), "{}: {said}", kind.file);
                }
            }
        }
    }
}
