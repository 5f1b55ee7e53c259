//! SigLIP's image and text towers: pooled embeddings in one space, and the hidden states of every vision
//! block.
//!
//! Follows transformers' `SiglipModel`, which the golden checkpoints compare it with. It answers no
//! questions: it is a library for finding pictures by pictures or words.

mod config;
mod pieces;
mod text;

use std::sync::Arc;

use candle_core::{DType, Tensor};
use config::SiglipConfig;
use reasonedit_nn::blocks::add;
use reasonedit_nn::blocks::cross::cross_attend;
use reasonedit_nn::blocks::linear::{Linear, Weight};
use reasonedit_nn::blocks::norm::LayerNorm;
use reasonedit_nn::blocks::pool::TapCollector;
use reasonedit_nn::blocks::vit::{EncoderSizes, Tower, VisionTransformer, layer_norm};
use reasonedit_nn::precision::Precision;
use reasonedit_nn::sequence::PixelInput;
use reasonedit_nn::taps::{PooledTaps, TapInfo, TapName, TapStage};
use reasonedit_nn::weights::{Scope, Weights};
use serde_json::Value;
use text::{SiglipTokenizer, TextTower};

use crate::error::{ModelError, Result};
use crate::fixed_size::FixedSizeProcessor;
use crate::load::LoadOptions;
use crate::load::source::resolve;
use crate::model::{ImagePreprocessor, ModelInfo};

/// Texts that are run together; more are run in turns, which changes no vector.
const TEXTS_AT_ONCE: usize = 128;

/// A picture's embedding.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageEmbedding {
    /// Pooled by the tower's head; not normalised.
    pub embedding: Vec<f32>,
    /// Pooled vision taps that were asked for.
    pub taps: PooledTaps,
}

/// A loaded SigLIP.
#[derive(Debug)]
pub struct Siglip {
    info: ModelInfo,
    networks: Networks,
    preprocessor: Arc<FixedSizeProcessor>,
    tokenizer: SiglipTokenizer,
}

/// Pools a picture's tokens: one learned query attends to all of them.
#[derive(Debug)]
struct Head {
    /// The probe's query, (1, width): the same for every picture.
    query: Tensor,
    key_value: Linear,
    out: Linear,
    norm: LayerNorm,
    fc1: Linear,
    fc2: Linear,
}

#[derive(Debug)]
struct Networks {
    vision: VisionTransformer,
    head: Head,
    text: TextTower,
    sizes: EncoderSizes,
    /// Factor and offset of the logits, before the factor's exponential.
    logit: (f32, f32),
}

impl Head {
    fn new(scope: &Scope<'_>, sizes: &EncoderSizes) -> Result<Self> {
        let width = sizes.width;
        let attention = scope.scope("attention");
        let probe = scope.tensor("probe", &[1, 1, width])?.reshape((1, width))?;
        let weight = attention.tensor("in_proj_weight", &[3 * width, width])?;
        let bias = attention.tensor("in_proj_bias", &[3 * width])?;
        let part = |first: usize, count: usize| -> Result<Linear> {
            let weight = weight.narrow(0, first * width, count * width)?.t()?.contiguous()?;
            Ok(Linear::new(
                Weight::Dense(weight),
                Some(bias.narrow(0, first * width, count * width)?.contiguous()?),
            ))
        };
        Ok(Self {
            query: part(0, 1)?.forward(&probe)?,
            key_value: part(1, 2)?,
            out: attention.linear(&[("out_proj", width)], width, true)?,
            norm: layer_norm(&scope.scope("layernorm"), width, sizes.epsilon)?,
            fc1: scope.linear(&[("mlp.fc1", sizes.inner)], width, true)?,
            fc2: scope.linear(&[("mlp.fc2", width)], sizes.inner, true)?,
        })
    }

    /// (pictures · tokens, width) to (pictures, width).
    fn forward(&self, x: &Tensor, pictures: usize, sizes: &EncoderSizes) -> Result<Tensor> {
        let width = sizes.width;
        let kv = self.key_value.forward(x)?.reshape((pictures, (), 2 * width))?;
        let (k, v) = (kv.narrow(2, 0, width)?, kv.narrow(2, width, width)?);
        let q = self.query.broadcast_as((pictures, 1, width))?.contiguous()?;
        let pooled = cross_attend(&q, &k, &v, sizes.heads)?.reshape((pictures, width))?;
        let x = self.out.forward(&pooled)?;
        let inner = self.fc1.forward_activated(&self.norm.forward(&x)?, sizes.activation)?;
        Ok(add(x, &self.fc2.forward(&inner)?)?)
    }
}

impl Networks {
    fn new(config: &SiglipConfig, weights: &Weights) -> Result<Self> {
        let sizes = config.vision_config.sizes()?;
        sizes.check("vision_config")?;
        let vision = weights.scope("vision_model");
        let root = weights.scope("");
        let scalar = |name| -> Result<f32> { Ok(root.values(name, &[1])?.first().copied().unwrap_or(0.0)) };
        let networks = Self {
            vision: VisionTransformer::new(
                &vision,
                Tower::Siglip,
                &sizes,
                (config.vision_config.image_size, config.vision_config.patch_size),
                weights.device(),
            )?,
            head: Head::new(&vision.scope("head"), &sizes)?,
            text: TextTower::new(&weights.scope("text_model"), &config.text_config, weights.device())?,
            sizes,
            logit: (scalar("logit_scale")?, scalar("logit_bias")?),
        };
        weights.finish(|name| name.ends_with("embeddings.position_ids"))?;
        Ok(networks)
    }
}

