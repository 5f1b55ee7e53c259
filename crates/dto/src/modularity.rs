//! Choosing layer and weight.

use std::fmt;

use reasonedit_editor::{Embedding, ModularityRequest};
use reasonedit_topology::Pooling;
use serde::de::value::SeqAccessDeserializer;
use serde::de::{Error, SeqAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::codebook::EmbeddingDto;

/// When a selection is applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Apply {
    /// The report is all.
    Never,
    /// If the chosen embedding leads the one in use by more than the standard error of the lead.
    #[default]
    IfBetter,
    /// Whatever the lead.
    Always,
}

/// Which taps are measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = Taps)]
pub enum TapsDto {
    /// `all`.
    All(All),
    /// These.
    Named(Vec<String>),
}

// By hand instead of `#[serde(untagged)]`, which forgets where an error was.
impl<'de> Deserialize<'de> for TapsDto {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AllOrNames;

        impl<'de> Visitor<'de> for AllOrNames {
            type Value = TapsDto;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`all` or a list of names")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<TapsDto, E> {
                match text {
                    "all" => Ok(TapsDto::All(All::All)),
                    other => Err(E::invalid_value(Unexpected::Str(other), &self)),
                }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<TapsDto, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(TapsDto::Named)
            }
        }

        deserializer.deserialize_any(AllOrNames)
    }
}

/// The word `all`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum All {
    /// Every one.
    All,
}

/// Pooling over the tokens of a tap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = Pooling)]
pub enum PoolingDto {
    /// Mean over the tokens.
    Mean,
    /// The last token.
    Last,
}

impl From<PoolingDto> for Pooling {
    fn from(pooling: PoolingDto) -> Self {
        match pooling {
            PoolingDto::Mean => Self::Mean,
            PoolingDto::Last => Self::Last,
        }
    }
}

/// What is to be measured; every field has a default.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = ModularityRequest)]
pub struct ModularityRequestDto {
    /// Pairs of picture and text in a draw for the taps.
    #[schema(minimum = 2, maximum = 64, default = 20)]
    pub samples: Option<usize>,
    /// Draws for the taps.
    #[schema(minimum = 2, maximum = 100, default = 10)]
    pub runs: Option<usize>,
    /// Pairs in a draw for the weights.
    #[schema(minimum = 2, maximum = 64, default = 10)]
    pub weight_samples: Option<usize>,
    /// Draws for the weights.
    #[schema(minimum = 2, maximum = 100, default = 10)]
    pub weight_runs: Option<usize>,
    /// Mismatched pictures and texts of a draw, for the biases. 0: the draw's other pairs serve, which is
    /// several times faster.
    #[schema(minimum = 0, maximum = 64, default = 20)]
    pub mismatched: Option<usize>,
    /// Poolings that are measured; `mean` has to be there.
    #[schema(default = json!(["mean", "last"]))]
    pub pooling: Option<Vec<PoolingDto>>,
    /// Taps that are measured: `all`, or names.
    #[schema(default = "all")]
    pub taps: Option<TapsDto>,
    /// Weights λ that are measured, rising; 41 from 0.1 to 100 if not given.
    pub weights: Option<Vec<f64>>,
    /// `codebook` for the codebook's own pictures and questions, or the name of a configured set.
    #[schema(default = "codebook")]
    pub source: Option<String>,
    /// Whether the codebook is moved to what is chosen.
    pub apply: Apply,
    /// Seed of every random choice.
    #[schema(default = 0)]
    pub seed: u64,
}

impl ModularityRequestDto {
    /// What the editor is asked for.
    pub fn request(&self) -> ModularityRequest {
        let default = ModularityRequest::default();
        let pooling = self.pooling.as_ref();
        ModularityRequest {
            samples: self.samples.unwrap_or(default.samples),
            runs: self.runs.unwrap_or(default.runs),
            weight_samples: self.weight_samples.unwrap_or(default.weight_samples),
            weight_runs: self.weight_runs.unwrap_or(default.weight_runs),
            mismatched: self.mismatched.unwrap_or(default.mismatched),
            pooling: pooling.map_or(default.pooling, |all| all.iter().map(|&one| one.into()).collect()),
            taps: match &self.taps {
                Some(TapsDto::Named(taps)) => taps.clone(),
                Some(TapsDto::All(_)) | None => default.taps,
            },
            weights: self.weights.clone().unwrap_or(default.weights),
            seed: self.seed,
        }
    }
}

/// The embedding in use and what it was chosen by.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Modularity)]
pub struct ModularityDto {
    /// The active selection.
    pub active: ActiveDto,
    /// Id of the newest report of this codebook, which is its job's; `null` if there is none.
    /// `/modularity/{report}` has it whole.
    pub report: Option<String>,
    /// What that report chose; `null` if there is none.
    #[schema(value_type = Option<Object>)]
    pub selection: Option<Value>,
    /// Names that `source` can have.
    pub sources: Vec<String>,
}

/// The active selection of a codebook.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = ActiveSelection)]
pub struct ActiveDto {
    /// The embedding that answers are looked up with.
    pub embedding: EmbeddingDto,
    /// Whether it was chosen for this codebook; else it is the configured one.
    pub chosen: bool,
    /// The one before, which `POST /modularity/rollback` goes back to; `null` if none is kept.
    pub previous: Option<EmbeddingDto>,
}

impl From<reasonedit_editor::ActiveEmbedding> for ActiveDto {
    fn from(active: reasonedit_editor::ActiveEmbedding) -> Self {
        let dto = |embedding: &Embedding| EmbeddingDto::from(embedding);
        Self {
            embedding: dto(&active.embedding),
            chosen: active.chosen,
            previous: active.previous.as_ref().map(dto),
        }
    }
}

/// `result` of a job of the kind `modularity`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = ModularityResult)]
pub struct ModularityResultDto {
    /// Where the report is found.
    #[schema(example = "/modularity/01KABCDEFGHJKMNPQRSTVWXYZ0")]
    pub report: String,
    /// The tap chosen.
    #[schema(example = "vision.3")]
    pub tap: String,
    /// The weight chosen.
    pub lambda: f64,
    /// Whether the runs back changing over from the embedding in use.
    pub better: bool,
    /// Whether the codebook was moved to it. One that never had an edit is not: it follows the configuration.
    pub applied: bool,
    /// The generation of keys that is live now.
    pub generation: Option<String>,
}

/// `result` of a job of the kind `reembed`.
// No other fields, so that a result of another kind is not taken for one.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ReembedResult)]
pub struct ReembedResultDto {
    /// The generation of keys that is live now.
    pub generation: String,
}
