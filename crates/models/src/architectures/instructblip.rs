//! InstructBLIP: an EVA vision tower, a Q-Former that reads the instruction, a Llama (Vicuna) language model.
//!
//! Follows transformers' `InstructBlipForConditionalGeneration`, which the golden checkpoints compare it
//! with. What can be kept of a picture alone is what the vision tower makes of it; the tokens that stand for
//! it depend on the instruction too, and are made where a sequence is run. Taps are the outputs of the vision
//! tower's modules (`vision.*`, of the picture alone) and, of picture and text together, the queries behind
//! every layer of the Q-Former (`qformer.*`), the projected ones (`projector`) and the language model's.

mod config;
mod qformer;

use std::sync::Arc;

use config::InstructBlipConfig;
use qformer::{Instructed, QFormer};
use reasonedit_nn::blocks::decoder::{Axes, Decoder, TextConfig, Variant};
use reasonedit_nn::blocks::pool::TapCollector;
use reasonedit_nn::blocks::vit::{Tower, VisionTransformer, even_rows};
use reasonedit_nn::sequence::{ImageFeatures, Piece, PixelInput, Sequence};
use reasonedit_nn::taps::{PooledTaps, TapInfo, TapName, TapStage};
use reasonedit_nn::weights::Weights;
use serde_json::Value;

use crate::architecture::{Architecture, KnownModel, Parts};
use crate::composed::{Composed, InstructedBatch, PictureTower};
use crate::error::{ModelError, Result};
use crate::fixed_size::FixedSizeProcessor;
use crate::llama::{LLAMA_THETA, text_config};
use crate::model::VisionLanguageModel;

/// See [`Architecture`].
pub(crate) const ARCHITECTURE: Architecture = Architecture {
    model_type: "instructblip",
    pictures: true,
    language_modules: "language_model.model",
    known: &[KnownModel {
        id: "Salesforce/instructblip-vicuna-7b",
        parameters: 7_913_210_624,
        layers: 6_476_005_376,
        head: 131_076_096,
        tied: false,
    }],
    parameters,
    load,
};

/// The vision side of an InstructBLIP.
#[derive(Debug)]
struct InstructBlipTower {
    vision: VisionTransformer,
    qformer: QFormer,
    /// Width of an image token.
    hidden: usize,
}

/// The networks, without what surrounds them.
fn networks(
    config: &InstructBlipConfig,
    text: &TextConfig,
    weights: &Weights,
) -> Result<(InstructBlipTower, Decoder)> {
    let tied = weights.tied(
        "language_model.lm_head.weight",
        "language_model.model.embed_tokens.weight",
        config.tie_word_embeddings || text.tie_word_embeddings,
    )?;
    let vision = &config.vision_config;
    let root = weights.scope("");
    let variant = Variant {
        axes: Axes::Plain,
        theta: text.theta(Some(LLAMA_THETA))?,
        qkv_bias: text.attention_bias,
        output_bias: text.attention_bias,
        head_norms: false,
        tied,
    };
    let language = root.scope("language_model");
    let tower = InstructBlipTower {
        vision: VisionTransformer::new(
            &root.scope("vision_model"),
            Tower::Eva,
            &vision.sizes()?,
            (vision.image_size, vision.patch_size),
            weights.device(),
        )?,
        qformer: QFormer::new(&root, config, text.hidden_size)?,
        hidden: text.hidden_size,
    };
    let decoder = Decoder::new(&language.scope("model"), &language, text, variant)?;
    weights.finish(|name| {
        // Position numbers that older releases stored, and the second copy of a tied output matrix.
        name.ends_with("embeddings.position_ids") || (tied && name == "language_model.lm_head.weight")
    })?;
    Ok((tower, decoder))
}

impl InstructBlipTower {
    fn check(&self, features: &ImageFeatures) -> Result<()> {
        let expected = [self.vision.tokens(), self.vision.width()];
        if features.tokens.dims() == expected {
            Ok(())
        } else {
            Err(ModelError::shape("image features of another model"))
        }
    }
}

impl PictureTower for InstructBlipTower {
    fn taps(&self) -> Vec<TapInfo> {
        let info = |stage, (name, width)| TapInfo { name: TapName(name), stage, width };
        let vision = self.vision.taps().map(|tap| info(TapStage::Vision, tap));
        // By what they depend on: nothing that must depend on the picture alone can be read there.
        let qformer = self.qformer.taps(self.hidden).map(|tap| info(TapStage::Language, tap));
        vision.chain(qformer).collect()
    }

