//! Mosaic padding: the original, a little smaller, at a random place on a grid of foreign tiles.

use image::imageops::replace;
use image::{GenericImage as _, RgbImage};
use rand::{Rng as _, RngCore as _};
use rand_chacha::ChaCha8Rng;

use super::{AugmentConfig, textures};
use crate::grid::edges;
use crate::{Filter, PixelBox, crop, resize};

/// Textures made when the caller has no backgrounds, and the bounds of their side in pixels.
const TEXTURE_COUNT: u32 = 4;
const TEXTURE_SIDE: (u32, u32) = (16, 256);
/// Least share of the largest fitting piece of a background that a tile shows.
const LEAST_PIECE: f32 = 0.3;

/// Sets `image` into a mosaic of the same size, so that it takes `area_kept` of the area.
pub(super) fn frame(
    image: &RgbImage,
    config: &AugmentConfig,
    backgrounds: &[RgbImage],
    rng: &mut ChaCha8Rng,
) -> RgbImage {
    let (width, height) = image.dimensions();
    let scale = config.area_kept.sqrt();
    let inner_width = ((width as f32 * scale).round() as u32).clamp(1, width);
    let inner_height = ((height as f32 * scale).round() as u32).clamp(1, height);
    let place = PixelBox {
        x: rng.random_range(0..=width - inner_width),
        y: rng.random_range(0..=height - inner_height),
        width: inner_width,
        height: inner_height,
    };
    let tile_side = width.max(height).div_ceil(config.tiles_per_side);
    let tiles = Tiles::new(config, backgrounds, tile_side, rng);
    let mut canvas = RgbImage::new(width, height);
    for rows in edges(height, config.tiles_per_side).windows(2) {
        for columns in edges(width, config.tiles_per_side).windows(2) {
            let tile = PixelBox {
                x: columns[0],
                y: rows[0],
                width: columns[1] - columns[0],
                height: rows[1] - rows[0],
            };
            if tile.area() > 0 && !covers(&place, &tile) {
                tiles.draw(&mut canvas, tile, rng);
            }
        }
    }
    let inner = resize(image, inner_width, inner_height, Filter::Bicubic);
    replace(&mut canvas, &inner, i64::from(place.x), i64::from(place.y));
    canvas
}

/// Whether `outer` hides `inner` completely. Both lie on one picture, so the sums cannot overflow.
fn covers(outer: &PixelBox, inner: &PixelBox) -> bool {
    outer.x <= inner.x
        && outer.y <= inner.y
        && outer.x + outer.width >= inner.x + inner.width
        && outer.y + outer.height >= inner.y + inner.height
}

/// Where the tiles of a mosaic come from.
struct Tiles<'a> {
    given: &'a [RgbImage],
    made: Vec<RgbImage>,
    noise_share: f32,
}

impl<'a> Tiles<'a> {
    fn new(config: &AugmentConfig, given: &'a [RgbImage], tile_side: u32, rng: &mut ChaCha8Rng) -> Self {
        // Drawn in either case, so that the place and jitter of a seed do not depend on it.
        let seed = rng.next_u64();
        let usable = given.iter().any(|picture| picture.width() > 0 && picture.height() > 0);
        // A tile shows a piece of a texture, so a texture as large as two tiles is as fine as a tile can
        // show.
        let side = tile_side.saturating_mul(2).clamp(TEXTURE_SIDE.0, TEXTURE_SIDE.1);
        let made = if usable { Vec::new() } else { textures(seed, TEXTURE_COUNT, side) };
        Self { given, made, noise_share: config.noise_share }
    }

    fn draw(&self, canvas: &mut RgbImage, tile: PixelBox, rng: &mut ChaCha8Rng) {
        if rng.random::<f32>() < self.noise_share {
            noise(canvas, tile, rng);
            return;
        }
        let pool = if self.made.is_empty() { self.given } else { self.made.as_slice() };
        let source = &pool[rng.random_range(0..pool.len())];
        let piece = piece(source, tile.width, tile.height, rng);
        if let Ok(piece) = crop(source, piece) {
            let piece = resize(&piece, tile.width, tile.height, Filter::Bilinear);
            replace(canvas, &piece, i64::from(tile.x), i64::from(tile.y));
        } else {
            // An empty background among good ones: noise is the tile that needs no source.
            noise(canvas, tile, rng);
        }
    }
}

/// A random piece of `source` with the proportions of a tile of `width`×`height` pixels.
fn piece(source: &RgbImage, width: u32, height: u32, rng: &mut ChaCha8Rng) -> PixelBox {
    let (full_width, full_height) = (source.width() as f32, source.height() as f32);
    let fit = (full_width / width as f32).min(full_height / height as f32);
    let scale = fit * rng.random_range(LEAST_PIECE..=1.0);
    let piece_width = ((width as f32 * scale).round() as u32).max(1).min(source.width());
    let piece_height = ((height as f32 * scale).round() as u32).max(1).min(source.height());
    PixelBox {
        x: rng.random_range(0..=source.width() - piece_width),
        y: rng.random_range(0..=source.height() - piece_height),
        width: piece_width,
        height: piece_height,
    }
}

/// Fills a tile with uniform noise in every channel.
fn noise(canvas: &mut RgbImage, tile: PixelBox, rng: &mut ChaCha8Rng) {
    let mut view = canvas.sub_image(tile.x, tile.y, tile.width, tile.height);
    for y in 0..tile.height {
        for x in 0..tile.width {
            let mut channels = [0; 3];
            rng.fill_bytes(&mut channels);
            view.put_pixel(x, y, image::Rgb(channels));
        }
    }
}
