//! `vision_config` of towers that look at pictures of one size: CLIP, EVA, SigLIP.

use std::marker::PhantomData;

use reasonedit_nn::blocks::activation::Activation;
use reasonedit_nn::blocks::vit::EncoderSizes;
use serde::Deserialize;

use crate::error::Result;

/// A kind of tower: what its class in transformers has where a file says nothing.
pub(crate) trait TowerDefaults: Sized {
    /// The settings.
    fn defaults() -> VisionConfig<Self>;
}

/// The settings of a tower; what is absent has the value of its kind `D`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, bound = "D: TowerDefaults")]
pub(crate) struct VisionConfig<D> {
    /// Which tower it is, where the file says it.
    pub(crate) model_type: String,
    /// Width of the hidden states.
    pub(crate) hidden_size: usize,
    /// Width of the feed-forward.
    pub(crate) intermediate_size: usize,
    /// Blocks.
    pub(crate) num_hidden_layers: usize,
    /// Attention heads.
    pub(crate) num_attention_heads: usize,
    /// Side of a picture in pixels.
    pub(crate) image_size: usize,
    /// Side of a patch in pixels.
    pub(crate) patch_size: usize,
    /// Activation of the feed-forward.
    pub(crate) hidden_act: String,
    /// ε of the layer norms.
    pub(crate) layer_norm_eps: f64,
    /// Whether queries, keys and values have biases (EVA).
    pub(crate) qkv_bias: bool,
    /// Whether the tower ends in the attention pooling that embeddings come from (SigLIP).
    pub(crate) vision_use_head: bool,
    /// Its kind.
    #[serde(skip)]
    pub(crate) kind: PhantomData<D>,
}

impl<D: TowerDefaults> Default for VisionConfig<D> {
    fn default() -> Self {
        D::defaults()
    }
}

impl<D> VisionConfig<D> {
    /// Sizes of the tower's blocks.
    pub(crate) fn sizes(&self) -> Result<EncoderSizes> {
        let sizes =
            [self.hidden_size, self.intermediate_size, self.num_hidden_layers, self.num_attention_heads];
        encoder_sizes(sizes, self.layer_norm_eps, &self.hidden_act)
    }
}

/// Sizes of an encoder: width of its hidden states and of its feed-forward, layers, heads.
pub(crate) fn encoder_sizes(
    [width, inner, layers, heads]: [usize; 4],
    epsilon: f64,
    activation: &str,
) -> Result<EncoderSizes> {
    Ok(EncoderSizes { width, inner, layers, heads, epsilon, activation: Activation::parse(activation)? })
}

/// CLIP `ViT-L/14-336`, LLaVA's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clip;

impl TowerDefaults for Clip {
    fn defaults() -> VisionConfig<Self> {
        VisionConfig {
            model_type: "clip_vision_model".into(),
            hidden_size: 1024,
            intermediate_size: 4096,
            num_hidden_layers: 24,
            num_attention_heads: 16,
            image_size: 336,
            patch_size: 14,
            hidden_act: "quick_gelu".into(),
            layer_norm_eps: 1e-5,
            qkv_bias: true,
            vision_use_head: false,
            kind: PhantomData,
        }
    }
}

/// EVA, InstructBLIP's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Eva;

impl TowerDefaults for Eva {
    fn defaults() -> VisionConfig<Self> {
        VisionConfig {
            model_type: "instructblip_vision_model".into(),
            hidden_size: 1408,
            intermediate_size: 6144,
            num_hidden_layers: 39,
            num_attention_heads: 16,
            image_size: 224,
            patch_size: 14,
            hidden_act: "gelu".into(),
            layer_norm_eps: 1e-6,
            qkv_bias: true,
            vision_use_head: false,
            kind: PhantomData,
        }
    }
}

/// SigLIP.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SiglipTower;

impl TowerDefaults for SiglipTower {
    fn defaults() -> VisionConfig<Self> {
        VisionConfig {
            model_type: "siglip_vision_model".into(),
            hidden_size: 768,
            intermediate_size: 3072,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            image_size: 224,
            patch_size: 16,
            hidden_act: "gelu_pytorch_tanh".into(),
            layer_norm_eps: 1e-6,
            qkv_bias: true,
            vision_use_head: true,
            kind: PhantomData,
        }
    }
}
