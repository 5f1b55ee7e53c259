//! Native records (method section 7): `edits.jsonl` beside a folder of pictures, and `probes.jsonl` for plain perception. Records as the
//! authors publish them for A-OKVQA and FVQA are read too (`published`).

use std::path::{Path, PathBuf};

use bytes::Bytes;
use reasonedit_editor::{ImageSource, SampleSet};
use reasonedit_imaging::PixelBox;
use serde::{Deserialize, Serialize};

use crate::EvaluationError;
use crate::published::PublishedRecord;

/// File of native records.
const NATIVE: &str = "edits.jsonl";

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
    /// Reads `edits.jsonl` and, where it exists, `probes.jsonl`. Where there is no `edits.jsonl`, the one other JSON Lines file is read as
    /// published records.
    ///
    /// # Errors
    /// Files that can't be read, lines that are no records: the file and the line are named.
    pub fn open(folder: &Path) -> Result<Self, EvaluationError> {
        let edits = records_file(folder)?;
        let records = if is_native(&edits) {
            read_lines(&edits)?
        } else {
            let published: Vec<PublishedRecord> = read_lines(&edits)?;
            published.into_iter().map(Record::from).collect()
        };
        let probes = folder.join("probes.jsonl");
        let probes = if probes.exists() { read_lines(&probes)? } else { Vec::new() };
        Ok(Self { folder: folder.to_owned(), records, probes })
    }

    /// BLAKE3 (hex) of the file of records.
    ///
    /// # Errors
    /// The file can't be read.
    pub fn digest(&self) -> Result<String, EvaluationError> {
        let file = records_file(&self.folder)?;
        let bytes = std::fs::read(&file).map_err(|error| EvaluationError::file(&file, error))?;
        Ok(blake3::hash(&bytes).to_hex().to_string())
    }

    /// At most `count` pictures, each with a text that no other of them has: its question or a statement of its reasoning.
    ///
    /// # Errors
    /// As [`Dataset::picture`].
    pub fn samples(&self, name: &str, count: usize) -> Result<SampleSet, EvaluationError> {
        let mut samples = SampleSet::new(name);
        for record in &self.records {
            if samples.len() == count {
                break;
            }
            let texts = std::iter::once(&record.sample.question).chain(&record.reasoning).cloned();
            samples.add(self.picture(&record.sample.image)?, texts);
        }
        Ok(samples)
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

/// The file of records: `edits.jsonl`, else the one other JSON Lines file.
fn records_file(folder: &Path) -> Result<PathBuf, EvaluationError> {
    let edits = folder.join(NATIVE);
    if edits.exists() { Ok(edits) } else { only_lines_file(folder) }
}

fn is_native(file: &Path) -> bool {
    file.file_name().is_some_and(|name| name == NATIVE)
}

/// The JSON Lines file of a folder that has just one, `probes.jsonl` not counted.
fn only_lines_file(folder: &Path) -> Result<PathBuf, EvaluationError> {
    let failed = |error: std::io::Error| EvaluationError::Data(format!("{}: {error}", folder.display()));
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let probes = path.file_name().is_some_and(|name| name == "probes.jsonl");
        if path.extension().is_some_and(|extension| extension == "jsonl") && !probes {
            found.push(path);
        }
    }
    match found.as_slice() {
        [one] => Ok(one.clone()),
        _ => Err(EvaluationError::Data(format!(
            "{}: neither edits.jsonl nor one other JSON Lines file ({} are there)",
            folder.display(),
            found.len()
        ))),
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
