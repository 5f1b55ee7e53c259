//! What the networks are made of: kernels and layers, keys and values, weights read by name.

pub mod blocks;
pub mod error;
pub mod kv_cache;
pub mod layer_suffix;
pub mod precision;
pub mod sequence;
pub mod settings;
pub mod taps;
pub mod weights;
