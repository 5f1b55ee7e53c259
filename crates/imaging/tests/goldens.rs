//! Against reference outputs of Pillow and transformers, made by `tools/goldens/pillow_resize.py`.
#![allow(clippy::unwrap_used, reason = "a golden that cannot be read must fail its test")]

use std::path::{Path, PathBuf};

use reasonedit_imaging::{DecodeLimits, Filter, ImagingError, RgbImage, decode, resize, smart_resize};
use serde::Deserialize;
use serde::de::DeserializeOwned;

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(name)
}

fn table<T: DeserializeOwned>(name: &str) -> Vec<T> {
    let rows: Vec<T> = serde_json::from_slice(&std::fs::read(path(name)).unwrap()).unwrap();
    assert!(!rows.is_empty());
    rows
}

fn picture(name: &str) -> RgbImage {
    image::open(path(name)).unwrap().into_rgb8()
}

fn worst(a: &RgbImage, b: &RgbImage) -> u8 {
    assert_eq!(a.dimensions(), b.dimensions());
    a.iter().zip(b.iter()).map(|(a, b)| a.abs_diff(*b)).max().unwrap()
}

#[derive(Deserialize)]
struct Resized {
    source: String,
    target: String,
    width: u32,
    height: u32,
    filter: Filter,
}

#[test]
fn resizing_equals_pillow() {
    for row in table::<Resized>("resize.json") {
        let resized = resize(&picture(&row.source), row.width, row.height, row.filter);
        let off = worst(&resized, &picture(&row.target));
        println!("{}: off by {off}", row.target);
        assert!(off <= 1, "{} is off by {off}", row.target);
    }
}

#[test]
fn smart_resize_equals_transformers() {
    type Row = (u32, u32, u32, u64, u64, Option<(u32, u32)>);
    for (height, width, factor, least, most, expected) in table::<Row>("smart_resize.json") {
        let result = smart_resize(height, width, factor, least, most);
        match expected {
            Some(size) => assert_eq!(result, Ok(size), "{height} {width} {factor} {least} {most}"),
            None => assert_eq!(result, Err(ImagingError::AspectRatio { width, height })),
        }
    }
}

#[derive(Deserialize)]
struct Read {
    file: String,
    expected: String,
    tolerance: u8,
}

#[test]
fn decoding_equals_pillow() {
    for row in table::<Read>("decode.json") {
        let decoded = decode(&std::fs::read(path(&row.file)).unwrap(), &DecodeLimits::default())
            .unwrap_or_else(|error| panic!("{}: {error}", row.file));
        let kind = row.file.rsplit('.').next().unwrap().replace("jpg", "jpeg");
        assert_eq!(decoded.format.media_type(), format!("image/{kind}"));
        let off = worst(&decoded.image, &picture(&row.expected));
        println!("{}: off by {off}", row.file);
        assert!(off <= row.tolerance, "{} is off by {off}", row.file);
    }
}
