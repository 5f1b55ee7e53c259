//! Pictures made by formula, for mosaics when no background pictures are at hand.

use image::RgbImage;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// Largest side of a texture in pixels; larger sizes are brought down to it.
const MAX_SIDE: u32 = 2048;
/// Octaves of the fractal noise and the loss of amplitude from one to the next.
const OCTAVES: u32 = 5;
const PERSISTENCE: f32 = 0.55;

type Colour = [f32; 3];

/// `count` square textures of `size`×`size` pixels (1 to 2,048): clouds, marble, cells, planks and bricks in
/// turn, each in colours of its own. The same seed gives the same textures, and a larger `count` only appends
/// to them.
pub fn textures(seed: u64, count: u32, size: u32) -> Vec<RgbImage> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..count).map(|index| texture(index, size.clamp(1, MAX_SIDE), &mut rng)).collect()
}

fn texture(index: u32, size: u32, rng: &mut ChaCha8Rng) -> RgbImage {
    // A generator of its own per texture: how much one kind draws cannot change the next.
    let mut rng = ChaCha8Rng::seed_from_u64(rng.random());
    let field = Field { salt: rng.random() };
    let palette = palette(&mut rng);
    let frequency = rng.random_range(2.0..6.0f32);
    let seeds: Vec<(f32, f32)> =
        (0..rng.random_range(12..40)).map(|_| (rng.random(), rng.random())).collect();
    let light = (rng.random_range(-0.25..0.25f32), rng.random_range(-0.25..0.25f32));
    RgbImage::from_fn(size, size, |x, y| {
        let (u, v) = ((x as f32 + 0.5) / size as f32, (y as f32 + 0.5) / size as f32);
        let rough = field.fractal(u * frequency, v * frequency);
        let tone = match index % 5 {
            0 => rough,
            1 => 0.5 + 0.5 * ((u + 0.6 * v + 1.2 * rough) * frequency * 2.5).sin(),
            2 => cells(&seeds, u + 0.05 * rough, v + 0.05 * rough),
            3 => planks(&field, u, v, frequency, rough),
            _ => bricks(&field, u, v, frequency, rough),
        };
        let shade = 1.0 + light.0 * (u - 0.5) + light.1 * (v - 0.5);
        image::Rgb(mix(&palette, tone).map(|c| (c * shade * 255.0).clamp(0.0, 255.0).round() as u8))
    })
}

/// Three colours of one family: a dark, a middle and a light one.
fn palette(rng: &mut ChaCha8Rng) -> [Colour; 3] {
    let base: Colour = [rng.random(), rng.random(), rng.random()];
    let other: Colour = [rng.random(), rng.random(), rng.random()];
    [base.map(|c| 0.05 + 0.3 * c), other.map(|c| 0.25 + 0.5 * c), base.map(|c| 0.6 + 0.4 * c)]
}

fn mix(palette: &[Colour; 3], tone: f32) -> Colour {
    let tone = tone.clamp(0.0, 1.0) * 2.0;
    let (from, to, share) =
        if tone < 1.0 { (palette[0], palette[1], tone) } else { (palette[1], palette[2], tone - 1.0) };
    [0, 1, 2].map(|channel| from[channel] + (to[channel] - from[channel]) * share)
}

/// Cells around random points: dark seams, each cell with a tone of its own.
fn cells(points: &[(f32, f32)], u: f32, v: f32) -> f32 {
    let (mut nearest, mut second, mut which) = (f32::MAX, f32::MAX, 0);
    for (index, (x, y)) in points.iter().enumerate() {
        let distance = ((u - x).powi(2) + (v - y).powi(2)).sqrt();
        if distance < nearest {
            (second, nearest, which) = (nearest, distance, index);
        } else if distance < second {
            second = distance;
        }
    }
    let seam = ((second - nearest) * 25.0).min(1.0);
    seam * (0.3 + 0.7 * (which % 7) as f32 / 6.0)
}

