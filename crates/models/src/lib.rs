//! Checkpoints to models: architectures, loading, prompts, and the contract that every model here keeps.

pub mod architecture;
pub mod architectures;
pub mod check;
mod composed;
mod fixed_size;
mod llama;
pub mod load;
pub mod model;
pub mod prompt;
mod qwen_vision;
mod sentence;
pub mod siglip;
mod tokenizer_file;
mod vision_config;

pub use architecture::{Architecture, KnownModel};
pub use architectures::ARCHITECTURES;
pub use check::{CheckReport, check};
pub use load::source::{DownloadProgress, is_hub_id};
pub use load::{
    LoadOptions, load, load_sentence_encoder, load_sentence_encoder_with_progress, load_with_progress, pull,
};
pub use model::{ImagePreprocessor, ModelInfo, SentenceEncoder, VisionLanguageModel};
pub use reasonedit_nn::error::{ModelError, Result};
pub use reasonedit_nn::kv_cache::{KvCache, Past, Stretch};
pub use reasonedit_nn::layer_suffix::LayerSuffix;
pub use reasonedit_nn::precision::{BlockType, DeviceChoice, WeightType};
pub use reasonedit_nn::sequence::{ImageFeatures, LogitsAt, Piece, PixelInput, Sequence, SequenceOutput};
pub use reasonedit_nn::taps::{Pooled, PooledTaps, Pooling, TapInfo, TapName, TapStage};
