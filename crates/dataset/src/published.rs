//! Records of A-OKVQA and FVQA as the authors publish them: `uid`, `image_path`, `question`, `answer`,
//! `rationale`, `choices` ("a; b; c; d"), `cot` (method section 7); A-OKVQA as its own authors do, with
//! `correct_choice_idx`, `rationales` and `image_id`; and what else is a question about a picture with its
//! answer: `ScienceQA`, MMMU, PMC-VQA, `VQAv2` and their like ([`answers`] says how right answers are told).

mod answers;
mod cells;
mod companion_set;
mod companions;
mod layout;

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use rand::SeedableRng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;
use reasonedit_text::split_sentences;
use serde_json::Value;

use crate::DatasetError;
use crate::files::{Pictures, RawRecord, data};
use crate::record::{Record, Sample};

use answers::{Counting, Right, distinct};
use cells::{parts, text};
pub(crate) use companion_set::CompanionSet;
pub(crate) use companions::Companions;
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
    "multiple_choice_answer",
    "answer_label",
    "answer_idx",
    "answer_index",
    "correct_option",
    "label",
    "options",
    "choice_a",
    "choice_b",
    "choice_c",
    "choice_d",
    "choice_e",
    "option_a",
    "option_b",
    "option_c",
    "option_d",
    "option_e",
    "a",
    "b",
    "c",
    "d",
    "e",
    "figure_path",
    "image_name",
    "img_name",
    "image_1",
    "image_2",
    "solution",
    "explanation",
];
/// Columns that name or hold the picture.
const PICTURE: &[&str] = &["image_path", "image", "figure_path", "image_name", "img_name", "image_1"];
/// Other records that stand as unrelated questions in each one.
const UNRELATED: usize = 2;

/// Whether a row is an edit, rather than part of a set that goes with edits.
pub(crate) fn is_record(row: &RawRecord) -> bool {
    let has = |name: &str| row.contains_key(name);
    let picture = has("image_id") || PICTURE.iter().any(|name| has(name)) || (has("images") && has("answer"));
    // Sets that go with records are joined by uid; several people's answers alone say nothing.
    has("question") && picture && !has("sid") && !has("cid") && !(has("answers") && has("uid"))
}

/// Why a record can't be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Unusable {
    NoQuestion,
    NoPicture,
    SeveralPictures,
    NoAnswer,
    Unlisted,
    NoPlace,
    MissingPicture,
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoQuestion => "they have no question",
            Self::NoPicture => "they have no picture",
            Self::SeveralPictures => "they are about several pictures",
            Self::NoAnswer => "they have no answer",
            Self::Unlisted => "their answer is none of their choices",
            Self::NoPlace => "their answer is a number, and no choice has that place",
            Self::MissingPicture => "their pictures are not there",
        })
    }
}

/// What was left out, by reason, each with the first record it holds for.
#[derive(Default)]
struct LeftOut(BTreeMap<Unusable, (usize, String)>);

impl LeftOut {
    fn add(&mut self, why: Unusable, record: impl FnOnce() -> String) {
        self.0.entry(why).or_insert_with(|| (0, record())).0 += 1;
    }

    /// For when nothing is left.
    fn all(&self, of: usize) -> String {
        let reasons: Vec<String> = self
            .0
            .iter()
            .map(|(why, (count, first))| match why {
                Unusable::MissingPicture => {
                    format!("of {count} {why}, for example {first}; name their folder with --images")
                }
                _ => format!("of {count} {why} (the first is {first})"),
            })
            .collect();
        format!("none of its {of} records can be used: {}", reasons.join("; "))
    }

    fn notes(&self, of: usize) -> impl Iterator<Item = String> + '_ {
        self.0.iter().map(move |(why, (count, first))| {
            format!("{count} of {of} records were left out: {why} (the first: {first}).")
        })
    }
}

