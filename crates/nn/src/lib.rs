//! What the networks are made of: kernels and layers, keys and values, weights read by name.

#![allow(
    clippy::missing_errors_doc,
    reason = "what fails here is a shape, a tensor or the device, as the type says"
)]

pub mod blocks;
pub mod error;
pub mod kv_cache;
pub mod layer_suffix;
pub mod precision;
pub mod sequence;
pub mod settings;
pub mod taps;
pub mod weights;
