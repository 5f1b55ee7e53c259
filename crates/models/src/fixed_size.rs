//! Pictures to patches for towers of one fixed size, equal to transformers' `CLIPImageProcessor`,
//! `LlavaImageProcessor`, `SiglipImageProcessor` and `BlipImageProcessor`.

use reasonedit_imaging::{Filter, PixelBox, RgbImage, crop, resize};
use reasonedit_nn::sequence::PixelInput;
use serde_json::Value;

use crate::error::{ModelError, Result};
use crate::model::ImagePreprocessor;

/// File whose settings these are.
const FILE: &str = "preprocessor_config.json";

/// Greatest ratio of a picture's sides: the longer one would be scaled up with the shorter.
const MAX_RATIO: u32 = 200;

/// Rows that are padded and resized at once: the padded picture as a whole may be far larger than the
/// picture.
const BAND: u32 = 256;

/// How a picture gets its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    /// The shorter side becomes this long, the longer in proportion.
    Shortest(u32),
    /// Both sides, whatever the proportions: (width, height).
    Exact(u32, u32),
}

/// Settings of `preprocessor_config.json`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FixedSizeProcessor {
    target: Target,
    /// Middle that is kept: (width, height).
    crop: Option<(u32, u32)>,
    /// Colour that fills a picture up to a square before it is resized.
    pad: Option<[u8; 3]>,
    filter: Filter,
    /// Normalised values of each channel's bytes.
    tables: [[f32; 256]; 3],
    patch: usize,
    /// Tokens that the model makes of a picture.
    tokens: usize,
}

impl FixedSizeProcessor {
    /// Reads the settings; what is absent has the default of transformers' class. `image_size` and
    /// `patch_size` are the tower's: what comes out must fit it.
    ///
    /// # Errors
    /// [`ModelError::load`] naming the setting at fault.
    pub(crate) fn parse(json: &Value, image_size: usize, patch_size: usize) -> Result<Self> {
        let fail = |reason: String| ModelError::load(FILE, reason);
        let class = json["image_processor_type"].as_str().or(json["feature_extractor_type"].as_str());
        let class = class.unwrap_or("CLIPImageProcessor");
        let family = class.trim_end_matches("Fast").trim_end_matches("Pil");
        let (default, crops) = match family {
            "CLIPImageProcessor" | "CLIPFeatureExtractor" | "LlavaImageProcessor" => {
                (Target::Shortest(224), true)
            }
            "SiglipImageProcessor" => (Target::Exact(224, 224), false),
            "BlipImageProcessor" => (Target::Exact(384, 384), false),
            _ => return Err(fail(format!("image_processor_type {class} is not known for this model"))),
        };
        for step in ["do_resize", "do_rescale", "do_normalize"] {
            if json[step].as_bool() == Some(false) {
                return Err(fail(format!("{step} = false is not supported")));
            }
        }
        let side = |value: &Value, name: &str| match value.as_u64() {
            Some(n @ 1..=4096) => Ok(n as u32),
            _ => Err(fail(format!("{name} must be between 1 and 4096"))),
        };
        let both = |value: &Value, name: &str| -> Result<(u32, u32)> {
            Ok((side(&value["width"], name)?, side(&value["height"], name)?))
        };
        let target = match &json["size"] {
            Value::Null => default,
            size if size.is_number() && crops => Target::Shortest(side(size, "size")?),
            size if size.is_number() => Target::Exact(side(size, "size")?, side(size, "size")?),
            size if size["shortest_edge"].is_number() => {
                Target::Shortest(side(&size["shortest_edge"], "size")?)
            }
            size => both(size, "size").map(|(width, height)| Target::Exact(width, height))?,
        };
        let crop = match &json["crop_size"] {
            _ if !json["do_center_crop"].as_bool().unwrap_or(crops) => None,
            Value::Null => Some((224, 224)),
            size if size.is_number() => Some((side(size, "crop_size")?, side(size, "crop_size")?)),
            size => Some(both(size, "crop_size")?),
        };
        let (least, out) = match target {
            Target::Shortest(short) => ((short, short), crop),
            Target::Exact(width, height) => ((width, height), Some(crop.unwrap_or((width, height)))),
        };
        if crop.is_some_and(|(width, height)| width > least.0 || height > least.1) {
            return Err(fail("crop_size is larger than what size leaves of a picture".into()));
        }
        let triple = |name: &str, default: [f32; 3]| -> Result<[f32; 3]> {
            match &json[name] {
                Value::Null => Ok(default),
                value => serde_json::from_value(value.clone())
                    .map_err(|_| fail(format!("{name} must be three numbers"))),
            }
        };
        let clip = family != "SiglipImageProcessor";
        let mean =
            triple("image_mean", if clip { [0.481_454_66, 0.457_827_5, 0.408_210_73] } else { [0.5; 3] })?;
        let std =
            triple("image_std", if clip { [0.268_629_54, 0.261_302_6, 0.275_777_1] } else { [0.5; 3] })?;
        if std.contains(&0.0) {
            return Err(fail("image_std has a 0".into()));
        }
        let pad = match json["do_pad"].as_bool() {
            Some(true) if family == "LlavaImageProcessor" => Some(pad_colour(&json["image_mean"], mean)),
            Some(true) => return Err(fail(format!("do_pad is not known of {class}"))),
            _ => None,
        };
        if out.is_none() && pad.is_none() {
            return Err(fail(
                "do_center_crop = false leaves pictures of any shape, this model takes squares".into(),
            ));
        }
        let size = match (out, target) {
            (Some(size), _) => size,
            (None, Target::Shortest(short) | Target::Exact(short, _)) => (short, short),
        };
        if (size.0 as usize, size.1 as usize) != (image_size, image_size) {
            let (width, height) = size;
            return Err(fail(format!(
                "it makes pictures of {width}×{height}, config.json's model takes {image_size}×{image_size}"
            )));
        }
        let rescale = json["rescale_factor"].as_f64().unwrap_or(1.0 / 255.0) as f32;
        Ok(Self {
            target,
            crop,
            pad,
            filter: match json["resample"].as_u64() {
                None | Some(3) => Filter::Bicubic,
                Some(2) => Filter::Bilinear,
                Some(other) => return Err(fail(format!("resample = {other} is not supported (2 or 3 are)"))),
            },
            tables: std::array::from_fn(|c| {
                std::array::from_fn(|byte| (byte as f32 * rescale - mean[c]) / std[c])
            }),
            patch: patch_size,
            tokens: (image_size / patch_size.max(1)).pow(2),
        })
    }

