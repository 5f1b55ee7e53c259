//! Pixels to image tokens: the CLIP tower and the projector behind it.

use std::sync::Arc;

use reasonedit_nn::blocks::activation::Activation;
use reasonedit_nn::blocks::linear::Linear;
use reasonedit_nn::blocks::pool::TapCollector;
use reasonedit_nn::blocks::select_rows;
use reasonedit_nn::blocks::vit::{Tower, VisionTransformer, even_rows};
use reasonedit_nn::sequence::{ImageFeatures, PixelInput};
use reasonedit_nn::taps::{TapInfo, TapName, TapStage};
use reasonedit_nn::weights::Weights;

use super::config::LlavaConfig;
use crate::composed::PictureTower;
use crate::error::Result;
use crate::llama::first_scope;

/// Tap of the image tokens.
const PROJECTOR: &str = "projector";

/// The vision side of a LLaVA.
#[derive(Debug)]
pub(super) struct LlavaTower {
    vision: VisionTransformer,
    /// Vision blocks behind which the image tokens are taken.
    feature_blocks: usize,
    keeps_class: bool,
    projector: (Linear, Linear),
    activation: Activation,
    /// Width of an image token.
    hidden: usize,
}

impl LlavaTower {
    pub(super) fn new(weights: &Weights, config: &LlavaConfig, hidden: usize) -> Result<Self> {
        // The published files have the first of these names, later releases of transformers write the others.
        let vision = first_scope(
            weights,
            &[
                "vision_tower.vision_model",
                "vision_tower",
                "model.vision_tower.vision_model",
                "model.vision_tower",
            ],
            "embeddings.class_embedding",
        );
        let projector = first_scope(
            weights,
            &["multi_modal_projector", "model.multi_modal_projector"],
            "linear_1.weight",
        );
        let sizes = config.vision_config.sizes()?;
        let bias = config.multimodal_projector_bias;
        Ok(Self {
            vision: VisionTransformer::new(
                &vision,
                Tower::Clip,
                &sizes,
                (config.vision_config.image_size, config.vision_config.patch_size),
                weights.device(),
            )?,
            feature_blocks: config.feature_blocks()?,
            keeps_class: config.keeps_class(),
            projector: (
                projector.linear(&[("linear_1", hidden)], sizes.width, bias)?,
                projector.linear(&[("linear_2", hidden)], hidden, bias)?,
            ),
            activation: Activation::parse(&config.projector_hidden_act)?,
            hidden,
        })
    }
}

impl LlavaTower {
    /// The class token, where it is no image token: it is the first one.
    fn skipped(&self) -> usize {
        usize::from(self.vision.has_class() && !self.keeps_class)
    }

    /// Tokens that a picture becomes.
    pub(super) fn token_count(&self) -> usize {
        self.vision.tokens() - self.skipped()
    }
}

impl PictureTower for LlavaTower {
    fn taps(&self) -> Vec<TapInfo> {
        let info = |stage, (name, width)| TapInfo { name: TapName(name), stage, width };
        let projector = info(TapStage::Bridge, (PROJECTOR.to_owned(), self.hidden));
        self.vision.taps().map(|tap| info(TapStage::Vision, tap)).chain([projector]).collect()
    }

    fn encode(&self, images: &[&PixelInput], taps: &[TapName]) -> Result<Vec<Arc<ImageFeatures>>> {
        if images.is_empty() {
            return Ok(Vec::new());
        }
        let mut taps = TapCollector::new(taps, images.len());
        let x = self.vision.forward(images, self.feature_blocks, &mut taps)?;
        let skipped = self.skipped();
        let rows: Vec<_> = even_rows(images.len(), self.vision.tokens())
            .into_iter()
            .map(|rows| rows.start + skipped..rows.end)
            .collect();
        let x = self.projector.0.forward_activated(&select_rows(&x, &rows)?, self.activation)?;
        let x = self.projector.1.forward(&x)?;
        let count = self.token_count();
        let rows = even_rows(images.len(), count);
        taps.take(PROJECTOR, &x, &rows)?;
        let side = self.vision.side();
        let grid = if self.keeps_class { (1, 1, count) } else { (1, side, side) };
        rows.into_iter()
            .zip(taps.finish())
            .map(|(rows, taps)| {
                // Copied, so that a cached picture doesn't keep its whole batch in memory.
                let tokens = x.narrow(0, rows.start, rows.len())?.force_contiguous()?;
                Ok(Arc::new(ImageFeatures { tokens, deepstack: Vec::new(), grid, taps }))
            })
            .collect()
    }
}
