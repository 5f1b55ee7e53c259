//! Pictures to patches, equal to transformers' `Qwen2VLImageProcessor`.

use reasonedit_imaging::{Filter, RgbImage, resize, smart_resize};
use reasonedit_nn::sequence::PixelInput;
use serde_json::Value;

use crate::error::{ModelError, Result};
use crate::model::ImagePreprocessor;

/// Settings of `preprocessor_config.json`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Qwen2VlProcessor {
    /// Least and greatest number of pixels after resizing.
    pub(crate) pixels: (u64, u64),
    /// Side of a patch.
    pub(crate) patch_size: usize,
    /// Patches a side that become one token.
    pub(crate) merge_size: usize,
    /// Times a still picture is repeated in a patch.
    pub(crate) temporal_patch_size: usize,
    /// Interpolation.
    pub(crate) filter: Filter,
    /// Factor from bytes to the unit range.
    pub(crate) rescale: f32,
    /// Subtracted from each channel after rescaling.
    pub(crate) mean: [f32; 3],
    /// Divides each channel after that.
    pub(crate) std: [f32; 3],
}

impl Qwen2VlProcessor {
    /// Reads the settings; what is absent has the default of transformers' class.
    ///
    /// # Errors
    /// [`ModelError::load`] naming the setting at fault.
    pub(crate) fn parse(json: &Value) -> Result<Self> {
        let fail = |reason: String| ModelError::load("preprocessor_config.json", reason);
        let kind = json["image_processor_type"].as_str().unwrap_or("Qwen2VLImageProcessor");
        if !matches!(kind, "Qwen2VLImageProcessor" | "Qwen2VLImageProcessorFast" | "Qwen2VLImageProcessorPil")
        {
            return Err(fail(format!("image_processor_type {kind} is not Qwen2VLImageProcessor")));
        }
        for step in ["do_resize", "do_rescale", "do_normalize"] {
            if json[step].as_bool() == Some(false) {
                return Err(fail(format!("{step} = false is not supported")));
            }
        }
        let number = |name: &str, default: usize| match &json[name] {
            Value::Null => Ok(default),
            value => match value.as_u64() {
                Some(n @ 1..=4096) => Ok(n as usize),
                _ => Err(fail(format!("{name} must be between 1 and 4096"))),
            },
        };
        // The flat names win over `size`, as in transformers.
        let pixels = |flat: &str, edge: &str, default: u64| {
            let value = if json[flat].is_null() { &json["size"][edge] } else { &json[flat] };
            match value {
                Value::Null => Ok(default),
                value => value
                    .as_u64()
                    .filter(|n| (1..1 << 40).contains(n))
                    .ok_or_else(|| fail(format!("{flat} is not a number of pixels"))),
            }
        };
        let triple = |name: &str, default: [f32; 3]| -> Result<[f32; 3]> {
            match &json[name] {
                Value::Null => Ok(default),
                value => serde_json::from_value(value.clone())
                    .map_err(|_| fail(format!("{name} must be three numbers"))),
            }
        };
        let processor = Self {
            pixels: (
                pixels("min_pixels", "shortest_edge", 56 * 56)?,
                pixels("max_pixels", "longest_edge", 28 * 28 * 1280)?,
            ),
            patch_size: number("patch_size", 14)?,
            merge_size: number("merge_size", 2)?,
            temporal_patch_size: number("temporal_patch_size", 2)?,
            filter: match json["resample"].as_u64() {
                None | Some(3) => Filter::Bicubic,
                Some(2) => Filter::Bilinear,
                Some(other) => return Err(fail(format!("resample = {other} is not supported (2 or 3 are)"))),
            },
            rescale: json["rescale_factor"].as_f64().unwrap_or(1.0 / 255.0) as f32,
            mean: triple("image_mean", [0.481_454_66, 0.457_827_5, 0.408_210_73])?,
            std: triple("image_std", [0.268_629_54, 0.261_302_6, 0.275_777_1])?,
        };
        if processor.pixels.0 > processor.pixels.1 || processor.std.contains(&0.0) {
            return Err(fail("min_pixels exceeds max_pixels, or image_std has a 0".into()));
        }
        Ok(processor)
    }
}

impl Qwen2VlProcessor {
    /// Height and width that a picture is resized to: whole merged patches.
    fn target(&self, width: u32, height: u32) -> Result<(u32, u32)> {
        if width == 0 || height == 0 {
            return Err(ModelError::Image("it has no pixels".into()));
        }
        let factor = (self.patch_size * self.merge_size) as u32;
        smart_resize(height, width, factor, self.pixels.0, self.pixels.1)
            .map_err(|e| ModelError::Image(e.to_string()))
    }
}

