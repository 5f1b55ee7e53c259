//! What the vision sides of the Qwen models share: preprocessing, the order of patches, their rotary
//! embedding, taps, and what is kept of each picture.

pub(crate) mod config;
pub(crate) mod patches;
pub(crate) mod preprocess;

use std::ops::Range;
use std::sync::Arc;

use candle_core::Tensor;
use config::QwenVisionConfig;
use preprocess::Qwen2VlProcessor;
use reasonedit_nn::sequence::{ImageFeatures, PixelInput};
use reasonedit_nn::taps::{PooledTaps, TapInfo, TapName, TapStage};
use serde_json::Value;

use crate::error::{ModelError, Result};

impl QwenVisionConfig {
    /// The processor of `preprocessor_config.json`, whose patches must be those of `config.json`.
    pub(crate) fn processor(&self, json: &Value) -> Result<Qwen2VlProcessor> {
        let processor = Qwen2VlProcessor::parse(json)?;
        if (processor.patch_size, processor.merge_size, processor.temporal_patch_size)
            == (self.patch_size, self.spatial_merge_size, self.temporal_patch_size)
        {
            return Ok(processor);
        }
        Err(ModelError::load(
            "preprocessor_config.json",
            "its patch_size, merge_size and temporal_patch_size are not those of config.json",
        ))
    }

    /// Checks that pixels fit their grid and the grid the blocks that are merged; returns the grid.
    pub(crate) fn grid_of(&self, image: &PixelInput) -> Result<(usize, usize, usize)> {
        let (merge, patch_values) = (self.spatial_merge_size, self.patch_values());
        let (t, height, width) = image.grid;
        let expected = t
            .checked_mul(height)
            .and_then(|n| n.checked_mul(width))
            .and_then(|n| n.checked_mul(patch_values));
        if image.values.is_empty()
            || expected != Some(image.values.len())
            || !height.is_multiple_of(merge)
            || !width.is_multiple_of(merge)
        {
            return Err(ModelError::shape(format!(
                "{} values for a grid of {t}×{height}×{width} patches of {patch_values} values, merged by {merge}",
                image.values.len(),
            )));
        }
        Ok(image.grid)
    }

    /// Taps of the tower and its merger, in forward order.
    pub(crate) fn taps(&self) -> Vec<TapInfo> {
        let vision =
            |name: String| TapInfo { name: TapName(name), stage: TapStage::Vision, width: self.hidden_size };
        let merger =
            TapInfo { name: TapName("merger".into()), stage: TapStage::Bridge, width: self.out_hidden_size };
        std::iter::once(vision("vision.embedding".into()))
            .chain((0..self.depth).map(|i| vision(format!("vision.{i}"))))
            .chain(std::iter::once(merger))
            .collect()
    }

    /// What is kept of each picture: its rows of `merged` and of every `deepstack`, as `tokens` says, and
    /// what was pooled of it.
    pub(crate) fn features(
        &self,
        images: &[&PixelInput],
        tokens: Vec<Range<usize>>,
        merged: &Tensor,
        deepstack: &[Tensor],
        taps: Vec<PooledTaps>,
    ) -> Result<Vec<Arc<ImageFeatures>>> {
        let merge = self.spatial_merge_size;
        images
            .iter()
            .zip(tokens)
            .zip(taps)
            .map(|((image, tokens), taps)| {
                // Copied, so that a cached picture doesn't keep its whole batch in memory.
                let part = |t: &Tensor| t.narrow(0, tokens.start, tokens.len())?.force_contiguous();
                let (t, height, width) = image.grid;
                Ok(Arc::new(ImageFeatures {
                    tokens: part(merged)?,
                    deepstack: deepstack.iter().map(part).collect::<candle_core::Result<_>>()?,
                    grid: (t, height / merge, width / merge),
                    taps,
                }))
            })
            .collect()
    }
}
