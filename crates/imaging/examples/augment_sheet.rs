//! Writes a contact sheet of augmentations as PNG, to be judged by eye.
//!
//! ```sh
//! cargo run --release -p reasonedit-imaging --example augment_sheet -- <picture or "-"> <sheet.png> [backgrounds…]
//! ```
//! With `-` a texture stands in for the picture. The first cell is the original; the last row shows textures.

use std::error::Error;
use std::path::Path;

use image::imageops::replace;
use reasonedit_imaging::augment::{AugmentConfig, augment, textures};
use reasonedit_imaging::{DecodeLimits, Filter, RgbImage, decode, encode_png, resize};

const COLUMNS: u32 = 4;
const ROWS: u32 = 4;
const CELL: u32 = 224;
const GAP: u32 = 6;

fn read(path: &str) -> Result<RgbImage, Box<dyn Error>> {
    Ok(decode(&std::fs::read(path)?, &DecodeLimits::default())?.image)
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [picture, sheet_path, backgrounds @ ..] = arguments.as_slice() else {
        return Err("usage: augment_sheet <picture or -> <sheet.png> [backgrounds…]".into());
    };
    let original = if picture == "-" { textures(11, 5, CELL).swap_remove(4) } else { read(picture)? };
    let backgrounds = backgrounds.iter().map(|path| read(path)).collect::<Result<Vec<_>, _>>()?;

    let mut cells = vec![original.clone()];
    let config = AugmentConfig::default();
    let variants = COLUMNS * (ROWS - 1);
    cells.extend((1..variants).map(|seed| augment(&original, &config, &backgrounds, u64::from(seed))));
    cells.extend(textures(1, COLUMNS, CELL));

    let mut sheet = RgbImage::from_pixel(COLUMNS * (CELL + GAP), ROWS * (CELL + GAP), image::Rgb([255; 3]));
    for (index, cell) in (0u32..).zip(&cells) {
        let scale = CELL as f32 / cell.width().max(cell.height()) as f32;
        let side = |length: u32| (length as f32 * scale) as u32;
        let small = resize(cell, side(cell.width()), side(cell.height()), Filter::Bicubic);
        let (x, y) = (index % COLUMNS * (CELL + GAP), index / COLUMNS * (CELL + GAP));
        replace(&mut sheet, &small, i64::from(x), i64::from(y));
    }
    std::fs::write(Path::new(sheet_path), encode_png(&sheet)?)?;
    Ok(())
}
