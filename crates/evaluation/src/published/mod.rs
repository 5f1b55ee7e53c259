//! Records of A-OKVQA and FVQA as the authors publish them: `uid`, `image_path`, `question`, `answer`, `rationale`,
//! `choices` ("a; b; c; d"), `cot` (method section 7); and A-OKVQA as its own authors do, with `correct_choice_idx`, `rationales` and `image_id`.

mod companions;
mod layout;

use std::collections::HashSet;
use std::path::Path;

use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;
use reasonedit_editor::split_sentences;
use serde_json::Value;

use crate::EvaluationError;
use crate::dataset::{Record, Sample};
use crate::files::{Pictures, Row, data};

pub(crate) use companions::{Companions, Set};
pub(crate) use layout::Layout;

/// Columns that mean something, of records and of the sets that go with them.
pub(crate) const COLUMNS: &[&str] = &[
    "uid",
    "id",
    "question_id",
    "image_path",
    "image",
    "image_id",
    "split",
    "question",
    "answer",
    "rationale",
    "rationales",
    "choices",
    "idx_choices",
    "correct_choice_idx",
    "direct_answers",
    "cot",
    "variants",
    "paraphrases",
    "images",
    "similar_images",
    "image_info_id",
    "sid",
    "cid",
    "answers",
    "reason",
];
/// Other records that stand as unrelated questions in each one.
const UNRELATED: usize = 2;

/// Whether a row is an edit, rather than part of a set that goes with edits.
pub(crate) fn is_record(row: &Row) -> bool {
    let has = |name: &str| row.contains_key(name);
    let picture = has("image_path") || has("image") || has("image_id");
    has("question") && picture && !has("sid") && !has("cid") && !has("answers")
}

/// The records of these rows, and what is to be said of them. Each has other records as unrelated questions: whatever shares a picture or a question
/// with an edit is left out when edits are known.
///
/// # Errors
/// A row without a question or a picture, a path that leads out of the folder, no row that can be used.
pub(crate) fn records(
    file: &Path,
    rows: &[Row],
    pictures: &Pictures,
) -> Result<(Vec<Record>, Vec<String>), EvaluationError> {
    let (mut records, mut unanswered, mut unlisted) = (Vec::new(), 0, 0);
    let mut missing = Vec::new();
    for (number, row) in rows.iter().enumerate() {
        let record = record(row, number)
            .ok_or_else(|| data(file, &format!("record {}: no `question`, or no picture", number + 1)))?;
        let choices = &record.sample.choices;
        if record.sample.answer.is_empty() {
            unanswered += 1;
        } else if !choices.is_empty() && !choices.contains(&record.sample.answer) {
            unlisted += 1;
        } else if !pictures.has(&record.sample.image)? {
            missing.push(record.sample.image);
        } else {
            records.push(record);
        }
    }
    if records.is_empty() {
        let why = match missing.first() {
            Some(first) => {
                format!("the pictures are not there, for example {first}; name their folder with --images")
            }
            None => "no record has an answer".to_owned(),
        };
        return Err(data(file, &why));
    }
    let mut notes = Vec::new();
    let mut left_out = |count: usize, why: &str| {
        if count > 0 {
            notes.push(format!("{count} of {} records were left out: {why}.", rows.len()));
        }
    };
    left_out(unanswered, "they have no answer");
    left_out(unlisted, "their answer is none of their choices");
    left_out(missing.len(), "their pictures are not there");
    unrelated(&mut records);
    notes.push(format!(
        "Unrelated questions are those of other records, drawn by chance, {UNRELATED} for each edit: what shares a picture or a question with any edit is not asked."
    ));
    Ok((records, notes))
}

/// Gives each record others as unrelated questions, each other one as often: drawn by chance, the same for the same records.
fn unrelated(records: &mut [Record]) {
    let mut order: Vec<usize> = (0..records.len()).collect();
    order.shuffle(&mut ChaCha8Rng::seed_from_u64(0));
    let samples: Vec<Sample> = order.iter().map(|at| records[*at].sample.clone()).collect();
    for (place, at) in order.iter().enumerate() {
        let others =
            (1..=UNRELATED.min(samples.len() - 1)).map(|step| &samples[(place + step) % samples.len()]);
        let own = &samples[place];
        let apart =
            |other: &&Sample| other.image != own.image && other.question.trim() != own.question.trim();
        records[*at].unrelated = others.filter(apart).cloned().collect();
    }
}

/// A row as a record; `None` without a question or a picture.
fn record(row: &Row, number: usize) -> Option<Record> {
    let question = text(row, &["question"])?;
    let image = text(row, &["image_path", "image"]).or_else(|| coco(row))?;
    let choices = choices(row);
    let answer = text(row, &["answer"])
        .or_else(|| {
            let at = row.get("correct_choice_idx")?.as_u64()?;
            choices.get(usize::try_from(at).ok()?).cloned()
        })
        .or_else(|| {
            row.get("direct_answers")?.as_array()?.first()?.as_str().map(|answer| answer.trim().to_owned())
        })
        .unwrap_or_default();
    // Statement: sentence of cot, else of rationale (method section 7). Of several people's rationales the first, as the authors take it.
    let mut reasoning = parts(row.get("cot"), split_sentences);
    if reasoning.is_empty() {
        reasoning = parts(row.get("rationale"), split_sentences);
    }
    if reasoning.is_empty() {
        reasoning = parts(row.get("rationales").and_then(|all| all.get(0)), split_sentences);
    }
    let answer = among(&choices, answer);
    Some(Record {
        // No uid of a set that goes with the records looks like this.
        uid: text(row, &["uid", "question_id", "id"]).unwrap_or_else(|| format!("record {}", number + 1)),
        sample: Sample { image, question, answer, choices },
        reasoning,
        ..Record::default()
    })
}

