//! Mild picture augmentation that keeps the meaning (method section 3; paper appendix A.5, "Augmentation").
//!
//! The original is set into a mosaic of foreign tiles, then the whole is rotated a little and its colours are
//! jittered. The distances of embeddings of such variants give the radius of a key and the positive pairs of
//! bimodal modularity.

mod jitter;
mod mosaic;
mod rotate;
mod textures;

use image::RgbImage;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

pub use textures::textures;

/// How far an augmented picture may depart from the original.
///
/// Defaults are the method's (section 3); `area_kept` is in the paper's appendix A.5, the others in the
/// authors' code. Values outside the ranges stated are brought into them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AugmentConfig {
    /// Share of the output's area that the original takes, from 0.01 to 1.
    pub area_kept: f32,
    /// Tiles along each side of the mosaic, from 1 to 64.
    pub tiles_per_side: u32,
    /// Probability that a tile is noise and not a piece of a background, from 0 to 1.
    pub noise_share: f32,
    /// Largest rotation either way in degrees, from 0 to 180.
    pub rotation_degrees: f32,
    /// Brightness factor is drawn from 1 ± this, from 0 to 1.
    pub brightness: f32,
    /// Contrast factor is drawn from 1 ± this, from 0 to 1.
    pub contrast: f32,
    /// Saturation factor is drawn from 1 ± this, from 0 to 1.
    pub saturation: f32,
    /// Hue shift is drawn from ± this share of a full turn, from 0 to 0.5.
    pub hue: f32,
}

impl Default for AugmentConfig {
    fn default() -> Self {
        Self {
            area_kept: 0.9,
            tiles_per_side: 4,
            noise_share: 0.2,
            rotation_degrees: 10.0,
            brightness: 0.1,
            contrast: 0.1,
            saturation: 0.1,
            hue: 0.05,
        }
    }
}

impl AugmentConfig {
    fn bounded(&self) -> Self {
        Self {
            area_kept: bounded(self.area_kept, 0.01, 1.0),
            tiles_per_side: self.tiles_per_side.clamp(1, 64),
            noise_share: bounded(self.noise_share, 0.0, 1.0),
            rotation_degrees: bounded(self.rotation_degrees, 0.0, 180.0),
            brightness: bounded(self.brightness, 0.0, 1.0),
            contrast: bounded(self.contrast, 0.0, 1.0),
            saturation: bounded(self.saturation, 0.0, 1.0),
            hue: bounded(self.hue, 0.0, 0.5),
        }
    }
}

/// Like `clamp`, but a value that is no number becomes the lower end.
fn bounded(value: f32, least: f32, most: f32) -> f32 {
    value.max(least).min(most)
}

