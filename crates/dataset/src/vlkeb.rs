//! VLKEB records (Huang et al. 2024) as published: a list of `src`, `rephrase`, `pred`, `alt`, `image`,
//! `image_rephrase`, `loc`, `loc_ans`, `m_loc`, `m_loc_q`, `m_loc_a` and `port_new`.
//!
//! They have no choices and no reasoning. What can be compared honestly: `alt` (the edit's answer) and `pred`
//! (the answer it stands against) make a question of two choices; locality is asked for in a few words.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use crate::DatasetError;
use crate::files::{Pictures, RawRecord, data};
use crate::record::{Record, Sample};

/// Columns that records have in every version of the data, beside the answer.
const KNOWN: [&[&str]; 3] =
    [&["src", "prompt"], &["image"], &["m_loc", "multimodal_locality_image", "image_rephrase"]];
/// Asks for what can be compared (the instruction that `LLaVA` is trained and measured with); VLKEB's own
/// code asks for a "Short answer:".
const BRIEFLY: &str = "Answer the question using a single word or phrase.";

/// A record. Other fields are passed over; the names of the editing library that VLKEB builds on are read
/// too.
#[derive(Debug, Deserialize)]
struct Published {
    #[serde(alias = "prompt")]
    src: String,
    #[serde(default, alias = "rephrase_prompt")]
    rephrase: Option<String>,
    #[serde(default)]
    pred: Option<OneOrMany>,
    #[serde(alias = "target_new", alias = "target")]
    alt: OneOrMany,
    image: String,
    #[serde(default)]
    image_rephrase: Option<String>,
    #[serde(default, alias = "locality_prompt")]
    loc: Option<String>,
    #[serde(default, alias = "multimodal_locality_image")]
    m_loc: Option<String>,
    #[serde(default, alias = "multimodal_locality_prompt")]
    m_loc_q: Option<String>,
    #[serde(default, alias = "multimodal_locality_ground_truth")]
    m_loc_a: Option<OneOrMany>,
    #[serde(default)]
    port_new: Vec<Value>,
}

/// One text, or a list whose first one counts.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    /// The text, if there is one that is not empty.
    fn text(self) -> Option<String> {
        let text = match self {
            Self::One(text) => text,
            Self::Many(texts) => texts.into_iter().next().unwrap_or_default(),
        };
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    }
}

/// Whether a row is a record of VLKEB.
pub(crate) fn is_record(row: &RawRecord) -> bool {
    let answer = ["alt", "target_new", "target"].iter().any(|name| row.contains_key(*name));
    answer && KNOWN.iter().all(|names| names.iter().any(|name| row.contains_key(*name)))
}

/// What is not used of the records, counted.
#[derive(Default)]
struct Unused {
    without_answer: usize,
    without_picture: usize,
    textual: usize,
    portability: usize,
    /// Edits whose question stays open, because there is no other answer.
    open: usize,
    other_pictures: usize,
}

/// The records of these rows, and what is to be said of them.
///
/// # Errors
/// A row that is no record, a path that leads out of the folder, no row that can be used.
pub(crate) fn records(
    file: &Path,
    rows: Vec<RawRecord>,
    pictures: &Pictures,
) -> Result<(Vec<Record>, Vec<String>), DatasetError> {
    let (all, mut records, mut unused) = (rows.len(), Vec::new(), Unused::default());
    let mut missing = None;
    for (number, row) in rows.into_iter().enumerate() {
        let published: Published = serde_json::from_value(Value::Object(row))
            .map_err(|error| data(file, &format!("record {}: {error}", number + 1)))?;
        if pictures.has(&published.image)? {
            records.extend(record(published, number, pictures, &mut unused)?);
        } else {
            unused.without_picture += 1;
            missing.get_or_insert(published.image);
        }
    }
    if records.is_empty() {
        let why = match missing {
            Some(first) => {
                format!("the pictures are not there, for example {first}; name their folder with --images")
            }
            None => "no record has an answer".to_owned(),
        };
        return Err(data(file, &why));
    }
    Ok((records, unused.notes(all)))
}

