//! Records and probes as they stand in native files (method section 7).

use reasonedit_imaging::PixelBox;
use serde::{Deserialize, Serialize};

/// A question about a picture, with its right answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Picture: its path relative to the data folder, or its name within a file.
    pub image: String,
    /// The question.
    pub question: String,
    /// The right answer, one of the choices if there are any.
    pub answer: String,
    /// What can be answered; empty: the answer is generated.
    #[serde(default)]
    pub choices: Vec<String>,
}

/// An edit with everything that tests it. Lists may be empty.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Name of the record.
    pub uid: String,
    /// The edited question on its picture.
    #[serde(flatten)]
    pub sample: Sample,
    /// The reasoning, statement by statement.
    #[serde(default)]
    pub reasoning: Vec<String>,
    /// Boxes for each statement.
    #[serde(default)]
    pub evidence: Vec<Vec<PixelBox>>,
    /// The question in other words.
    #[serde(default)]
    pub paraphrases: Vec<String>,
    /// Other pictures with the same question and answer.
    #[serde(default)]
    pub similar_images: Vec<String>,
    /// Other scenes for which the same reasoning gives the answer.
    #[serde(default)]
    pub related: Vec<Sample>,
    /// Questions about the statements.
    #[serde(default)]
    pub rationale_questions: Vec<Sample>,
    /// Questions that have nothing to do with any edit.
    #[serde(default)]
    pub unrelated: Vec<Sample>,
    /// The edited question on pictures for which the reasoning does not hold.
    #[serde(default)]
    pub contrast: Vec<Sample>,
}

/// What a probe measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProbeKind {
    /// A perception question with choices.
    Perception,
    /// Whether the whole picture shows a statement.
    VerifyWhole,
    /// Whether a crop shows a statement.
    VerifyCrop,
}

/// A question to the unedited model alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    /// What it measures.
    pub kind: ProbeKind,
    /// Picture, relative to the data folder.
    pub image: String,
    /// The part that is looked at.
    #[serde(default)]
    pub crop: Option<PixelBox>,
    /// The question, for perception.
    #[serde(default)]
    pub question: Option<String>,
    /// The statement, for verification.
    #[serde(default)]
    pub statement: Option<String>,
    /// The right answer: one of the choices, or `yes` or `no`.
    pub answer: String,
    /// What can be answered.
    #[serde(default)]
    pub choices: Vec<String>,
}
