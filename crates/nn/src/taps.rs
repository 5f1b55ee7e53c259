//! Places where hidden states are read, and what is read there.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Name of a place where hidden states can be read, in forward order: `vision.embedding`, `vision.0` …,
/// `merger`, `language.embedding`, `language.0` …
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TapName(pub String);

impl fmt::Display for TapName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which part of the model a tap belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TapStage {
    /// Patch embedding and vision blocks: depends on the image alone.
    Vision,
    /// Merger or projector: depends on the image alone.
    Bridge,
    /// Depends on image and text: token embedding, decoder layers, and a Q-Former that reads the instruction.
    Language,
}

/// One tap and the width of what it yields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TapInfo {
    /// Its name.
    pub name: TapName,
    /// Its part of the model.
    pub stage: TapStage,
    /// Components of a pooled vector.
    pub width: usize,
}

/// How hidden states over tokens become one vector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// Mean over all tokens of this prompt that pass the tap (the paper's choice).
    #[default]
    Mean,
    /// The last token.
    Last,
}

/// Both pooled vectors of one tap, f32, of the tap's width.
#[derive(Clone, Debug, PartialEq)]
pub struct Pooled {
    /// Mean over the tokens, accumulated in f32.
    pub mean: Vec<f32>,
    /// The last token's state.
    pub last: Vec<f32>,
}

/// Pooled hidden states by tap.
pub type PooledTaps = BTreeMap<TapName, Pooled>;