/// The records of these rows, and what is to be said of them. Each has other records as unrelated questions:
/// whatever shares a picture or a question with an edit is left out when edits are known.
///
/// # Errors
/// A path that leads out of the folder, no row that can be used: the reasons are counted.
pub(crate) fn records(
    file: &Path,
    rows: &[RawRecord],
    pictures: &Pictures,
) -> Result<(Vec<Record>, Vec<String>), DatasetError> {
    let mut left_out = LeftOut::default();
    let mut read = Vec::new();
    for (number, row) in rows.iter().enumerate() {
        match record(row, number) {
            Ok(one) => read.push(one),
            Err(why) => left_out.add(why, || uid(row, number)),
        }
    }
    // Whether places count from 0 or from 1 is told by the set as a whole.
    let counting = Counting::of(read.iter().filter_map(|(one, listed)| match one.right {
        Right::Place(place) => Some((place, listed.len())),
        _ => None,
    }));
    let mut records = Vec::new();
    let mut by_place = 0;
    for (Read { mut record, right }, listed) in read {
        let answer = match right {
            Right::Text(answer) => Ok(answer),
            Right::Place(place) => {
                by_place += 1;
                counting.choice(&listed, place).cloned().ok_or(Unusable::NoPlace)
            }
            Right::Unlisted => Err(Unusable::Unlisted),
            Right::Missing => Err(Unusable::NoAnswer),
        };
        match answer {
            Err(why) => left_out.add(why, || record.uid.clone()),
            Ok(_) if !pictures.has(&record.sample.image)? => {
                left_out.add(Unusable::MissingPicture, || record.sample.image.clone());
            }
            Ok(answer) => {
                record.sample.answer = answer;
                records.push(record);
            }
        }
    }
    if records.is_empty() {
        return Err(data(file, &left_out.all(rows.len())));
    }
    let mut notes: Vec<String> = left_out.notes(rows.len()).collect();
    if by_place > 0 {
        let first = i32::from(counting != Counting::FromZero);
        notes.push(format!(
            "{by_place} records name their answer by its place among the choices, counted from {first}."
        ));
    }
    unrelated(&mut records);
    notes.push(format!(
        "Unrelated questions are those of other records, drawn by chance, {UNRELATED} for each edit: what shares a picture or a question with any edit is not asked."
    ));
    Ok((records, notes))
}

/// Gives each record others as unrelated questions, each other one as often: drawn by chance, the same for
/// the same records.
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

/// A record whose right answer is still to be found.
struct Read {
    record: Record,
    right: Right,
}

/// A row as a record, with its choices as they are listed.
fn record(row: &RawRecord, number: usize) -> Result<(Read, Vec<String>), Unusable> {
    let question = text(row, &["question"]).ok_or(Unusable::NoQuestion)?;
    let image = picture(row)?;
    let listed = answers::listed(row);
    let right = answers::right(row, &listed);
    // Statement: sentence of cot, else of rationale (method section 7). Of several people's rationales the
    // first, as the authors take it.
    let rationales = row.get("rationales").and_then(|all| all.get(0));
    let sources = ["cot", "rationale"].map(|name| row.get(name)).into_iter().chain([rationales]);
    let sources = sources.chain(["solution", "explanation"].map(|name| row.get(name)));
    let reasoning = sources.map(|value| parts(value, split_sentences)).find(|parts| !parts.is_empty());
    let record = Record {
        uid: uid(row, number),
        sample: Sample { image, question, answer: String::new(), choices: distinct(&listed), truth: None },
        reasoning: reasoning.unwrap_or_default(),
        ..Record::default()
    };
    Ok((Read { record, right }, listed))
}

/// The name of a record. No uid of a set that goes with the records looks like one that is made up here.
fn uid(row: &RawRecord, number: usize) -> String {
    text(row, &["uid", "question_id", "id"]).unwrap_or_else(|| format!("record {}", number + 1))
}

/// The one picture of a row.
fn picture(row: &RawRecord) -> Result<String, Unusable> {
    if text(row, &["image_2"]).is_some() {
        return Err(Unusable::SeveralPictures);
    }
    if let Some(image) = text(row, PICTURE).or_else(|| coco(row)) {
        return Ok(image);
    }
    let listed = PICTURE.iter().chain(&["images"]).find_map(|name| row.get(*name)?.as_array());
    match listed.map_or(&[][..], Vec::as_slice) {
        [Value::String(image)] if !image.trim().is_empty() => Ok(image.trim().to_owned()),
        [] | [_] => Err(Unusable::NoPicture),
        _ => Err(Unusable::SeveralPictures),
    }
}

/// A picture of COCO by its number, as A-OKVQA names it.
fn coco(row: &RawRecord) -> Option<String> {
    let split = text(row, &["split"])?;
    Some(format!("{split}2017/{:012}.jpg", row.get("image_id")?.as_u64()?))
}

#[cfg(test)]
mod tests {
    use super::answers::choices;
    use super::*;

    fn row(json: &str) -> RawRecord {
        serde_json::from_str(json).unwrap()
    }

