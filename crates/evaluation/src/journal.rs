//! What became of each question, written down as it happens, so that an evaluation that was stopped goes on
//! where it was.
//!
//! One file of JSON Lines per editor. A line that was being written when the program ended is no line: it is
//! cut off, and its question asked anew.

use std::collections::{BTreeMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::baseline::MemoryFootprint;
use crate::editors::UNEDITED;
use crate::passes::{SEQUENTIAL, STATIC};
use crate::settings::is_trial;
use crate::{EvaluationError, RunKind};

/// Folder of the outcomes.
const OUTCOMES: &str = "outcomes";

/// What became of one question.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QuestionOutcome {
    /// Which round of questions: `static`, `sequential:200`, `noise:add:30`, `k:3` …
    pub pass: String,
    /// Number of the question in the evaluation.
    #[serde(rename = "trial")]
    pub question: usize,
    /// The answer.
    pub answer: String,
    /// Whether it is the right one.
    pub right: bool,
    /// Sentences in front of the model.
    pub sentences: usize,
    /// Place of the first one of the edit that the question is counted with, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own: Option<usize>,
    /// Place of the first sentence that is true of the asked picture and bears on the question, from 1; 0 if
    /// none is. Not there where the data don't know, or an earlier version wrote the line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub true_at: Option<usize>,
    /// Whether a gate kept everything back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rejected: bool,
    /// Milliseconds, where it was asked alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ms: Option<f64>,
}

/// What an editor had made when a pass ended: a pass without it is to be gone on with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PassEnd {
    /// The pass that is whole.
    pub ended: String,
    /// Edits that were live.
    pub edits: usize,
    /// Milliseconds of each edit, where they say something.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub edit_ms: Vec<f64>,
    /// Bytes kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<MemoryFootprint>,
}

/// What became of one edit. The first line of an edit counts: made again after a restart, it says nothing
/// new.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EditLine {
    /// The edits that it is one of: `plain` (one after another), `single` (alone on the unedited model),
    /// `replace-30` …
    pub set: String,
    /// Its number.
    pub edit: usize,
    /// Milliseconds, where they say something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ms: Option<f64>,
    /// Why it could not be made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
    /// Bytes kept for it, where it was made alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<MemoryFootprint>,
}

/// A stretch of work: what it cost, whatever came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkLine {
    /// What was done: the name of a pass, or `edits:` and that of a set.
    pub worked: String,
    /// Seconds since the line before, or since the editor was made.
    pub seconds: f64,
    /// The most memory that the program has held since it began with this editor, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_bytes: Option<u64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    End(PassEnd),
    Work(WorkLine),
    Edit(EditLine),
    Outcome(QuestionOutcome),
}

/// All outcomes of one editor.
#[derive(Default)]
pub struct OutcomeJournal {
    file: Option<(PathBuf, File)>,
    /// By pass and question.
    outcomes: BTreeMap<String, BTreeMap<usize, QuestionOutcome>>,
    ends: BTreeMap<String, PassEnd>,
    /// By set and number.
    edits: BTreeMap<String, BTreeMap<usize, EditLine>>,
    work: Vec<WorkLine>,
}