    /// The same in front of a model that makes this many tokens of a picture; else it makes one of every
    /// patch.
    pub(crate) fn making(self, tokens: usize) -> Self {
        Self { tokens, ..self }
    }

    /// Refuses shapes that are not looked at.
    fn check(width: u32, height: u32) -> Result<()> {
        if width == 0 || height == 0 {
            return Err(ModelError::Image("it has no pixels".into()));
        }
        if width.max(height) / width.min(height) > MAX_RATIO {
            return Err(ModelError::Image(format!("one side is more than {MAX_RATIO} times the other")));
        }
        Ok(())
    }

    /// The picture in the size that the tower takes.
    fn sized(&self, image: &RgbImage) -> Result<RgbImage> {
        let refuse = |e: reasonedit_imaging::ImagingError| ModelError::Image(e.to_string());
        let (width, height) = image.dimensions();
        Self::check(width, height)?;
        let (short, long) = (width.min(height), width.max(height));
        let (to_width, to_height) = match self.target {
            Target::Exact(width, height) => (width, height),
            Target::Shortest(side) if self.pad.is_some() => (side, side),
            Target::Shortest(side) => {
                // Cut off, not rounded, as transformers does.
                let longer = (u64::from(side) * u64::from(long) / u64::from(short)) as u32;
                if width <= height { (side, longer) } else { (longer, side) }
            }
        };
        let resized = match self.pad {
            Some(colour) if width != height => self.squared(image, colour, (to_width, to_height))?,
            _ => resize(image, to_width, to_height, self.filter),
        };
        match self.crop {
            Some((width, height)) if (width, height) != (to_width, to_height) => {
                let area = PixelBox { x: (to_width - width) / 2, y: (to_height - height) / 2, width, height };
                crop(&resized, area).map_err(refuse)
            }
            _ => Ok(resized),
        }
    }

    /// The picture in the middle of a square of one colour, resized; along x first, band by band, then along
    /// y.
    fn squared(
        &self,
        image: &RgbImage,
        colour: [u8; 3],
        (to_width, to_height): (u32, u32),
    ) -> Result<RgbImage> {
        let (width, height) = image.dimensions();
        let side = width.max(height);
        let (left, top) = ((side - width) / 2, (side - height) / 2);
        let mut narrow: Vec<u8> = Vec::with_capacity(side as usize * to_width as usize * 3);
        let fill = |rows: u32, columns: u32| colour.repeat(rows as usize * columns as usize);
        narrow.extend(fill(top, to_width));
        let stride = width as usize * 3;
        for band in image.as_raw().chunks(BAND as usize * stride) {
            let rows = (band.len() / stride) as u32;
            let mut padded = Vec::with_capacity(rows as usize * side as usize * 3);
            for row in band.chunks_exact(stride) {
                padded.extend(fill(1, left));
                padded.extend_from_slice(row);
                padded.extend(fill(1, side - width - left));
            }
            let padded = RgbImage::from_raw(side, rows, padded).ok_or_else(mismatch)?;
            narrow.extend(resize(&padded, to_width, rows, self.filter).into_raw());
        }
        narrow.extend(fill(side - height - top, to_width));
        let narrow = RgbImage::from_raw(to_width, side, narrow).ok_or_else(mismatch)?;
        Ok(resize(&narrow, to_width, to_height, self.filter))
    }
}

fn mismatch() -> ModelError {
    ModelError::Image("its rows don't add up".into())
}

/// The mean as bytes, cut off; from the file's own digits where it has them, as transformers does it.
fn pad_colour(json: &Value, mean: [f32; 3]) -> [u8; 3] {
    std::array::from_fn(|c| (json[c].as_f64().unwrap_or_else(|| f64::from(mean[c])) * 255.0) as u8)
}

