//! Erasing, on the wire.

use reasonedit_editor::ErasureView;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use reasonedit_api::rfc3339;

/// How an edit is taken back.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct RevertParams {
    /// Name of the codebook; without it the one of the token, or `default`.
    pub codebook: Option<String>,
    /// Erases it for good, live or taken back, and its picture with it unless another edit is about that.
    /// Needs the role admin.
    #[serde(default)]
    pub erase: bool,
}

/// What was erased.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Erasure)]
pub struct ErasureDto {
    /// When. Of an edit that had been erased before, then.
    #[schema(format = DateTime, example = "2026-11-30T08:00:00.000Z")]
    pub erased_at: String,
    /// By whom; `null` where tokens are not asked for, or have no name.
    pub erased_by: Option<String>,
    /// The edits. That each was made and erased stays in the codebook's history, and nothing else of it.
    pub edits: Vec<ErasedEditDto>,
    /// The picture, where it was erased.
    pub picture: Option<String>,
    /// The picture, where it stays because other edits are about it, live ones or such as were taken back.
    pub kept_picture: Option<String>,
    /// Folders of the data folder that hold what it was before its content was sealed: it is still in there
    /// until somebody removes them.
    pub unsealed_copies: Vec<String>,
}

/// An edit that was erased.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ErasedEdit)]
pub struct ErasedEditDto {
    /// Name of its codebook.
    #[schema(example = "default")]
    pub codebook: String,
    /// Its ULID.
    pub id: String,
}

impl From<ErasureView> for ErasureDto {
    fn from(view: ErasureView) -> Self {
        let edits = view.edits.iter();
        Self {
            erased_at: rfc3339(view.at),
            erased_by: view.by,
            edits: edits
                .map(|(codebook, id)| ErasedEditDto { codebook: codebook.to_string(), id: id.to_string() })
                .collect(),
            picture: view.picture.map(|id| id.to_string()),
            kept_picture: view.kept_picture.map(|id| id.to_string()),
            unsealed_copies: view.unsealed_copies,
        }
    }
}
