//! The pairs that are measured: a codebook's own, or ones that the caller brings.

use std::collections::HashSet;

use reasonedit_codebook::{CodebookName, ImageId};
use reasonedit_text::{is_visible, searchable};

use crate::editor::Editor;
use crate::error::EditorError;
use crate::types::ImageSource;

/// A picture and a text that belongs to it.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) image: ImageSource,
    /// A question about it, or a statement that holds for it.
    pub(super) text: String,
}

/// Pictures with texts, and where they come from. No picture and no text is there twice: a network's groups
/// are by picture and by text.
#[derive(Clone, Debug)]
pub struct SampleSet {
    pub(super) name: String,
    pub(super) samples: Vec<Sample>,
    pictures: HashSet<ImageId>,
    texts: HashSet<String>,
}

impl SampleSet {
    /// An empty set; the name stands in the report.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), samples: Vec::new(), pictures: HashSet::new(), texts: HashSet::new() }
    }

    /// Adds a picture with the first of its texts, questions about it or statements that hold for it, that is
    /// not there yet. Returns whether it was added: a picture that comes again, or has no text left, is not.
    /// Texts that differ in case and in what nobody sees are one.
    pub fn add(&mut self, image: ImageSource, texts: impl IntoIterator<Item = String>) -> bool {
        let picture = match &image {
            ImageSource::Known(id) => *id,
            ImageSource::Bytes(upload) => upload.id(),
        };
        let new = |text: &String| is_visible(text) && !self.texts.contains(&searchable(text));
        let Some(text) = texts.into_iter().find(new) else { return false };
        if !self.pictures.insert(picture) {
            return false;
        }
        self.texts.insert(searchable(&text));
        self.samples.push(Sample { image, text });
        true
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }
}

impl Editor {
    /// The pictures of a codebook's edits, each with its question; where a question was used before (many
    /// edits ask the same), with a statement of the reasoning.
    ///
    /// # Errors
    /// No such codebook.
    pub fn codebook_samples(&self, name: &CodebookName) -> Result<SampleSet, EditorError> {
        let snapshot = self.core.library().get(name)?.snapshot();
        let mut samples = SampleSet::new(format!("codebook {name}"));
        for record in snapshot.edits() {
            let texts =
                std::iter::once(&record.question).chain(record.reasoning.iter().map(|s| &s.statement));
            samples.add(ImageSource::Known(record.image.id), texts.cloned());
        }
        Ok(samples)
    }
}

/// Five hundred plain factual sentences that belong to no picture: mismatched texts for the biases, noise for
/// evaluations.
pub fn plain_facts() -> impl Iterator<Item = &'static str> {
    include_str!("facts.txt").lines()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_takes_its_first_text_that_is_new() {
        let mut set = SampleSet::new("x");
        let mut add = |picture: &'static [u8], texts: &[&str]| {
            let image = ImageSource::from(bytes::Bytes::from_static(picture));
            set.add(image, texts.iter().map(|text| (*text).to_owned()))
        };
        assert!(add(b"a", &["What is it?", "It is red."]));
        assert!(add(b"b", &["What is it?", "It is blue."]));
        assert!(!add(b"b", &["Another?"]), "the picture was there");
        // What differs by case or outer space is the same.
        assert!(!add(b"c", &["what is it?", "It is blue. "]));
        assert!(!add(b"c", &[" "]));
        // A text that found no place is still to be had.
        assert!(add(b"c", &["Another?"]));
        let texts: Vec<&str> = set.samples.iter().map(|sample| sample.text.as_str()).collect();
        assert_eq!(texts, ["What is it?", "It is blue.", "Another?"]);
        assert_eq!((set.len(), set.is_empty()), (3, false));
    }

    #[test]
    fn facts_are_five_hundred_different_sentences() {
        let facts: HashSet<&str> = plain_facts().collect();
        assert_eq!(facts.len(), 500);
        assert_eq!(plain_facts().count(), 500);
        assert!(facts.iter().all(|fact| fact.ends_with('.') && fact.len() < 80));
    }
}
