//! The pairs that are measured: a codebook's own, or ones that the caller brings.

use std::collections::HashSet;

use reasonedit_codebook::{CodebookName, ImageId};

use crate::Editor;
use crate::error::EditorError;
use crate::types::ImageSource;

/// A picture and a text that belongs to it.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The picture.
    pub image: ImageSource,
    /// A question about it, or a statement that holds for it.
    pub text: String,
}

/// Samples and where they come from.
#[derive(Clone, Debug)]
pub struct SampleSet {
    /// Name for the report.
    pub name: String,
    /// The samples. Those that repeat a picture or a text of an earlier one are not used: the network's groups are by picture and by text.
    pub samples: Vec<Sample>,
}

impl SampleSet {
    /// A set of pictures with texts that belong to them, each picture with the first of its texts that no picture before it has. Pictures
    /// that come again, or have no text left, are passed over.
    pub fn of_distinct(
        name: impl Into<String>,
        candidates: impl IntoIterator<Item = (ImageSource, Vec<String>)>,
    ) -> Self {
        let (mut pictures, mut texts) = (HashSet::new(), HashSet::new());
        let mut samples = Vec::new();
        for (image, own) in candidates {
            let picture = identity(&image);
            let text =
                own.into_iter().find(|text| !text.trim().is_empty() && !texts.contains(&compared(text)));
            if let Some(text) = text.filter(|_| !pictures.contains(&picture)) {
                pictures.insert(picture);
                texts.insert(compared(&text));
                samples.push(Sample { image, text });
            }
        }
        Self { name: name.into(), samples }
    }

    /// Indices of the samples that can be drawn.
    pub(super) fn usable(&self) -> Vec<usize> {
        let (mut pictures, mut texts) = (HashSet::new(), HashSet::new());
        let mut usable = Vec::new();
        for (at, sample) in self.samples.iter().enumerate() {
            let picture = identity(&sample.image);
            let text = compared(&sample.text);
            if !text.is_empty() && !pictures.contains(&picture) && !texts.contains(&text) {
                pictures.insert(picture);
                texts.insert(text);
                usable.push(at);
            }
        }
        usable
    }
}

fn identity(image: &ImageSource) -> ImageId {
    match image {
        ImageSource::Known(id) => *id,
        ImageSource::Bytes(bytes) => ImageId::of(bytes),
    }
}

/// Texts that differ in case and outer space only are one.
fn compared(text: &str) -> String {
    text.trim().to_lowercase()
}

impl Editor {
    /// The pictures of a codebook's edits, each with its question; where a question was used before (many edits ask the same), with a
    /// statement of the reasoning.
    ///
    /// # Errors
    /// No such codebook.
    pub fn codebook_samples(&self, name: &CodebookName) -> Result<SampleSet, EditorError> {
        let snapshot = self.library().get(name)?.snapshot();
        let candidates = snapshot.edits().map(|record| {
            let statements = record.reasoning.iter().map(|statement| statement.statement.clone());
            let texts = std::iter::once(record.question.clone()).chain(statements).collect();
            (ImageSource::Known(record.image.id), texts)
        });
        Ok(SampleSet::of_distinct(format!("codebook {name}"), candidates))
    }
}

/// Five hundred plain factual sentences that belong to no picture: mismatched texts for the biases, noise for evaluations.
pub fn plain_facts() -> impl Iterator<Item = &'static str> {
    include_str!("facts.txt").lines()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(picture: &'static [u8], text: &str) -> Sample {
        Sample { image: ImageSource::Bytes(bytes::Bytes::from_static(picture)), text: text.to_owned() }
    }

    #[test]
    fn facts_are_five_hundred_different_sentences() {
        let facts: HashSet<&str> = plain_facts().collect();
        assert_eq!(facts.len(), 500);
        assert_eq!(plain_facts().count(), 500);
        assert!(facts.iter().all(|fact| fact.ends_with('.') && fact.len() < 80));
    }

    #[test]
    fn a_picture_or_a_text_counts_once() {
        let samples = vec![
            sample(b"a", "What is it?"),
            sample(b"b", "what is it? "),
            sample(b"a", "Where is it?"),
            sample(b"b", "Where is it?"),
            sample(b"c", " "),
        ];
        let set = SampleSet { name: String::new(), samples };
        assert_eq!(set.usable(), [0, 3]);
    }

    #[test]
    fn a_picture_takes_its_first_text_that_is_new() {
        let candidate = |picture: &'static [u8], texts: &[&str]| {
            let image = ImageSource::Bytes(bytes::Bytes::from_static(picture));
            (image, texts.iter().map(|text| (*text).to_owned()).collect())
        };
        let set = SampleSet::of_distinct(
            "x",
            [
                candidate(b"a", &["What is it?", "It is red."]),
                candidate(b"b", &["What is it?", "It is blue."]),
                candidate(b"b", &["Another?"]),
                candidate(b"c", &["what is it?", "It is blue. "]),
            ],
        );
        // What differs by case or outer space is the same.
        let texts: Vec<&str> = set.samples.iter().map(|sample| sample.text.as_str()).collect();
        assert_eq!(texts, ["What is it?", "It is blue."]);
        assert_eq!(set.usable().len(), 2);
    }
}