impl ImagePreprocessor for Qwen2VlProcessor {
    fn patches_per_token(&self) -> usize {
        self.merge_size * self.merge_size
    }

    fn image_tokens(&self, width: u32, height: u32) -> Result<usize> {
        let (height, width) = self.target(width, height)?;
        let side = self.patch_size * self.merge_size;
        Ok((height as usize / side) * (width as usize / side))
    }

    fn preprocess(&self, image: &RgbImage) -> Result<PixelInput> {
        let (patch, merge) = (self.patch_size, self.merge_size);
        let (height, width) = self.target(image.width(), image.height())?;
        let resized = resize(image, width, height, self.filter);
        // One table per channel: each byte has one normalised value.
        let tables: Vec<[f32; 256]> = (0..3)
            .map(|c| std::array::from_fn(|byte| (byte as f32 * self.rescale - self.mean[c]) / self.std[c]))
            .collect();
        let (rows, columns) = (height as usize / patch, width as usize / patch);
        let stride = width as usize * 3;
        let bytes = resized.as_raw();
        let mut values = Vec::with_capacity(rows * columns * 3 * self.temporal_patch_size * patch * patch);
        for (row, column) in super::patches::patch_places((1, rows, columns), merge) {
            for (channel, table) in tables.iter().enumerate() {
                for _ in 0..self.temporal_patch_size {
                    for y in 0..patch {
                        let start = (row * patch + y) * stride + column * patch * 3;
                        let line = &bytes[start..start + patch * 3];
                        values.extend(line.iter().skip(channel).step_by(3).map(|b| table[usize::from(*b)]));
                    }
                }
            }
        }
        Ok(PixelInput { values, grid: (1, rows, columns) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn patches_are_in_block_order_and_repeated() {
        let json = json!({
            "size": {"shortest_edge": 16, "longest_edge": 64}, "patch_size": 2, "merge_size": 2,
            "image_mean": [0.0, 0.0, 0.0], "image_std": [1.0, 1.0, 1.0], "rescale_factor": 1.0,
        });
        let processor = Qwen2VlProcessor::parse(&json).unwrap();
        let bytes = (0..4u8).flat_map(|y| (0..8u8).flat_map(move |x| [x, y, 0])).collect();
        let image = RgbImage::from_raw(8, 4, bytes).unwrap();
        let out = processor.preprocess(&image).unwrap();
        assert_eq!(out.grid, (1, 2, 4));
        assert_eq!(processor.image_tokens(8, 4).unwrap(), 2);
        assert_eq!(out.values.len(), 8 * 3 * 2 * 4);
        // Second patch: row 0, column 1; third: row 1, column 0 (the block's second row).
        assert_eq!(out.values[24..28], [2.0, 3.0, 2.0, 3.0]);
        assert_eq!(out.values[28..32], out.values[24..28]);
        assert_eq!(out.values[32..36], [0.0, 0.0, 1.0, 1.0]);
        assert_eq!(out.values[2 * 24 + 8..2 * 24 + 12], [2.0, 2.0, 3.0, 3.0]);
    }

    #[test]
    fn flat_names_win_and_bad_settings_are_named() {
        let json =
            json!({"min_pixels": 100, "max_pixels": 200, "size": {"shortest_edge": 1, "longest_edge": 2}});
        assert_eq!(Qwen2VlProcessor::parse(&json).unwrap().pixels, (100, 200));
        for (json, word) in [
            (json!({"image_processor_type": "CLIPImageProcessor"}), "CLIPImageProcessor"),
            (json!({"do_resize": false}), "do_resize"),
            (json!({"patch_size": 0}), "patch_size"),
            (json!({"min_pixels": 9, "max_pixels": 3}), "max_pixels"),
            (json!({"image_std": [1, 2]}), "image_std"),
        ] {
            assert!(Qwen2VlProcessor::parse(&json).unwrap_err().to_string().contains(word), "{json}");
        }
    }

    #[test]
    fn extreme_shapes_are_refused_not_panicked_on() {
        let processor = Qwen2VlProcessor::parse(&json!({})).unwrap();
        assert!(processor.preprocess(&RgbImage::new(0, 5)).is_err());
        assert!(processor.preprocess(&RgbImage::new(1, 300)).is_err());
        assert!(processor.preprocess(&RgbImage::new(1, 1)).is_ok());
    }
}