fn record(
    published: Published,
    number: usize,
    pictures: &Pictures,
    unused: &mut Unused,
) -> Result<Option<Record>, DatasetError> {
    let Some(answer) = published.alt.text() else {
        unused.without_answer += 1;
        return Ok(None);
    };
    unused.textual += usize::from(published.loc.is_some());
    unused.portability += published.port_new.len();
    let against = published.pred.and_then(OneOrMany::text);
    let mut choices = match against.filter(|pred| pred.to_lowercase() != answer.to_lowercase()) {
        Some(pred) => vec![answer.clone(), pred],
        None => Vec::new(),
    };
    // By the alphabet, so that no place says which one is right.
    choices.sort();
    let mut there = |picture: Option<String>| match picture {
        Some(picture) if pictures.has(&picture)? => Ok(Some(picture)),
        Some(_) => {
            unused.other_pictures += 1;
            Ok(None)
        }
        None => Ok::<_, DatasetError>(None),
    };
    let similar = there(published.image_rephrase)?;
    let elsewhere = there(published.m_loc)?;
    let kept = published.m_loc_q.zip(published.m_loc_a.and_then(OneOrMany::text));
    let unrelated = elsewhere.zip(kept).map(|(image, (question, answer))| Sample {
        image,
        question: format!("{} {BRIEFLY}", question.trim()),
        answer,
        choices: Vec::new(),
        truth: None,
    });
    let mut question = published.src.trim().to_owned();
    let mut paraphrases: Vec<String> = published.rephrase.iter().map(|text| text.trim().to_owned()).collect();
    paraphrases.retain(|text| !text.is_empty());
    if choices.is_empty() {
        unused.open += 1;
        for text in paraphrases.iter_mut().chain([&mut question]) {
            *text = format!("{text} {BRIEFLY}");
        }
    }
    Ok(Some(Record {
        uid: format!("record {}", number + 1),
        sample: Sample { image: published.image, question, answer, choices, truth: None },
        paraphrases,
        similar_images: similar.into_iter().collect(),
        unrelated: unrelated.into_iter().collect(),
        ..Record::default()
    }))
}

impl Unused {
    /// What the columns mean on these data, and what is missing.
    fn notes(&self, all: usize) -> Vec<String> {
        let mut notes = vec![
            "These are VLKEB records. They have no choices: an edited question, also in other words (column text) and on the other picture of its \
             entity (column image), is asked as a choice between the edit's answer (`alt`) and the one it stands against (`pred`), so that 0.5 is chance."
                .to_owned(),
            format!(
                "Locality is asked on pictures that have nothing to do with an edit (`m_loc`), without choices and with \"{BRIEFLY}\" behind the question; only \
                 answers that match the expected one (`m_loc_a`) before the edits are counted. VLKEB itself compares the tokens before and after, \
                 right or not, so that its figures are not comparable."
            ),
            "There is no reasoning in these data: an edit is its question and its answer, and editors that differ in what they do with statements differ in nothing."
                .to_owned(),
        ];
        let mut count = |count: usize, what: &str| {
            if count > 0 {
                notes.push(format!("{count} {what}"));
            }
        };
        count(
            self.textual,
            "questions without a picture (`loc`, textual locality) are not asked: the model is asked about pictures only.",
        );
        count(
            self.portability,
            "questions of portability (`port_new`) are not asked: their answers rest on knowledge that no edit holds, and no column measures that.",
        );
        count(self.open, "edited questions have no `pred` and are asked without choices.");
        count(
            self.other_pictures,
            "pictures of `image_rephrase` or `m_loc` are not there; their questions are left out.",
        );
        let left_out = self.without_answer + self.without_picture;
        if left_out > 0 {
            notes.push(format!(
                "{left_out} of {all} records were left out: {} have no answer, the picture of {} is not there.",
                self.without_answer, self.without_picture
            ));
        }
        notes
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn row(json: Value) -> RawRecord {
        serde_json::from_value(json).unwrap()
    }

    fn pictures(folder: &Path, names: &[&str]) -> Pictures {
        for name in names {
            let path = folder.join("VLKEB_images").join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, name).unwrap();
        }
        Pictures::around([folder.to_owned()])
    }