impl OutcomeJournal {
    /// Reads what is there; without a folder the outcomes are kept in memory alone.
    ///
    /// # Errors
    /// A folder or file that can't be read or written; [`EvaluationError::Damaged`] for a line that is no
    /// outcome.
    pub fn open(folder: Option<&Path>, editor: &str) -> Result<Self, EvaluationError> {
        let mut journal = Self::default();
        let Some(folder) = folder else { return Ok(journal) };
        let folder = folder.join(OUTCOMES);
        std::fs::create_dir_all(&folder).map_err(|error| EvaluationError::file(&folder, error))?;
        let path = folder.join(format!("{editor}.jsonl"));
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(EvaluationError::file(&path, error)),
        };
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let lines = text[..whole].split_inclusive(|byte| *byte == b'\n');
        for (number, line) in lines.enumerate() {
            match serde_json::from_slice(line) {
                Ok(Line::Outcome(outcome)) => journal.keep(outcome),
                Ok(Line::End(end)) => drop(journal.ends.insert(end.ended.clone(), end)),
                Ok(Line::Edit(edit)) => journal.keep_edit(edit),
                Ok(Line::Work(work)) => journal.work.push(work),
                Err(error) => {
                    let what = format!(
                        "line {} is damaged ({error}); delete this line, and what it stood for is done again",
                        number + 1
                    );
                    return Err(EvaluationError::Damaged { file: path, what });
                }
            }
        }
        let open = || -> std::io::Result<File> {
            let mut file = OpenOptions::new().create(true).truncate(false).write(true).open(&path)?;
            file.set_len(whole as u64)?;
            file.seek(SeekFrom::End(0))?;
            Ok(file)
        };
        let file = open().map_err(|error| EvaluationError::file(&path, error))?;
        journal.file = Some((path, file));
        Ok(journal)
    }

    fn keep(&mut self, outcome: QuestionOutcome) {
        self.outcomes.entry(outcome.pass.clone()).or_default().insert(outcome.question, outcome);
    }

    fn keep_edit(&mut self, edit: EditLine) {
        self.edits.entry(edit.set.clone()).or_default().entry(edit.edit).or_insert(edit);
    }

    fn write(&mut self, line: &impl Serialize) -> Result<(), EvaluationError> {
        let Some((path, file)) = &mut self.file else { return Ok(()) };
        let written = serde_json::to_string(line).map_err(std::io::Error::from).and_then(|mut text| {
            text.push('\n');
            file.write_all(text.as_bytes())
        });
        written.map_err(|error| EvaluationError::file(path.as_path(), error))
    }

    /// Writes an outcome down.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn add(&mut self, outcome: QuestionOutcome) -> Result<(), EvaluationError> {
        self.write(&outcome)?;
        self.keep(outcome);
        Ok(())
    }

    /// Writes down that a pass is whole.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn end(&mut self, end: PassEnd) -> Result<(), EvaluationError> {
        self.write(&end)?;
        self.ends.insert(end.ended.clone(), end);
        Ok(())
    }

    /// Writes down what became of an edit, the first time that it is made.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn add_edit(&mut self, edit: EditLine) -> Result<(), EvaluationError> {
        if self.edit(&edit.set, edit.edit).is_none() {
            self.write(&edit)?;
            self.keep_edit(edit);
        }
        Ok(())
    }

    /// Writes down what a stretch of work cost.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn add_work(&mut self, work: WorkLine) -> Result<(), EvaluationError> {
        self.write(&work)?;
        self.work.push(work);
        Ok(())
    }

    /// What became of an edit.
    pub fn edit(&self, set: &str, number: usize) -> Option<&EditLine> {
        self.edits.get(set)?.get(&number)
    }

    /// The edits of a set, by number.
    pub fn edits(&self, set: &str) -> impl Iterator<Item = &EditLine> {
        self.edits.get(set).into_iter().flat_map(BTreeMap::values)
    }

    /// Seconds of everything that was done with this editor; `None` where an earlier version measured it.
    pub fn seconds(&self) -> Option<f64> {
        let any = !self.work.is_empty();
        any.then(|| self.work.iter().map(|work| work.seconds).sum())
    }

    /// The most memory that the program held meanwhile, in bytes.
    pub fn peak_bytes(&self) -> Option<u64> {
        self.work.iter().filter_map(|work| work.peak_bytes).max()
    }

    /// What stood when a pass ended; `None` of one that is not whole.
    pub fn ended(&self, pass: &str) -> Option<&PassEnd> {
        self.ends.get(pass)
    }

    /// Outcomes of a pass, in order of their questions.
    pub fn outcomes(&self, pass: &str) -> impl Iterator<Item = &QuestionOutcome> {
        self.outcomes.get(pass).into_iter().flat_map(BTreeMap::values)
    }

    /// Passes of the sequential protocol that are whole: edits drawn, edits live, and what stood at the end.
    pub fn sequential(&self) -> impl Iterator<Item = (usize, usize, &PassEnd)> {
        self.ends.values().filter_map(|end| {
            let (sample, edits) = end.ended.strip_prefix(SEQUENTIAL)?.split_once(':')?;
            Some((sample.parse().ok()?, edits.parse().ok()?, end))
        })
    }

    /// Whole passes of the static protocol on the first edits alone: how many, and what stood at the end.
    pub fn sizes(&self) -> impl Iterator<Item = (usize, &PassEnd)> {
        self.ends
            .values()
            .filter_map(|end| Some((end.ended.strip_prefix(STATIC)?.strip_prefix(':')?.parse().ok()?, end)))
    }

    /// Values of a setting of retrieval of which there is a whole pass.
    pub fn sweep(&self, setting: &str) -> impl Iterator<Item = f64> {
        self.ends.keys().filter_map(move |pass| pass.strip_prefix(setting)?.strip_prefix(':')?.parse().ok())
    }

    /// What became of one question.
    pub fn outcome(&self, pass: &str, question: usize) -> Option<&QuestionOutcome> {
        self.outcomes.get(pass)?.get(&question)
    }

    /// Those of these questions that a pass has no outcome of.
    pub fn missing(&self, pass: &str, questions: impl IntoIterator<Item = usize>) -> Vec<usize> {
        let known: HashSet<usize> = self.outcomes(pass).map(|outcome| outcome.question).collect();
        questions.into_iter().filter(|question| !known.contains(question)).collect()
    }
}

