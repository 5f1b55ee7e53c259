//! One person's word on one answer.

use reasonedit_codebook::{CodebookName, EditId};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use ulid::Ulid;

use crate::error::{FeedbackError, Result};

/// Most edits that an answer can be said to rest on: more than a question ever has statements of in front.
const MAX_EDITS: usize = 256;
/// Most characters of the name of an answer.
const MAX_ANSWER_CHARS: usize = 128;

/// Whether a person agrees to an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FeedbackVerdict {
    /// It is right.
    Agree,
    /// It is wrong.
    Disagree,
}

/// A person's word on an answer, as it is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewFeedback {
    /// The codebook that the question was put to.
    pub codebook: CodebookName,
    /// What the answer is known by: the id of its request.
    pub answer: String,
    /// The edits whose statements stood in front of the question. None, where the model answered by itself.
    pub edits: Vec<EditId>,
    /// Whether they agree.
    pub verdict: FeedbackVerdict,
    /// Whose word it is, where that is known.
    pub by: Option<String>,
}

/// A person's word on an answer, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Feedback {
    /// Its id; later ones have greater ones.
    pub id: Ulid,
    /// When it was given last, UTC.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// The codebook that the question was put to.
    pub codebook: CodebookName,
    /// What the answer is known by.
    pub answer: String,
    /// The edits whose statements stood in front of the question, each once.
    pub edits: Vec<EditId>,
    /// Whether they agree.
    pub verdict: FeedbackVerdict,
    /// Whose word it is, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// How often people agreed, and disagreed, with answers that an edit stood in front of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FeedbackTally {
    /// Agreed.
    pub agree: u64,
    /// Disagreed.
    pub disagree: u64,
}

impl FeedbackTally {
    pub(crate) fn count(&mut self, verdict: FeedbackVerdict) -> &mut u64 {
        match verdict {
            FeedbackVerdict::Agree => &mut self.agree,
            FeedbackVerdict::Disagree => &mut self.disagree,
        }
    }
}

impl NewFeedback {
    /// Checked, with each edit once.
    ///
    /// # Errors
    /// `Invalid`, for an answer's name that is none, or more edits than stand in front of a question.
    pub(crate) fn checked(mut self) -> Result<Self> {
        let chars = self.answer.chars().count();
        if chars == 0 || chars > MAX_ANSWER_CHARS || self.answer.chars().any(char::is_control) {
            let detail =
                format!("The id of the request that was answered has 1 to {MAX_ANSWER_CHARS} characters.");
            return Err(FeedbackError::Invalid { pointer: "/answer_id", detail });
        }
        if self.edits.len() > MAX_EDITS {
            let detail = format!("An answer rests on {MAX_EDITS} edits at most.");
            return Err(FeedbackError::Invalid { pointer: "/edits", detail });
        }
        self.edits.sort_unstable();
        self.edits.dedup();
        Ok(self)
    }

    /// What makes two words the same person's on the same answer.
    pub(crate) fn voice(&self) -> [u8; 16] {
        voice(&self.codebook, &self.answer, self.by.as_deref())
    }
}

impl Feedback {
    pub(crate) fn voice(&self) -> [u8; 16] {
        voice(&self.codebook, &self.answer, self.by.as_deref())
    }
}

fn voice(codebook: &CodebookName, answer: &str, by: Option<&str>) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    for part in [codebook.as_str(), answer, by.unwrap_or_default()] {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
    }
    let mut digest = [0; 16];
    digest.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    digest
}