impl ImagePreprocessor for FixedSizeProcessor {
    fn image_tokens(&self, width: u32, height: u32) -> Result<usize> {
        Self::check(width, height)?;
        Ok(self.tokens)
    }

    fn preprocess(&self, image: &RgbImage) -> Result<PixelInput> {
        let sized = self.sized(image)?;
        let patch = self.patch;
        let (rows, columns) = (sized.height() as usize / patch, sized.width() as usize / patch);
        let (bytes, stride) = (sized.as_raw(), sized.width() as usize * 3);
        let mut values = Vec::with_capacity(rows * columns * 3 * patch * patch);
        for (row, column) in (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column))) {
            for (channel, table) in self.tables.iter().enumerate() {
                for y in 0..patch {
                    let start = (row * patch + y) * stride + column * patch * 3;
                    let line = &bytes[start..start + patch * 3];
                    values.extend(line.iter().skip(channel).step_by(3).map(|b| table[usize::from(*b)]));
                }
            }
        }
        Ok(PixelInput { values, grid: (1, rows, columns) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn plain(extra: &Value) -> Value {
        let mut json = json!({
            "image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 6},
            "crop_size": {"height": 6, "width": 6}, "image_mean": [0.0, 0.0, 0.0], "image_std": [1.0, 1.0, 1.0],
            "rescale_factor": 1.0,
        });
        for (name, value) in extra.as_object().unwrap() {
            json[name] = value.clone();
        }
        json
    }

    #[test]
    fn the_middle_is_cut_into_patches() {
        let processor = FixedSizeProcessor::parse(&plain(&json!({})), 6, 4).unwrap();
        let bytes = (0..6u8).flat_map(|y| (0..9u8).flat_map(move |x| [x, y, 0])).collect();
        let out = processor.preprocess(&RgbImage::from_raw(9, 6, bytes).unwrap()).unwrap();
        // One patch of 4×4 fits into 6×6; the crop begins at column (9 − 6) / 2.
        assert_eq!((out.grid, out.values.len()), ((1, 1, 1), 48));
        assert_eq!(out.values[..5], [1.0, 2.0, 3.0, 4.0, 1.0]);
        assert_eq!(out.values[16..21], [0.0, 0.0, 0.0, 0.0, 1.0]);
    }

    #[test]
    fn unusable_settings_are_named() {
        for (extra, word) in [
            (json!({"image_processor_type": "Qwen2VLImageProcessor"}), "Qwen2VLImageProcessor"),
            (json!({"do_normalize": false}), "do_normalize"),
            (json!({"crop_size": {"height": 7, "width": 6}}), "crop_size"),
            (json!({"size": {"shortest_edge": 0}}), "size"),
            (json!({"size": {"height": 8, "width": 8}, "do_center_crop": false}), "8×8"),
            (json!({"do_center_crop": false}), "do_center_crop"),
            (json!({"do_pad": true}), "do_pad"),
            (json!({"image_std": [1, 0, 1]}), "image_std"),
            (json!({"resample": 5}), "resample"),
        ] {
            let error = FixedSizeProcessor::parse(&plain(&extra), 6, 3).unwrap_err().to_string();
            assert!(error.contains(word), "{extra}: {error}");
        }
    }

    #[test]
    fn extreme_shapes_are_refused_not_panicked_on() {
        let processor = FixedSizeProcessor::parse(&plain(&json!({})), 6, 3).unwrap();
        for (width, height) in [(0, 5), (5, 0), (1, 300), (300, 1)] {
            assert!(processor.preprocess(&RgbImage::new(width, height)).is_err());
        }
        assert!(processor.preprocess(&RgbImage::new(1, 1)).is_ok());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(30))]
        #[test]
        fn padding_by_bands_equals_padding_as_a_whole(
            width in 1u32..700, height in 1u32..700, side in 1u32..40, seed: u64,
        ) {
            let settings = plain(&json!({
                "image_processor_type": "LlavaImageProcessor", "do_pad": true, "size": {"shortest_edge": side},
                "crop_size": {"height": side, "width": side}, "image_mean": [0.1, 0.4, 0.9],
            }));
            prop_assume!(width.max(height) / width.min(height) <= MAX_RATIO);
            let processor = FixedSizeProcessor::parse(&settings, side as usize, 1).unwrap();
            let mut state = seed;
            let bytes = (0..width * height * 3).map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (state >> 56) as u8
            });
            let image = RgbImage::from_raw(width, height, bytes.collect()).unwrap();
            let whole = width.max(height);
            let mut square = RgbImage::from_pixel(whole, whole, [25, 102, 229].into());
            for (x, y, pixel) in image.enumerate_pixels() {
                square.put_pixel(x + (whole - width) / 2, y + (whole - height) / 2, *pixel);
            }
            let want = resize(&square, side, side, Filter::Bicubic);
            let sized = processor.sized(&image).unwrap();
            prop_assert_eq!(sized.as_raw(), want.as_raw());
        }
    }
}
