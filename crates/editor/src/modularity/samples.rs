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
mod tests;
