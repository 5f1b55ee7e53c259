//! Checkpoints to answers, scores and per-layer embeddings; sentence encoders; the engine thread that owns the device.

mod blocks;
pub mod check;
pub mod engine;
pub mod error;
pub mod load;
pub mod model;
pub mod prompt;
pub mod qwen3_vl;
mod sentence;

pub use check::{CheckReport, check};
pub use error::{Result, VlmError};
pub use load::source::Progress as DownloadProgress;
pub use load::{
    DeviceChoice, LoadOptions, WeightType, load, load_sentence_encoder, load_sentence_encoder_with_progress,
    load_with_progress, pull,
};
pub use model::{
    ImageFeatures, ImagePreprocessor, KvCache, LogitsAt, ModelInfo, Piece, PixelInput, Pooled, PooledTaps,
    Pooling, SentenceEncoder, Sequence, SequenceOutput, TapInfo, TapName, TapStage, UpperLayers,
    VisionLanguageModel,
};
