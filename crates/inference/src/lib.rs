//! The engine: one thread owns the models, everything else asks it through a handle.

pub mod constrain;
pub mod engine;

pub use reasonedit_models::prompt;
pub use reasonedit_models::{
    ModelInfo, Pooled, PooledTaps, Pooling, Result, TapInfo, TapName, TapStage, VlmError,
};