    /// What the Q-Former attends to, and pooled vision taps.
    fn encode(&self, images: &[&PixelInput], taps: &[TapName]) -> Result<Vec<Arc<ImageFeatures>>> {
        if images.is_empty() {
            return Ok(Vec::new());
        }
        let mut taps = TapCollector::new(taps, images.len());
        let x = self.vision.forward(images, self.vision.layers(), &mut taps)?;
        let x = self.vision.post_norm().forward(&x)?;
        let grid = (1, 1, self.qformer.count()?);
        even_rows(images.len(), self.vision.tokens())
            .into_iter()
            .zip(taps.finish())
            .map(|(rows, taps)| {
                // Copied, so that a cached picture doesn't keep its whole batch in memory.
                let tokens = x.narrow(0, rows.start, rows.len())?.force_contiguous()?;
                Ok(Arc::new(ImageFeatures { tokens, deepstack: Vec::new(), grid, taps }))
            })
            .collect()
    }

    /// The batch with the Q-Former's tokens in the place of pictures and instructions, and the Q-Former's
    /// taps by sequence.
    fn instruct(&self, batch: &[Sequence], taps: &[TapName]) -> Result<Option<InstructedBatch>> {
        let mut inputs: Vec<Instructed> = Vec::new();
        let mut groups = Vec::with_capacity(batch.len());
        for sequence in batch {
            let start = inputs.len();
            for piece in &sequence.pieces {
                match piece {
                    Piece::Tokens(_) => {}
                    Piece::Image(_) => {
                        return Err(ModelError::shape(
                            "a picture without an instruction: this model's Q-Former reads one",
                        ));
                    }
                    Piece::Instructed(features, instruction) => {
                        self.check(features)?;
                        inputs.push((Arc::clone(features), Arc::clone(instruction)));
                    }
                }
            }
            groups.push(start..inputs.len());
        }
        if inputs.is_empty() {
            return Ok(None);
        }
        let shown: Vec<_> = groups.iter().filter(|g| !g.is_empty()).cloned().collect();
        let mut collector = TapCollector::new(taps, shown.len());
        let x = self.qformer.forward(&inputs, &shown, &mut collector)?;
        let count = self.qformer.count()?;
        let mut tokens = even_rows(inputs.len(), count).into_iter();
        let mut replaced = Vec::with_capacity(batch.len());
        for sequence in batch {
            let mut sequence = sequence.clone();
            for piece in &mut sequence.pieces {
                if matches!(piece, Piece::Instructed(..))
                    && let Some(rows) = tokens.next()
                {
                    *piece = Piece::Image(Arc::new(ImageFeatures {
                        tokens: x.narrow(0, rows.start, count)?,
                        deepstack: Vec::new(),
                        grid: (1, 1, count),
                        taps: PooledTaps::new(),
                    }));
                }
            }
            replaced.push(sequence);
        }
        let mut pooled = collector.finish().into_iter();
        let of_sequence = |group: &std::ops::Range<usize>| {
            if group.is_empty() { PooledTaps::new() } else { pooled.next().unwrap_or_default() }
        };
        Ok(Some((replaced, groups.iter().map(of_sequence).collect())))
    }
}

fn parameters(config: &Value) -> Result<Vec<(String, Vec<usize>)>> {
    let weights = Weights::names_only();
    networks(&InstructBlipConfig::parse(config)?, &text_config(config)?, &weights)?;
    Ok(weights.asked())
}

fn load(parts: &Parts<'_>) -> Result<Box<dyn VisionLanguageModel>> {
    let text = text_config(parts.config)?;
    let config = InstructBlipConfig::parse(parts.config)?;
    let vision = &config.vision_config;
    let preprocessor = FixedSizeProcessor::parse(
        &parts.checkpoint.image_processor()?,
        vision.image_size,
        vision.patch_size,
    )?;
    let tokenizer = parts
        .checkpoint
        .instructed_tokenizer(parts.image_token()?, config.qformer_config.max_position_embeddings)?;
    let (tower, decoder) = networks(&config, &text, parts.weights)?;
    let preprocessor = preprocessor.making(tower.qformer.count()?);
    Ok(Box::new(Composed::new(parts, &ARCHITECTURE, tower, decoder, preprocessor, tokenizer)?))
}