/// Makes sure that what lies in a folder is from these settings: writes them into a file of this name where
/// there is none, else compares.
///
/// # Errors
/// Other settings (the first that differs is named), a folder that can't be written.
pub(crate) fn hold_to(folder: &Path, name: &str, settings: &Value) -> Result<(), EvaluationError> {
    std::fs::create_dir_all(folder).map_err(|error| EvaluationError::file(folder, error))?;
    let path = folder.join(name);
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            let before: Value = serde_json::from_str(&text).map_err(|error| damaged(&path, &error))?;
            match difference("", &before, settings) {
                None => Ok(()),
                Some(what) => Err(EvaluationError::Resume { file: path, what }),
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let text = serde_json::to_string_pretty(settings).unwrap_or_default() + "\n";
            // Beside, then renamed: a file of settings is whole or not there.
            let beside = path.with_extension("json.new");
            std::fs::write(&beside, text)
                .and_then(|()| std::fs::rename(&beside, &path))
                .map_err(|error| EvaluationError::file(&path, error))
        }
        Err(error) => Err(EvaluationError::file(&path, error)),
    }
}

/// What to do about a file of settings that can't be read.
pub(crate) fn damaged(file: &Path, error: &serde_json::Error) -> EvaluationError {
    let what = format!(
        "the file is damaged ({error}), and nothing else says what these results are of; take another folder"
    );
    EvaluationError::Damaged { file: file.to_owned(), what }
}

/// Makes sure that a folder holds nothing of another kind of run. What a tuning has left is told by the
/// names of its trials: `ft@3`.
///
/// # Errors
/// [`EvaluationError::OtherRun`]; a folder that can't be read.
pub fn check_kind(folder: &Path, wanted: RunKind) -> Result<(), EvaluationError> {
    let outcomes = folder.join(OUTCOMES);
    let entries = match std::fs::read_dir(&outcomes) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(EvaluationError::file(&outcomes, error)),
    };
    for entry in entries {
        let name = entry.map_err(|error| EvaluationError::file(&outcomes, error))?.file_name();
        let name = name.to_string_lossy();
        let Some(editor) = name.strip_suffix(".jsonl").filter(|editor| *editor != UNEDITED) else { continue };
        let holds = if is_trial(editor) { RunKind::Tuning } else { RunKind::Evaluation };
        if holds != wanted {
            return Err(EvaluationError::OtherRun { folder: folder.to_owned(), holds, wanted });
        }
    }
    Ok(())
}

