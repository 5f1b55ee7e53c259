//! Checkpoints to models: architectures, loading, and the contract that every model here keeps.
//!
//! ```
//! use reasonedit_imaging::RgbImage;
//! use reasonedit_models::{LoadOptions, LogitsAt, ModelError, Piece, Sequence};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let demo = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/demo/vlm");
//! let model = reasonedit_models::load(demo, &LoadOptions::default())?;
//! let picture = RgbImage::from_fn(64, 64, |x, _| [x as u8 * 3, 40, 90].into());
//! let pixels = model.preprocessor().preprocess(&picture)?;
//! let features = model.encode_images(&[&pixels], &[])?;
//!
//! let prompt = model.tokenizer().render(1, "What is in the picture?")?;
//! let mut pieces = prompt.prefix_pieces(|image| Ok::<_, ModelError>(features[image].clone()))?;
//! pieces.push(Piece::Tokens(prompt.suffix));
//! let sequence = Sequence { past: None, pieces, logits: LogitsAt::Last, keep_cache: false };
//! let output = model.run(&[sequence], &[])?.remove(0);
//! assert_eq!(output.logits.len(), model.info().vocabulary);
//! # Ok(())
//! # }
//! ```

pub mod adapter;
pub mod architecture;
pub mod architectures;
pub mod check;
mod composed;
mod error;
mod fixed_size;
mod llama;
pub mod load;
pub mod model;
mod qwen_vision;
mod sentence;
pub mod siglip;
mod vision_config;

pub use adapter::{LowRankAdapter, LowRankFactors};
pub use architecture::{Architecture, KnownModel};
pub use architectures::ARCHITECTURES;
pub use check::{CheckReport, check};
pub use error::{ModelError, Result};
pub use load::source::{DownloadProgress, is_hub_id};
pub use load::{
    LoadOptions, load, load_sentence_encoder, load_sentence_encoder_with_progress, load_with_progress, pull,
};
pub use model::{ImagePreprocessor, ModelInfo, SentenceEncoder, VisionLanguageModel};
pub use reasonedit_nn::blocks::decoder::differentiable::{
    Adaptation, Cut, DifferentiableSuffix, HiddenStates, Projection, Unadapted,
};
pub use reasonedit_nn::error::{NnError, Result as NnResult};
pub use reasonedit_nn::kv_cache::{KvCache, Past, Stretch};
pub use reasonedit_nn::layer_suffix::LayerSuffix;
pub use reasonedit_nn::precision::{BlockType, DeviceChoice, WeightType};
pub use reasonedit_nn::sequence::{ImageFeatures, LogitsAt, Piece, PixelInput, Sequence, SequenceOutput};
pub use reasonedit_nn::taps::{Pooled, PooledTaps, Pooling, TapInfo, TapName, TapStage};
pub use reasonedit_prompt as prompt;