/// A picture of COCO by its number, as A-OKVQA names it.
fn coco(row: &Row) -> Option<String> {
    let split = text(row, &["split"])?;
    Some(format!("{split}2017/{:012}.jpg", row.get("image_id")?.as_u64()?))
}

/// An answer as it stands among the choices, where it differs from one of them in nothing but case.
fn among(choices: &[String], answer: String) -> String {
    let same = |choice: &&String| choice.to_lowercase() == answer.to_lowercase();
    choices.iter().find(same).cloned().unwrap_or(answer)
}

/// The choices of a row: a list, or a text, "a; b; c; d" or lines that begin with a letter in brackets. None twice.
fn choices(row: &Row) -> Vec<String> {
    let mut choices = parts(row.get("choices"), |text| {
        if text.trim_start().starts_with("(A)") {
            let bare = |line: &str| line.trim().split_once(')').map_or(line, |(_, rest)| rest).to_owned();
            text.lines().map(bare).collect()
        } else {
            text.split(';').map(str::to_owned).collect()
        }
    });
    let mut seen = HashSet::new();
    choices.retain(|choice| seen.insert(choice.clone()));
    choices
}

/// The first of these columns that holds a text that is not empty, or a number; without outer space.
fn text(row: &Row, names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| match row.get(*name)? {
        Value::String(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    })
}

/// Texts that are not empty, without outer space; one text is cut by `cut`.
fn parts(value: Option<&Value>, cut: impl Fn(&str) -> Vec<String>) -> Vec<String> {
    let parts = match value {
        Some(Value::String(text)) => cut(text),
        Some(Value::Array(texts)) => {
            texts.iter().filter_map(|text| text.as_str().map(str::to_owned)).collect()
        }
        _ => Vec::new(),
    };
    parts.iter().map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(json: &str) -> Row {
        serde_json::from_str(json).unwrap()
    }

    fn read(json: &str) -> Record {
        record(&row(json), 0).unwrap()
    }

    #[test]
    fn choices_are_cut_and_statements_come_from_cot_first() {
        let read = read(
            r#"{"uid": "a1", "image_path": "images/1.jpg", "question": "What is it?", "answer": "Cat ", "rationale": "It has fur.",
                "choices": "cat; dog;bird ;fish;dog", "cot": "It has whiskers. So it is a cat."}"#,
        );
        assert_eq!(read.sample.choices, ["cat", "dog", "bird", "fish"]);
        assert_eq!(read.sample.answer, "cat");
        assert_eq!(read.reasoning, ["It has whiskers.", "So it is a cat."]);
    }

    #[test]
    fn without_cot_the_rationale_is_taken() {
        let read = read(
            r#"{"uid": 7, "image_path": "1.jpg", "question": "Q?", "answer": "a", "rationale": ["One.", " "], "cot": "", "split": "val"}"#,
        );
        assert_eq!((read.uid.as_str(), read.reasoning.as_slice()), ("7", &["One.".to_owned()][..]));
        assert!(read.sample.choices.is_empty());
    }

    #[test]
    fn what_the_makers_of_a_okvqa_publish_is_read_too() {
        let read = read(
            r#"{"split": "val", "image_id": 461751, "question_id": "22jb", "question": "What is in his mouth?",
                "choices": ["toothpick", "cigarette"], "correct_choice_idx": 1, "rationales": ["He is smoking. It smokes.", "Other."]}"#,
        );
        assert_eq!((read.uid.as_str(), read.sample.answer.as_str()), ("22jb", "cigarette"));
        assert_eq!(read.sample.image, "val2017/000000461751.jpg");
        assert_eq!(read.reasoning, ["He is smoking.", "It smokes."]);
    }

    #[test]
    fn lettered_choices_lose_their_letters() {
        let row = row(r#"{"choices": "(A) cab (yellow)\n(B) bike\n(C) bus"}"#);
        assert_eq!(choices(&row), ["cab (yellow)", "bike", "bus"]);
    }

    #[test]
    fn what_cannot_be_used_is_counted_and_the_rest_has_unrelated_questions() {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..6 {
            std::fs::write(folder.path().join(format!("{number}.png")), "x").unwrap();
        }
        let pictures = Pictures::around([folder.path().to_owned()]);
        let row = |number: usize, answer: &str| {
            let json = serde_json::json!({"image_path": format!("far/{number}.png"), "question": format!("Q{}?", number % 5),
                "answer": answer, "choices": "a;b"});
            serde_json::from_value(json).unwrap()
        };
        let mut rows: Vec<Row> = (0..6).map(|number| row(number, "a")).collect();
        rows.extend([row(1, "c"), row(2, ""), row(9, "b")]);
        let (read, notes) = records(Path::new("x.json"), &rows, &pictures).unwrap();
        assert_eq!(read.len(), 6);
        for record in &read {
            assert!(!record.unrelated.is_empty() && record.unrelated.len() <= UNRELATED);
            assert!(record.unrelated.iter().all(|other| other.question != record.sample.question));
        }
        let said = notes.join("\n");
        assert!(
            said.contains("no answer")
                && said.contains("none of their choices")
                && said.contains("not there"),
            "{said}"
        );
        // Nothing at all can be used.
        for (rows, named) in [(vec![row(9, "a")], "far/9.png"), (vec![row(1, "")], "no record has an answer")]
        {
            let error = records(Path::new("x.json"), &rows, &pictures).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
        let no_question = serde_json::from_str(r#"{"image_path": "1.png", "answer": "a"}"#).unwrap();
        let error = records(Path::new("x.json"), &[no_question], &pictures).unwrap_err().to_string();
        assert!(error.contains("x.json: record 1"), "{error}");
    }
}