/// The first place where two values differ, in words.
fn difference(name: &str, before: &Value, now: &Value) -> Option<String> {
    if before == now {
        return None;
    }
    if let (Value::Object(a), Value::Object(b)) = (before, now) {
        let inner = |key: &String| if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
        let keys: Vec<&String> = a.keys().chain(b.keys().filter(|key| !a.contains_key(*key))).collect();
        return keys.into_iter().find_map(|key| {
            let none = Value::Null;
            difference(&inner(key), a.get(key).unwrap_or(&none), b.get(key).unwrap_or(&none))
        });
    }
    Some(format!("`{name}` was {before} and is {now} now"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn outcome(question: usize) -> QuestionOutcome {
        QuestionOutcome {
            pass: "static".into(),
            question,
            answer: "a".into(),
            right: true,
            sentences: 2,
            own: Some(1),
            true_at: Some(2),
            rejected: false,
            ms: None,
        }
    }

    #[test]
    fn outcomes_outlive_a_program_that_ends_in_the_middle_of_a_line() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = OutcomeJournal::open(Some(folder.path()), "x").unwrap();
        journal.add(outcome(1)).unwrap();
        journal.end(PassEnd { ended: "other".into(), edits: 3, edit_ms: vec![1.5], kept: None }).unwrap();
        journal.add(outcome(4)).unwrap();
        drop(journal);
        let path = folder.path().join("outcomes/x.jsonl");
        let whole = std::fs::read(&path).unwrap();
        // Whatever the place of the tear, the lines before it are there, and what is written next is
        // readable.
        for cut in whole.len() - 20..=whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let mut again = OutcomeJournal::open(Some(folder.path()), "x").unwrap();
            let torn = cut < whole.len();
            assert_eq!(again.missing("static", [1, 4, 5]), if torn { vec![4, 5] } else { vec![5] });
            assert_eq!(again.ended("other").map(|end| end.edits), Some(3));
            again.add(outcome(5)).unwrap();
            let third = OutcomeJournal::open(Some(folder.path()), "x").unwrap();
            assert_eq!(third.outcome("static", 5), Some(&outcome(5)));
        }
    }

    #[test]
    fn a_line_that_is_no_outcome_is_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("outcomes")).unwrap();
        std::fs::write(folder.path().join("outcomes/x.jsonl"), "{\"trial\": 1}\n").unwrap();
        let error = OutcomeJournal::open(Some(folder.path()), "x").err().unwrap().to_string();
        assert!(error.contains("x.jsonl") && error.contains("line 1"), "{error}");
    }

    #[test]
    fn a_damaged_line_is_told_with_what_to_do_about_it() {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = OutcomeJournal::open(Some(folder.path()), "x").unwrap();
        for question in 0..3 {
            journal.add(outcome(question)).unwrap();
        }
        drop(journal);
        let path = folder.path().join("outcomes/x.jsonl");
        let whole = std::fs::read(&path).unwrap();
        let second = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        for byte in [b'}', 0xff, 0] {
            let mut damaged = whole.clone();
            damaged[second + 3] = byte;
            std::fs::write(&path, &damaged).unwrap();
            let error = OutcomeJournal::open(Some(folder.path()), "x").err().unwrap().to_string();
            let told = ["x.jsonl: line 2 is damaged", "delete this line"];
            assert!(told.iter().all(|words| error.contains(words)), "{error}");
            assert!(!error.contains("other settings"), "{error}");
            assert_eq!(std::fs::read(&path).unwrap(), damaged, "nothing is changed");
        }
        // As it is told: the question is asked again.
        let without: Vec<u8> = [&whole[..second], &whole[second..][second..]].concat();
        std::fs::write(&path, without).unwrap();
        let again = OutcomeJournal::open(Some(folder.path()), "x").unwrap();
        assert_eq!(again.missing("static", 0..3), [1]);
        std::fs::write(folder.path().join("settings.json"), "{").unwrap();
        let error = hold_to(folder.path(), "settings.json", &json!({})).unwrap_err().to_string();
        assert!(error.contains("settings.json: the file is damaged"), "{error}");
    }

    #[test]
    fn an_evaluation_and_a_tuning_are_not_mixed() {
        let folder = tempfile::tempdir().unwrap();
        let check = |kind| check_kind(folder.path(), kind).map_err(|error| error.to_string());
        let add = |editor: &str| OutcomeJournal::open(Some(folder.path()), editor).map(drop).unwrap();
        assert_eq!((check(RunKind::Tuning), check(RunKind::Evaluation)), (Ok(()), Ok(())));
        add("unedited");
        assert_eq!((check(RunKind::Tuning), check(RunKind::Evaluation)), (Ok(()), Ok(())));
        add("ft@12");
        assert_eq!(check(RunKind::Tuning), Ok(()));
        let refused = check(RunKind::Evaluation).unwrap_err();
        assert!(refused.contains("that of a tuning; an evaluation needs"), "{refused}");
        std::fs::remove_file(folder.path().join("outcomes/ft@12.jsonl")).unwrap();
        add("ft@published");
        assert_eq!(check(RunKind::Evaluation), Ok(()));
        assert!(check(RunKind::Tuning).unwrap_err().contains("that of an evaluation; a tuning needs"));
    }

    #[test]
    fn other_settings_are_refused_by_name_and_the_same_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let settings = json!({"edits": 10, "editor": {"k": 5, "tap": null}});
        hold_to(folder.path(), "settings.json", &settings).unwrap();
        hold_to(folder.path(), "settings.json", &settings).unwrap();
        for (other, named) in [
            (json!({"edits": 11, "editor": {"k": 5, "tap": null}}), "`edits` was 10 and is 11 now"),
            (json!({"edits": 10, "editor": {"k": 7, "tap": null}}), "`editor.k` was 5 and is 7 now"),
            (json!({"edits": 10, "editor": {"k": 5, "tap": null}, "new": 1}), "`new` was null and is 1 now"),
        ] {
            let error = hold_to(folder.path(), "settings.json", &other).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
    }
}
