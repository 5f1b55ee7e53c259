//! Liveness and readiness.

use serde::Serialize;
use utoipa::ToSchema;

/// The process runs.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Live {
    /// Always `live`.
    #[schema(example = "live")]
    pub status: &'static str,
}

/// Whether edits and queries are served.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Ready {
    /// Whether the model is loaded and the codebook open.
    pub status: ReadyStatus,
    /// Why nothing can be stored. Absent where it can.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub detail: Option<String>,
    /// The model; `null` while it is being loaded.
    pub model: Option<ModelDto>,
    /// What not all edits and queries can be served for, and what to do about it: codebooks whose keys were
    /// made by another model, adapter or embedding. Absent where there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub unusable: Option<UnusableDto>,
    /// Codebooks that are damaged and set aside, while the others are served. Absent where there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub damaged: Option<UnusableDto>,
    /// Faults of the data folder as a whole: that something is missing at its end, say. The log and
    /// `reasonedit codebook verify` say which. Absent where there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub faults: Option<usize>,
    /// Why the audit trail can't be written, or that lines of it were lost since the start. Absent where all
    /// is in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub audit: Option<AuditHealthDto>,
}

/// What is wrong with the audit trail.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = AuditHealth)]
pub struct AuditHealthDto {
    /// Whether it can be written now.
    pub writable: bool,
    /// Lines that were lost since the start of the service.
    #[schema(example = 0)]
    pub lost: u64,
}

/// Codebooks that edits and queries are refused for. Their names are in the log, since this answer is given
/// to anyone.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Unusable)]
pub struct UnusableDto {
    /// How many codebooks.
    #[schema(example = 1)]
    pub codebooks: usize,
    /// What is wrong with the first of them, and what to do about it.
    pub detail: String,
}

/// Whether edits and queries are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReadyStatus {
    /// They are.
    Ready,
    /// Not yet: the model is being loaded.
    Loading,
    /// Queries are; edits aren't, since nothing can be stored: `detail` says why. It ends by itself once the
    /// cause is gone.
    Unwritable,
    /// No more: the service stops, and what runs may end.
    Stopping,
}

/// The model that answers.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Model)]
pub struct ModelDto {
    /// Architecture.
    #[schema(example = "qwen3_vl")]
    pub architecture: String,
    /// Folder name or hub id.
    pub name: String,
    /// BLAKE3 over configuration, tokenizer and weights.
    pub fingerprint: String,
    /// Number of parameters.
    pub parameters: u64,
    /// Weight type.
    #[schema(example = "f32")]
    pub dtype: String,
    /// Device.
    #[schema(example = "cpu")]
    pub device: String,
}
