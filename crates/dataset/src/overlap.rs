//! Whether two sets of data overlap: what editors are tuned or trained on must not be what they are evaluated
//! on.
//!
//! Two records overlap if they share a picture (by its bytes; any picture of the record, also of the
//! questions that test it), or if they are the same edit in words: the same question with the same reasoning,
//! whatever the picture. A question alone says nothing: `What is this?` is asked of many pictures, in worlds
//! made from templates and in people's data alike, and what is learned of one says nothing about another.

use std::collections::{BTreeSet, HashSet};

use reasonedit_editor::ImageSource;
use serde::{Deserialize, Serialize};

use crate::DatasetError;
use crate::dataset::Dataset;
use crate::record::{Record, Sample};

/// Hexadecimal digits of a digest: enough that two of a million differ.
const DIGITS: usize = 16;

/// Short digests of all pictures and edits of a set of data.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DataDigests {
    #[serde(with = "joined")]
    pictures: BTreeSet<String>,
    #[serde(with = "joined")]
    edits: BTreeSet<String>,
}

impl DataDigests {
    /// Those of these data. Every picture is read.
    ///
    /// # Errors
    /// A picture that can't be read.
    pub fn of(data: &Dataset) -> Result<Self, DatasetError> {
        let mut digests = Self::default();
        let mut seen = HashSet::new();
        for record in &data.records {
            for name in pictures(record) {
                if seen.insert(name) {
                    let digest = match data.picture(name)? {
                        ImageSource::Bytes(upload) => upload.id().to_string(),
                        ImageSource::Known(id) => id.to_string(),
                    };
                    digests.pictures.insert(digest.chars().take(DIGITS).collect());
                }
            }
            digests.edits.extend(edit(record));
        }
        Ok(digests)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.pictures.is_empty() && self.edits.is_empty()
    }

    /// Makes sure that nothing of these stands in the others. `what` says what these are for, `evaluated`
    /// what the others are.
    ///
    /// # Errors
    /// Pictures or edits of both: how many.
    pub fn keep_apart(&self, what: &str, evaluated: &Self) -> Result<(), DatasetError> {
        let pictures = self.pictures.intersection(&evaluated.pictures).count();
        let edits = self.edits.intersection(&evaluated.edits).count();
        if pictures + edits == 0 {
            return Ok(());
        }
        Err(DatasetError::Overlap { what: what.to_owned(), pictures, edits })
    }
}

/// Names of all pictures of a record.
fn pictures(record: &Record) -> impl Iterator<Item = &str> {
    let lists = [&record.related, &record.rationale_questions, &record.unrelated, &record.contrast];
    let samples = lists.into_iter().flatten().chain([&record.sample]);
    samples
        .map(|sample: &Sample| sample.image.as_str())
        .chain(record.similar_images.iter().map(String::as_str))
}

/// Digest of an edit in words; none without reasoning.
fn edit(record: &Record) -> Option<String> {
    if record.reasoning.is_empty() {
        return None;
    }
    let said: Vec<String> =
        std::iter::once(&record.sample.question).chain(&record.reasoning).map(|text| plain(text)).collect();
    let digest = blake3::hash(said.join("\n").as_bytes()).to_hex();
    Some(digest.as_str()[..DIGITS].to_owned())
}

/// The words of a text, lower-cased: case, marks and spaces make no other question.
fn plain(text: &str) -> String {
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect::<Vec<_>>().join(" ")
}

/// Digests as one text, so that a file of settings stays one that people can read.
mod joined {
    use std::collections::BTreeSet;

    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(all: &BTreeSet<String>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&all.iter().map(String::as_str).collect::<Vec<_>>().join(" "))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeSet<String>, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(text.split_whitespace().map(str::to_owned).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(number: usize) -> Record {
        let sample = |image: String| Sample { image, question: "What is it?".into(), ..Sample::default() };
        Record {
            uid: format!("r{number}"),
            sample: sample(format!("{number}.png")),
            reasoning: vec![format!("It is number {number}.")],
            similar_images: vec![format!("s{number}.png")],
            rationale_questions: vec![sample(format!("q{number}.png"))],
            unrelated: vec![sample(format!("u{number}.png"))],
            ..Record::default()
        }
    }

    /// Of records whose pictures hold their names.
    fn digests(records: &[Record]) -> DataDigests {
        let folder = tempfile::tempdir().unwrap();
        let lines: Vec<String> = records.iter().map(|r| serde_json::to_string(r).unwrap()).collect();
        std::fs::write(folder.path().join("edits.jsonl"), lines.join("\n")).unwrap();
        for name in records.iter().flat_map(pictures) {
            std::fs::write(folder.path().join(name), name).unwrap();
        }
        DataDigests::of(&Dataset::open(folder.path()).unwrap()).unwrap()
    }

    #[test]
    fn a_picture_of_both_is_counted_wherever_it_stands_and_a_question_of_both_is_not() {
        let evaluated = digests(&[record(0), record(1)]);
        let apart = digests(&[record(2), record(3)]);
        apart.keep_apart("training", &evaluated).unwrap();
        let mut third = record(4);
        third.unrelated[0].image = "0.png".into();
        third.similar_images.push("q1.png".into());
        let error = digests(&[third]).keep_apart("training", &evaluated).unwrap_err().to_string();
        assert!(error.contains("2 pictures") && error.contains("0 edits"), "{error}");
    }

    #[test]
    fn the_same_words_with_the_same_reasoning_are_the_same_edit() {
        let mut other = record(5);
        other.reasoning = vec!["it is NUMBER 1".into()];
        let error = digests(&[other.clone()]).keep_apart("tuning", &digests(&[record(1)])).unwrap_err();
        assert!(error.to_string().contains("0 pictures and 1 edits"), "{error}");
        // Without any reasoning there is a question alone.
        other.reasoning.clear();
        let mut bare = record(1);
        bare.reasoning.clear();
        digests(&[other]).keep_apart("tuning", &digests(&[bare])).unwrap();
    }

    #[test]
    fn digests_are_read_again() {
        let one = digests(&[record(0)]);
        let text = serde_json::to_string(&one).unwrap();
        assert_eq!(serde_json::from_str::<DataDigests>(&text).unwrap(), one);
        assert!(DataDigests::default().is_empty() && !one.is_empty());
    }
}
