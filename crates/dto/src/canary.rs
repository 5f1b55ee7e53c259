//! Questions whose answers must not change.

use reasonedit_api::image::{ImageInput, ImageSchema};
use reasonedit_api::{OpinionDto, rfc3339};
use reasonedit_editor::{BrokenCanary, Canary};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A canary as it is put.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CanaryInput {
    /// The picture.
    #[schema(value_type = ImageSchema)]
    pub image: ImageInput,
    /// The question.
    #[schema(min_length = 1, example = "Is this lesion benign or malignant?")]
    pub question: String,
    /// Answers to choose from; without them the answer is generated.
    pub choices: Option<Vec<String>>,
    /// The answer that it must have; without it, the one that it has now.
    #[schema(example = "benign")]
    pub answer: Option<String>,
}

/// A question whose answer must not change.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Canary)]
pub struct CanaryDto {
    /// Its ULID.
    pub id: String,
    /// When it was put.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// The picture.
    pub image_id: String,
    /// The question.
    pub question: String,
    /// Answers to choose from; empty: the answer is generated.
    pub choices: Vec<String>,
    /// The answer that it must have.
    pub answer: String,
}

/// The canaries of a codebook, oldest first.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Canaries)]
pub struct CanariesDto {
    /// They.
    pub canaries: Vec<CanaryDto>,
}

/// A canary that had its answer before an edit, and has another after.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = BrokenCanary)]
pub struct BrokenCanaryDto {
    /// Its ULID.
    pub id: String,
    /// The question.
    pub question: String,
    /// The answer that it must have.
    pub answer: String,
    /// The answer after the edit.
    pub after: OpinionDto,
}

impl From<&Canary> for CanaryDto {
    fn from(canary: &Canary) -> Self {
        Self {
            id: canary.id.to_string(),
            created_at: rfc3339(canary.created_at),
            image_id: canary.image.to_string(),
            question: canary.question.clone(),
            choices: canary.choices.clone(),
            answer: canary.answer.clone(),
        }
    }
}

impl From<&BrokenCanary> for BrokenCanaryDto {
    fn from(broken: &BrokenCanary) -> Self {
        Self {
            id: broken.canary.id.to_string(),
            question: broken.canary.question.clone(),
            answer: broken.canary.answer.clone(),
            after: (&broken.after).into(),
        }
    }
}