/// Names and shapes of the parameters that a checkpoint with this `config.json` must have.
///
/// # Errors
/// [`ModelError::load`] for a configuration that makes no sense.
pub fn parameters(config: &Value) -> Result<Vec<(String, Vec<usize>)>> {
    let weights = Weights::names_only();
    Networks::new(&SiglipConfig::parse(config)?, &weights)?;
    Ok(weights.asked())
}

impl Siglip {
    /// Loads a checkpoint from a folder or hub id.
    ///
    /// # Errors
    /// As [`crate::load()`].
    pub fn load(source: &str, options: &LoadOptions) -> Result<Self> {
        let checkpoint = resolve(source, options, &|_| {})?;
        let json = checkpoint.required_json("config.json")?;
        let config = SiglipConfig::parse(&json)?;
        let settings = checkpoint.json("tokenizer_config.json")?.unwrap_or_default();
        let tokenizer = SiglipTokenizer::new(
            &checkpoint,
            &config.text_config,
            settings["do_lower_case"].as_bool().unwrap_or(true),
        )?;
        let vision = &config.vision_config;
        let preprocessor =
            FixedSizeProcessor::parse(&checkpoint.image_processor()?, vision.image_size, vision.patch_size)?;
        let device = options.device.open()?;
        let precision = Precision { blocks: None, ..Precision::on(&device, options.dtype, options.quantize) };
        let weights = Weights::open(&checkpoint.whole_weight_files(&json)?, precision, device)?;
        let networks = Networks::new(&config, &weights)?;
        let tap = |(name, width)| TapInfo { name: TapName(name), stage: TapStage::Vision, width };
        let info = ModelInfo {
            architecture: "siglip".into(),
            name: checkpoint.name.clone(),
            fingerprint: checkpoint.fingerprint(&weights)?,
            parameters: weights.parameters(),
            dtype: weights.held(),
            device: reasonedit_nn::precision::device_name(weights.device()),
            taps: networks.vision.taps().map(tap).collect(),
            max_positions: config.text_config.max_position_embeddings,
            vocabulary: config.text_config.vocab_size,
        };
        Ok(Self { info, networks, preprocessor: Arc::new(preprocessor), tokenizer })
    }

    /// What it is; `taps` are those of the vision tower, `max_positions` the tokens that a text is cut to.
    pub fn info(&self) -> &ModelInfo {
        &self.info
    }

    /// Its image preprocessing, for use on other threads.
    pub fn preprocessor(&self) -> Arc<dyn ImagePreprocessor> {
        self.preprocessor.clone()
    }

    /// Components of an embedding.
    pub fn width(&self) -> usize {
        self.networks.sizes.width
    }

    /// Embeds pictures; each gives the same vector as alone.
    ///
    /// # Errors
    /// Device failures, and inputs of a wrong shape.
    pub fn encode_images(&self, images: &[&PixelInput], taps: &[TapName]) -> Result<Vec<ImageEmbedding>> {
        if images.is_empty() {
            return Ok(Vec::new());
        }
        let mut taps = TapCollector::new(taps, images.len());
        let vision = &self.networks.vision;
        let x = vision.forward(images, vision.layers(), &mut taps)?;
        let x = vision.post_norm().forward(&x)?;
        let pooled = self.networks.head.forward(&x, images.len(), &self.networks.sizes)?;
        let rows = vectors(&pooled)?;
        Ok(rows
            .into_iter()
            .zip(taps.finish())
            .map(|(embedding, taps)| ImageEmbedding { embedding, taps })
            .collect())
    }

    /// Embeds texts; each gives the same vector as alone. What doesn't fit into [`ModelInfo::max_positions`]
    /// tokens is cut.
    ///
    /// # Errors
    /// Device failures, and texts that the tokenizer refuses.
    pub fn encode_texts(&self, texts: &[String]) -> Result<Vec<Vec<f32>>> {
        let mut out = Vec::with_capacity(texts.len());
        for texts in texts.chunks(TEXTS_AT_ONCE) {
            let ids = texts.iter().map(|text| self.tokenizer.encode(text)).collect::<Result<Vec<_>>>()?;
            out.extend(vectors(&self.networks.text.forward(&ids)?)?);
        }
        Ok(out)
    }

    /// Token ids of a text, cut and filled up.
    ///
    /// # Errors
    /// [`ModelError::Tokenizer`].
    pub fn tokens(&self, text: &str) -> Result<Vec<u32>> {
        self.tokenizer.encode(text)
    }

    /// The logit that picture and text belong together: the embeddings' cosine, scaled and shifted as
    /// trained; its sigmoid is a probability.
    ///
    /// # Errors
    /// [`ModelError::shape`] for vectors that are not of this model's width.
    pub fn logit(&self, image: &[f32], text: &[f32]) -> Result<f32> {
        if image.len() != self.width() || text.len() != self.width() {
            return Err(ModelError::shape(format!(
                "an embedding of this model has {} components",
                self.width()
            )));
        }
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>();
        let cosine = dot(image, text) / (dot(image, image) * dot(text, text)).sqrt();
        let (scale, shift) = self.networks.logit;
        Ok(cosine * scale.exp() + shift)
    }
}

/// Rows as vectors on the CPU.
fn vectors(x: &Tensor) -> Result<Vec<Vec<f32>>> {
    Ok(x.to_dtype(DType::F32)?.to_vec2()?)
}