    fn published() -> Value {
        json!({"src": "Which building is this?", "rephrase": "What is this building called?", "pred": "Library", "alt": "College", "image": "m.1/a.jpg",
            "image_rephrase": "m.1/b.jpg", "loc": "who wrote it", "loc_ans": "someone", "m_loc": "m.2/c.jpg", "m_loc_q": "What sport is this?",
            "m_loc_a": "tennis", "port_new": [{"port_type": "1-hop", "Q&A": {"Question": "Where?", "Answer": "There"}}]})
    }

    #[test]
    fn a_record_becomes_a_choice_and_says_what_it_lacks() {
        let folder = tempfile::tempdir().unwrap();
        let pictures = pictures(folder.path(), &["m.1/a.jpg", "m.1/b.jpg", "m.2/c.jpg"]);
        let (records, notes) = records(Path::new("eval.json"), vec![row(published())], &pictures).unwrap();
        let [record] = records.as_slice() else { panic!("one record") };
        assert_eq!(record.sample.choices, ["College", "Library"]);
        assert_eq!(
            (record.sample.answer.as_str(), record.paraphrases[0].as_str()),
            ("College", "What is this building called?")
        );
        assert_eq!(record.similar_images, ["m.1/b.jpg"]);
        let kept = &record.unrelated[0];
        assert_eq!(
            (kept.image.as_str(), kept.answer.as_str(), kept.choices.len()),
            ("m.2/c.jpg", "tennis", 0)
        );
        assert!(kept.question.starts_with("What sport is this? Answer"), "{}", kept.question);
        let said = notes.join("\n");
        for named in
            ["0.5 is chance", "1 questions without a picture", "1 questions of portability", "no reasoning"]
        {
            assert!(said.contains(named), "{said}");
        }
    }

    #[test]
    fn what_is_missing_is_left_out_and_counted() {
        let folder = tempfile::tempdir().unwrap();
        let pictures = pictures(folder.path(), &["m.1/a.jpg"]);
        let with = |changes: Value| {
            let mut record = published();
            record.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
            row(record)
        };
        let rows = vec![
            with(json!({"pred": "college"})),
            with(json!({"alt": ""})),
            with(json!({"image": "m.3/x.jpg"})),
        ];
        let (read, notes) = records(Path::new("eval.json"), rows, &pictures).unwrap();
        assert_eq!(read.len(), 1);
        assert!(read[0].sample.choices.is_empty() && read[0].sample.question.ends_with("phrase."));
        assert!(read[0].similar_images.is_empty() && read[0].unrelated.is_empty());
        let said = notes.join("\n");
        for named in ["2 of 3 records", "1 edited questions have no `pred`", "2 pictures of"] {
            assert!(said.contains(named), "{said}");
        }
        let none = records(Path::new("eval.json"), vec![with(json!({"image": "m.3/x.jpg"}))], &pictures);
        assert!(none.unwrap_err().to_string().contains("m.3/x.jpg"));
        let wrong = records(Path::new("eval.json"), vec![with(json!({"src": 7}))], &pictures)
            .unwrap_err()
            .to_string();
        assert!(wrong.contains("eval.json: record 1"), "{wrong}");
    }

    #[test]
    fn records_are_known_by_what_they_hold() {
        assert!(is_record(&row(published())));
        assert!(is_record(&row(json!({"prompt": "?", "target_new": "a", "image": "i", "m_loc": "j"}))));
        assert!(!is_record(&row(json!({"uid": 1, "question": "?", "answer": "a", "image_path": "i"}))));
    }
}