/// An augmented variant of `image`, of the same size.
///
/// `backgrounds` are pictures for the mosaic's tiles; when there are none, [`textures`] made from the seed
/// take their place. The same arguments give the same picture, whatever was augmented before.
pub fn augment(image: &RgbImage, config: &AugmentConfig, backgrounds: &[RgbImage], seed: u64) -> RgbImage {
    if image.width() == 0 || image.height() == 0 {
        return image.clone();
    }
    let config = config.bounded();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let framed = if config.area_kept < 1.0 {
        mosaic::frame(image, &config, backgrounds, &mut rng)
    } else {
        image.clone()
    };
    let degrees = config.rotation_degrees * rng.random_range(-1.0..=1.0f32);
    let mut rotated = rotate::rotate(&framed, degrees.to_radians());
    jitter::Jitter::draw(&config, &mut rng).apply(&mut rotated);
    rotated
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const RED: image::Rgb<u8> = image::Rgb([255, 0, 0]);
    const BLUE: image::Rgb<u8> = image::Rgb([0, 0, 255]);

    /// The mosaic alone: no rotation, no jitter.
    fn mosaic_only(noise_share: f32) -> AugmentConfig {
        AugmentConfig {
            noise_share,
            rotation_degrees: 0.0,
            brightness: 0.0,
            contrast: 0.0,
            saturation: 0.0,
            hue: 0.0,
            ..AugmentConfig::default()
        }
    }

    fn share(image: &RgbImage, colour: image::Rgb<u8>) -> f64 {
        image.pixels().filter(|&&pixel| pixel == colour).count() as f64 / image.pixels().len() as f64
    }

    #[test]
    fn the_original_takes_its_share_of_the_area() {
        let image = RgbImage::from_pixel(200, 120, RED);
        let backgrounds = [RgbImage::from_pixel(50, 80, BLUE)];
        for seed in 0..10 {
            let framed = augment(&image, &mosaic_only(0.0), &backgrounds, seed);
            assert!((share(&framed, RED) - 0.9).abs() < 0.01, "{}", share(&framed, RED));
            assert!((share(&framed, BLUE) - 0.1).abs() < 0.01, "{}", share(&framed, BLUE));
        }
    }

    #[test]
    fn the_place_varies_with_the_seed() {
        let image = RgbImage::from_pixel(100, 100, RED);
        let backgrounds = [RgbImage::from_pixel(9, 9, BLUE)];
        let places: BTreeSet<_> = (0..20)
            .map(|seed| {
                let framed = augment(&image, &mosaic_only(0.0), &backgrounds, seed);
                framed.enumerate_pixels().find(|(_, _, pixel)| **pixel == RED).map(|(x, y, _)| (x, y))
            })
            .collect();
        assert!(places.len() > 10, "{places:?}");
    }

    #[test]
    fn a_fifth_of_the_tiles_is_noise() {
        // With hardly any area kept, nearly all sixteen tiles of each mosaic show.
        let config = AugmentConfig { area_kept: 0.01, ..mosaic_only(AugmentConfig::default().noise_share) };
        let image = RgbImage::from_pixel(40, 40, RED);
        let backgrounds = [RgbImage::from_pixel(20, 20, BLUE)];
        let noisy: f64 = (0..100)
            .map(|seed| {
                let framed = augment(&image, &config, &backgrounds, seed);
                1.0 - share(&framed, RED) - share(&framed, BLUE)
            })
            .sum();
        assert!((15.0..25.0).contains(&noisy), "{noisy} % of the area is noise");
    }

    #[test]
    fn empty_backgrounds_count_as_none() {
        let image = RgbImage::from_pixel(60, 60, RED);
        let with_empty = augment(&image, &mosaic_only(0.0), &[RgbImage::new(0, 0)], 4);
        assert_eq!(with_empty, augment(&image, &mosaic_only(0.0), &[], 4));
        // One empty picture among good ones is no reason to fail either.
        let mixed = [RgbImage::new(0, 0), RgbImage::from_pixel(9, 9, BLUE)];
        assert_eq!(augment(&image, &mosaic_only(0.0), &mixed, 4).dimensions(), (60, 60));
    }

    #[test]
    fn nothing_asked_nothing_changed() {
        let image = RgbImage::from_fn(30, 20, |x, y| image::Rgb([x as u8 * 8, y as u8 * 12, 99]));
        let config = AugmentConfig { area_kept: 1.0, ..mosaic_only(0.0) };
        assert_eq!(augment(&image, &config, &[], 1), image);
    }

    #[test]
    fn defaults_are_those_of_the_method() {
        let json = serde_json::to_value(AugmentConfig::default()).unwrap();
        let read: AugmentConfig = serde_json::from_str("{}").unwrap();
        assert_eq!(serde_json::to_value(read).unwrap(), json);
        assert!(serde_json::from_str::<AugmentConfig>(r#"{"rotation": 1}"#).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn same_arguments_same_picture_of_the_same_size(
            width in 1u32..50, height in 1u32..50, seed in any::<u64>(), tiles in any::<u32>(),
            numbers in any::<[f32; 7]>()
        ) {
            let image = RgbImage::from_fn(width, height, |x, y| image::Rgb([x as u8 * 5, y as u8 * 5, 77]));
            let [area_kept, noise_share, rotation_degrees, brightness, contrast, saturation, hue] = numbers;
            let wild = AugmentConfig {
                area_kept, tiles_per_side: tiles, noise_share, rotation_degrees, brightness, contrast, saturation, hue,
            };
            for config in [AugmentConfig::default(), wild] {
                let once = augment(&image, &config, &[], seed);
                prop_assert_eq!(once.dimensions(), (width, height));
                prop_assert_eq!(once, augment(&image, &config, &[], seed));
            }
        }
    }
}
