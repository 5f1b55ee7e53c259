//! Questions whose answers must not change.

use reasonedit_codebook::{CodebookName, ImageId, Opinion};
use reasonedit_questions::KeptQuestion;
use time::OffsetDateTime;
use ulid::Ulid;

use crate::ImageSource;

/// A question whose answer must not change.
#[derive(Clone, Debug, PartialEq)]
pub struct Canary {
    /// Its id.
    pub id: Ulid,
    /// The codebook.
    pub codebook: CodebookName,
    /// When it was put.
    pub created_at: OffsetDateTime,
    /// The picture.
    pub image: ImageId,
    /// The question.
    pub question: String,
    /// Answers to choose from.
    pub choices: Vec<String>,
    /// The answer that it must have.
    pub answer: String,
}

impl From<&KeptQuestion> for Canary {
    fn from(kept: &KeptQuestion) -> Self {
        Self {
            id: kept.id,
            codebook: kept.codebook.clone(),
            created_at: kept.at,
            image: kept.image,
            question: kept.question.clone(),
            choices: kept.choices.clone(),
            answer: kept.expected.clone().unwrap_or_default(),
        }
    }
}

/// A canary that an edit breaks: it had its answer before, and has another after.
#[derive(Clone, Debug, PartialEq)]
pub struct BrokenCanary {
    /// Which.
    pub canary: Canary,
    /// What is answered after the edit.
    pub after: Opinion,
}

/// A canary as it is put.
#[derive(Clone, Debug)]
pub struct CanaryRequest {
    /// The picture.
    pub image: ImageSource,
    /// The question.
    pub question: String,
    /// Answers to choose from.
    pub choices: Vec<String>,
    /// The answer that it must have; none: the one that it has now.
    pub answer: Option<String>,
}
