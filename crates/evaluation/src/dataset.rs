//! Native records (method section 7): `edits.jsonl` beside a folder of pictures, and `probes.jsonl` for plain perception.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use reasonedit_editor::ImageSource;
use reasonedit_imaging::PixelBox;
use serde::{Deserialize, Serialize};

use crate::EvaluationError;

/// A question about a picture, with its right answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Picture, relative to the data folder.
    pub image: String,
    /// The question.
    pub question: String,
    /// The right answer, one of the choices.
    pub answer: String,
    /// What can be answered.
    pub choices: Vec<String>,
}

/// An edit with everything that tests it. Lists may be empty.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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

/// A folder of native records.
#[derive(Clone, Debug)]
pub struct Dataset {
    folder: PathBuf,
    /// Its edits.
    pub records: Vec<Record>,
    /// Its probes.
    pub probes: Vec<Probe>,
}

impl Dataset {
    /// Reads `edits.jsonl` and, where it exists, `probes.jsonl`.
    ///
    /// # Errors
    /// Files that can't be read, lines that are no records: the file and the line are named.
    pub fn open(folder: &Path) -> Result<Self, EvaluationError> {
        let records = read_lines(&folder.join("edits.jsonl"))?;
        let probes = folder.join("probes.jsonl");
        let probes = if probes.exists() { read_lines(&probes)? } else { Vec::new() };
        Ok(Self { folder: folder.to_owned(), records, probes })
    }

    /// The picture of a sample. Only pictures below the data folder are read.
    ///
    /// # Errors
    /// A path that leads out of the folder, a file that can't be read.
    pub fn picture(&self, relative: &str) -> Result<ImageSource, EvaluationError> {
        let path = Path::new(relative);
        let inside = path.components().all(|c| matches!(c, std::path::Component::Normal(_)));
        if !inside {
            return Err(EvaluationError::Data(format!("{relative} leads out of the data folder")));
        }
        let bytes = std::fs::read(self.folder.join(path))
            .map_err(|e| EvaluationError::Data(format!("{relative}: {e}")))?;
        Ok(ImageSource::Bytes(Bytes::from(bytes)))
    }
}

fn read_lines<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<Vec<T>, EvaluationError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let text = std::fs::read_to_string(path).map_err(|e| EvaluationError::Data(format!("{name}: {e}")))?;
    text.lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(index, line)| {
            serde_json::from_str(line)
                .map_err(|e| EvaluationError::Data(format!("{name}, line {}: {e}", index + 1)))
        })
        .collect()
}
