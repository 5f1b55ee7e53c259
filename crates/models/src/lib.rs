//! Checkpoints to answers, scores and per-layer embeddings; sentence encoders; the engine thread that owns
//! the device.

mod blocks;
pub mod check;
mod composed;
pub mod constrain;
pub mod engine;
pub mod error;
mod failure;
mod instructblip;
mod kv_cache;
mod llava;
pub mod load;
pub mod model;
pub mod prompt;
mod qwen2;
mod qwen2_5_vl;
mod qwen3_vl;
mod qwen_vision;
mod sentence;
pub mod siglip;

pub use check::{CheckReport, check};
pub use error::{Result, VlmError};
pub use kv_cache::{KvCache, Past, Stretch};
pub use load::architectures::{ARCHITECTURES, Architecture, KnownModel};
pub use load::source::Progress as DownloadProgress;
pub use load::{
    BlockType, DeviceChoice, LoadOptions, WeightType, load, load_sentence_encoder,
    load_sentence_encoder_with_progress, load_with_progress, pull,
};
pub use model::{
    ImageFeatures, ImagePreprocessor, LogitsAt, ModelInfo, Piece, PixelInput, Pooled, PooledTaps, Pooling,
    SentenceEncoder, Sequence, SequenceOutput, TapInfo, TapName, TapStage, UpperLayers, VisionLanguageModel,
};