    fn read(json: &str) -> Record {
        let (Read { record, right }, _) = record(&row(json), 0).unwrap_or_else(|why| panic!("{why}"));
        let Right::Text(answer) = right else { panic!("{right:?}") };
        Record { sample: Sample { answer, ..record.sample }, ..record }
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
        let row = |number: usize, answer: &str| -> RawRecord {
            let json = serde_json::json!({"image_path": format!("far/{number}.png"), "question": format!("Q{}?", number % 5),
                "answer": answer, "choices": "a;b"});
            serde_json::from_value(json).unwrap()
        };
        let mut rows: Vec<RawRecord> = (0..6).map(|number| row(number, "a")).collect();
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
        // Nothing at all can be used: every reason is told, with the first record that it holds for.
        let without = |name: &str| -> RawRecord {
            let mut row = row(1, "a");
            row.remove(name);
            row
        };
        let mut several = row(1, "a");
        several.insert("image_2".into(), "2.png".into());
        let mut placed = row(1, "a");
        placed.insert("answer".into(), 7.into());
        let rows = [
            row(9, "a"),
            row(1, ""),
            row(1, "c"),
            without("question"),
            without("image_path"),
            several,
            placed,
        ];
        let error = records(Path::new("x.json"), &rows, &pictures).unwrap_err().to_string();
        for reason in [
            "x.json: none of its 7 records can be used",
            "of 1 their pictures are not there, for example far/9.png; name their folder with --images",
            "of 1 they have no answer (the first is record 2)",
            "of 1 their answer is none of their choices (the first is record 3)",
            "of 1 they have no question (the first is record 4)",
            "of 1 they have no picture (the first is record 5)",
            "of 1 they are about several pictures (the first is record 6)",
            "of 1 their answer is a number, and no choice has that place (the first is record 7)",
        ] {
            assert!(error.contains(reason), "{reason}: {error}");
        }
    }

    #[test]
    fn answers_by_letter_and_by_place_are_read() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("1.png"), "x").unwrap();
        let pictures = Pictures::around([folder.path().to_owned()]);
        let set = |answers: &[&str]| {
            let rows: Vec<RawRecord> = answers
                .iter()
                .map(|answer| {
                    row(&format!(
                        r#"{{"image": "1.png", "question": "Which?", "choices": ["cat", "dog", "cow"], "answer": {answer}}}"#
                    ))
                })
                .collect();
            let (records, notes) = records(Path::new("x.json"), &rows, &pictures).unwrap();
            let answers: Vec<String> = records.into_iter().map(|record| record.sample.answer).collect();
            (answers, notes.join("\n"))
        };
        assert_eq!(set(&[r#""B""#, r#""(c)""#, r#""Cat""#]).0, ["dog", "cow", "cat"]);
        let (answers, notes) = set(&["0", "1", "2", r#""A""#]);
        assert_eq!(answers, ["cat", "dog", "cow", "cat"]);
        assert!(
            notes.contains("3 records name their answer by its place among the choices, counted from 0"),
            "{notes}"
        );
        let (answers, notes) = set(&["1", "3", r#""dog""#]);
        assert_eq!(answers, ["cat", "cow", "dog"]);
        assert!(notes.contains("counted from 1"), "{notes}");
        // Places that fit neither way are left out rather than guessed.
        let (answers, notes) = set(&["0", "3"]);
        assert_eq!(answers, ["cat"]);
        assert!(notes.contains("1 of 2 records were left out: their answer is a number"), "{notes}");
    }

    #[test]
    fn published_sets_of_other_authors_are_read() {
        // ScienceQA, MMMU, PMC-VQA and VQAv2, by the columns that they have.
        let science = read(
            r#"{"image": "1.png", "question": "Which?", "choices": ["ice", "iron"], "answer": "B", "hint": "", "lecture": "Long.", "solution": "Iron is a metal. So it is iron."}"#,
        );
        assert_eq!((science.sample.answer.as_str(), science.reasoning.len()), ("iron", 2));
        let mmmu = read(
            r#"{"id": "validation_Art_1", "question": "What is <image 1>?", "options": "['fresco', 'oil']", "answer": "A", "explanation": "", "image_1": "1.png", "image_2": null}"#,
        );
        assert_eq!((mmmu.uid.as_str(), mmmu.sample.answer.as_str()), ("validation_Art_1", "fresco"));
        let pmc = read(
            r#"{"figure_path": "1.jpg", "question": "Which organ?", "answer": "Liver", "choice_a": "A:Lung ", "choice_b": "B:Liver", "answer_label": "B"}"#,
        );
        assert_eq!(
            (pmc.sample.choices, pmc.sample.answer.as_str()),
            (vec!["Lung".to_owned(), "Liver".to_owned()], "Liver")
        );
        let vqa = row(
            r#"{"image": "1.png", "question_id": 5, "question": "Where?", "answers": [{"answer": "net"}]}"#,
        );
        assert!(is_record(&vqa));
        assert!(!is_record(&row(
            r#"{"uid": 1, "image": "1.png", "question": "Where?", "answers": ["net"]}"#
        )));
        let one = read(r#"{"images": ["1.png"], "question": "Where?", "answer": "here"}"#);
        assert_eq!(one.sample.image, "1.png");
    }
}