/// Long boards with grain.
fn planks(field: &Field, u: f32, v: f32, frequency: f32, rough: f32) -> f32 {
    let board = (v * frequency).floor();
    let seam = (v * frequency - board).min(1.0 + board - v * frequency);
    let grain = field.fractal(u * 2.0 + board * 7.3, v * frequency * 9.0);
    (seam * 30.0).min(1.0) * (0.2 + 0.3 * field.lattice(board as i32, 3) + 0.4 * grain + 0.1 * rough)
}

/// Courses of bricks, each shifted by half a brick.
fn bricks(field: &Field, u: f32, v: f32, frequency: f32, rough: f32) -> f32 {
    let course = (v * frequency * 2.0).floor();
    let along = u * frequency + 0.5 * (course % 2.0);
    let brick = along.floor();
    let across = v * frequency * 2.0 - course;
    let mortar = across < 0.08 || along - brick < 0.04;
    if mortar { 0.9 } else { 0.1 + 0.4 * field.lattice(brick as i32, course as i32) + 0.3 * rough }
}

/// Smooth pseudo-random values over the plane.
struct Field {
    salt: u32,
}

impl Field {
    /// A fixed value from 0 to 1 for a lattice point (integer hash after `lowbias32` of Wellons).
    fn lattice(&self, x: i32, y: i32) -> f32 {
        let mut hash =
            self.salt ^ (x as u32).wrapping_mul(0x9E37_79B1) ^ (y as u32).wrapping_mul(0x85EB_CA77);
        hash = (hash ^ (hash >> 16)).wrapping_mul(0x7FEB_352D);
        hash = (hash ^ (hash >> 15)).wrapping_mul(0x846C_A68B);
        hash ^= hash >> 16;
        (hash >> 8) as f32 / (1 << 24) as f32
    }

    /// Value noise: lattice values joined by smooth steps.
    fn value(&self, x: f32, y: f32) -> f32 {
        let (left, top) = (x.floor(), y.floor());
        let (column, row) = (left as i32, top as i32);
        let ease = |t: f32| t * t * (3.0 - 2.0 * t);
        let (fx, fy) = (ease(x - left), ease(y - top));
        let line = |row: i32| {
            let from = self.lattice(column, row);
            from + (self.lattice(column + 1, row) - from) * fx
        };
        let (upper, lower) = (line(row), line(row + 1));
        upper + (lower - upper) * fy
    }

    /// Octaves of value noise, from 0 to 1.
    fn fractal(&self, x: f32, y: f32) -> f32 {
        let (mut sum, mut total, mut amplitude, mut scale) = (0.0, 0.0, 1.0, 1.0);
        for octave in 0..OCTAVES {
            sum += amplitude * self.value(x * scale + octave as f32 * 17.0, y * scale);
            total += amplitude;
            amplitude *= PERSISTENCE;
            scale *= 2.0;
        }
        sum / total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_seed_same_textures_and_more_only_append() {
        let few = textures(7, 3, 24);
        assert_eq!(few, textures(7, 5, 24)[..3]);
        assert_ne!(few[0], textures(8, 1, 24)[0]);
        assert_eq!(few[0].dimensions(), (24, 24));
    }

    #[test]
    fn textures_are_structured_not_plain() {
        for (index, texture) in textures(3, 10, 64).iter().enumerate() {
            let mean = texture.iter().map(|&c| f64::from(c)).sum::<f64>() / texture.len() as f64;
            let deviation = (texture.iter().map(|&c| (f64::from(c) - mean).powi(2)).sum::<f64>()
                / texture.len() as f64)
                .sqrt();
            assert!(deviation > 5.0, "texture {index} has deviation {deviation}");
        }
    }

    #[test]
    fn sizes_are_bounded() {
        assert_eq!(textures(1, 1, 0)[0].dimensions(), (1, 1));
        assert!(textures(1, 0, 8).is_empty());
    }
}
