//! Colour jitter with the meaning that torchvision's `ColorJitter` gives to its four numbers.

use image::RgbImage;
use rand::Rng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;

use super::AugmentConfig;

/// Weights of red, green and blue in a pixel's grey value (ITU-R 601, as torchvision rounds them).
const GREY: [f32; 3] = [0.2989, 0.587, 0.114];

/// One change of colours. Factors multiply (1 changes nothing), hue is a share of a full turn.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Step {
    Brightness(f32),
    Contrast(f32),
    Saturation(f32),
    Hue(f32),
}

/// Steps in the order in which they are applied.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Jitter {
    steps: Vec<Step>,
}

impl Jitter {
    /// Draws the strength of each step and the order of the steps.
    pub(super) fn draw(config: &AugmentConfig, rng: &mut ChaCha8Rng) -> Self {
        let mut around = |centre: f32, spread: f32| centre + spread * rng.random_range(-1.0..=1.0f32);
        let mut steps = vec![
            Step::Brightness(around(1.0, config.brightness)),
            Step::Contrast(around(1.0, config.contrast)),
            Step::Saturation(around(1.0, config.saturation)),
            Step::Hue(around(0.0, config.hue)),
        ];
        steps.shuffle(rng);
        Self { steps }
    }

    /// Applies the steps to every pixel. Between steps values are real numbers clipped to the range of a
    /// channel; they are rounded once, at the end.
    pub(super) fn apply(&self, image: &mut RgbImage) {
        // Contrast blends with the mean grey of the whole picture as the steps before it left it.
        let mut mean = 0.0;
        if let Some(at) = self.steps.iter().position(|step| matches!(step, Step::Contrast(_))) {
            let before = &self.steps[..at];
            let sum: f64 = image.chunks_exact(3).map(|p| f64::from(grey(run(before, to_unit(p), 0.0)))).sum();
            mean = (sum / (image.len() / 3).max(1) as f64) as f32;
        }
        for pixel in image.chunks_exact_mut(3) {
            let changed = run(&self.steps, to_unit(pixel), mean);
            for (channel, value) in pixel.iter_mut().zip(changed) {
                *channel = (value * 255.0).round() as u8;
            }
        }
    }
}

fn to_unit(pixel: &[u8]) -> [f32; 3] {
    [pixel[0], pixel[1], pixel[2]].map(|channel| f32::from(channel) / 255.0)
}

fn grey(pixel: [f32; 3]) -> f32 {
    GREY[0] * pixel[0] + GREY[1] * pixel[1] + GREY[2] * pixel[2]
}

fn run(steps: &[Step], pixel: [f32; 3], mean: f32) -> [f32; 3] {
    steps.iter().fold(pixel, |pixel, step| match *step {
        Step::Brightness(factor) => blend(pixel, 0.0, factor),
        Step::Contrast(factor) => blend(pixel, mean, factor),
        Step::Saturation(factor) => blend(pixel, grey(pixel), factor),
        Step::Hue(turn) => shift_hue(pixel, turn),
    })
}

/// `factor` of the pixel and `1 - factor` of a grey value; above 1 this moves away from the grey.
fn blend(pixel: [f32; 3], towards: f32, factor: f32) -> [f32; 3] {
    pixel.map(|channel| (factor * channel + (1.0 - factor) * towards).clamp(0.0, 1.0))
}

/// Turns the hue of a pixel, keeping its saturation and value in the HSV model.
fn shift_hue([r, g, b]: [f32; 3], turn: f32) -> [f32; 3] {
    let most = r.max(g).max(b);
    let range = most - r.min(g).min(b);
    if range <= 0.0 || turn == 0.0 {
        return [r, g, b];
    }
    let hue = if most == r {
        (g - b) / range
    } else if most == g {
        2.0 + (b - r) / range
    } else {
        4.0 + (r - g) / range
    };
    let hue = (hue / 6.0 + turn).rem_euclid(1.0) * 6.0;
    // Each channel is a trapezoid over the hue circle, shifted by a third of a turn.
    [5.0, 3.0, 1.0].map(|shift: f32| {
        let k = (shift + hue) % 6.0;
        most - range * k.min(4.0 - k).clamp(0.0, 1.0)
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use rand::SeedableRng as _;

    use super::*;

    fn golden(name: &str) -> RgbImage {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(name);
        image::open(path).unwrap().into_rgb8()
    }

    #[test]
    fn steps_equal_torchvision() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/jitter.json");
        let table: Vec<serde_json::Value> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        assert_eq!(table.len(), 8);
        for row in &table {
            let amount = row["amount"].as_f64().unwrap() as f32;
            let step = match row["step"].as_str().unwrap() {
                "brightness" => Step::Brightness(amount),
                "contrast" => Step::Contrast(amount),
                "saturation" => Step::Saturation(amount),
                _ => Step::Hue(amount),
            };
            let mut image = golden("jitter_source.png");
            Jitter { steps: vec![step] }.apply(&mut image);
            let expected = golden(row["expected"].as_str().unwrap());
            let worst = image.iter().zip(expected.iter()).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
            // The reference computes in 64 bits: a value next to a half may round the other way.
            assert!(worst <= 1, "{step:?}: off by {worst}");
        }
    }

    #[test]
    fn neutral_steps_change_nothing() {
        let source = golden("jitter_source.png");
        let mut image = source.clone();
        let steps = vec![Step::Hue(0.0), Step::Contrast(1.0), Step::Brightness(1.0), Step::Saturation(1.0)];
        Jitter { steps }.apply(&mut image);
        assert_eq!(image, source);
    }

    #[test]
    fn a_full_turn_of_hue_comes_home() {
        for pixel in [[0.9, 0.2, 0.4], [0.1, 0.7, 0.7], [0.3, 0.2, 0.9], [0.5, 0.5, 0.5]] {
            for (a, b) in shift_hue(pixel, 1.0).into_iter().zip(pixel) {
                assert!((a - b).abs() < 1e-5, "{pixel:?}");
            }
        }
    }

    #[test]
    fn strengths_stay_in_range_and_the_order_varies() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let config = AugmentConfig::default();
        let mut first = std::collections::BTreeSet::new();
        for _ in 0..200 {
            let jitter = Jitter::draw(&config, &mut rng);
            for step in &jitter.steps {
                match *step {
                    Step::Brightness(f) | Step::Contrast(f) | Step::Saturation(f) => {
                        assert!((0.9..=1.1).contains(&f), "{f}");
                    }
                    Step::Hue(turn) => assert!((-0.05..=0.05).contains(&turn), "{turn}"),
                }
            }
            first.insert(format!("{:?}", std::mem::discriminant(&jitter.steps[0])));
        }
        assert_eq!(first.len(), 4);
    }
}
