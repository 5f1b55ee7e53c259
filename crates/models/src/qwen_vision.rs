//! What the vision sides of the Qwen models share: preprocessing, the order of patches, their rotary
//! embedding.

pub(crate) mod config;
pub(crate) mod patches;
pub(crate) mod preprocess;

use preprocess::Qwen2VlProcessor;
use reasonedit_nn::sequence::PixelInput;
use reasonedit_nn::taps::{TapInfo, TapName, TapStage};
use serde_json::Value;

use crate::error::{ModelError, Result};

/// The processor of `preprocessor_config.json`, whose patches must be those of `config.json`: patch, merge
/// and temporal sizes.
pub(crate) fn processor_for(json: &Value, sizes: (usize, usize, usize)) -> Result<Qwen2VlProcessor> {
    let processor = Qwen2VlProcessor::parse(json)?;
    if (processor.patch_size, processor.merge_size, processor.temporal_patch_size) == sizes {
        return Ok(processor);
    }
    Err(ModelError::load(
        "preprocessor_config.json",
        "its patch_size, merge_size and temporal_patch_size are not those of config.json",
    ))
}

/// Checks that pixels fit their grid and the grid the blocks that are merged; returns the grid.
pub(crate) fn check_pixels(
    image: &PixelInput,
    merge: usize,
    patch_values: usize,
) -> Result<(usize, usize, usize)> {
    let (t, height, width) = image.grid;
    let expected =
        t.checked_mul(height).and_then(|n| n.checked_mul(width)).and_then(|n| n.checked_mul(patch_values));
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

/// Taps of a tower and its merger, in forward order.
pub(crate) fn vision_taps(blocks: usize, width: usize, merged: usize) -> impl Iterator<Item = TapInfo> {
    let vision = move |name: String| TapInfo { name: TapName(name), stage: TapStage::Vision, width };
    std::iter::once(vision("vision.embedding".into()))
        .chain((0..blocks).map(move |i| vision(format!("vision.{i}"))))
        .chain(std::iter::once(TapInfo {
            name: TapName("merger".into()),
            stage: TapStage::Bridge,
            width: merged,
        }))
}
