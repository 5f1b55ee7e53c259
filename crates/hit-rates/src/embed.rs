//! Embeds every entry and every question once, under all taps.

use std::collections::HashMap;
use std::sync::Arc;

use reasonedit_codebook::{EntryKind, ImageId};
use reasonedit_dataset::{Dataset, Record};
use reasonedit_editor::{Editor, EditorError, ImageSource};
use reasonedit_imaging::{RgbImage, decode};
use reasonedit_inference::{CallOptions, FeatureKey, KeyedImage, PooledTaps, TapName};
use reasonedit_topology::{Pooling, TapKey};

use crate::score::{Halves, Question, Scene};
use crate::{HitRateError, QuestionKind};

/// Sentences handed to the engine at once.
const SENTENCES: usize = 64;

/// A decoded picture and the id of its bytes.
type Picture = (ImageId, Arc<RgbImage>);

/// Pictures of one record, by path: most questions share the edit's.
struct Pictures<'a> {
    editor: &'a Editor,
    data: &'a Dataset,
    decoded: HashMap<String, Picture>,
}

impl Pictures<'_> {
    fn get(&mut self, path: &str) -> Result<Picture, HitRateError> {
        if let Some((id, pixels)) = self.decoded.get(path) {
            return Ok((*id, Arc::clone(pixels)));
        }
        let ImageSource::Bytes(bytes) = self.data.picture(path)? else {
            return Err(HitRateError::Input(format!("{path} is no file of the data folder")));
        };
        let pixels = decode(&bytes, &self.editor.config().image).map_err(EditorError::from)?.image;
        let picture = (bytes.id(), Arc::new(pixels));
        self.decoded.insert(path.to_owned(), picture.clone());
        Ok(picture)
    }
}

/// Different texts by their place.
#[derive(Default)]
struct Texts {
    places: HashMap<String, usize>,
    all: Vec<String>,
}

impl Texts {
    fn place(&mut self, text: &str) -> usize {
        if let Some(&place) = self.places.get(text) {
            return place;
        }
        self.places.insert(text.to_owned(), self.all.len());
        self.all.push(text.to_owned());
        self.all.len() - 1
    }
}

/// Fills in the scene's entries, questions and texts; `scene.edits` are those of `records`, in the same
/// order.
pub(super) async fn embed(
    editor: &Editor,
    data: &Dataset,
    records: &[Record],
    taps: &[TapKey],
    scene: &mut Scene,
    progress: &(impl Fn(&str, usize, usize) + Sync),
) -> Result<(), HitRateError> {
    let mut texts = Texts::default();
    let mut names: Vec<TapName> = Vec::new();
    for tap in taps {
        let name = TapName(tap.tap.clone());
        if !names.contains(&name) {
            names.push(name);
        }
    }
    for (at, record) in records.iter().enumerate() {
        progress("entries and questions", at, records.len());
        let mut pictures = Pictures { editor, data, decoded: HashMap::new() };
        let (id, pixels) = pictures.get(&record.sample.image)?;
        let (edit, members) = &scene.edits[at];
        // What an entry is found by: an answer by its question, a statement by itself; as the editor pairs
        // them.
        let mut points: Vec<(KeyedImage, String)> = members
            .iter()
            .map(|member| {
                let text = match member.kind {
                    EntryKind::Answer => &edit.question,
                    EntryKind::Statement => &member.sentence,
                };
                let key = FeatureKey { image: id.0, area: member.area };
                (KeyedImage { key, picture: Arc::clone(&pixels) }, text.clone())
            })
            .collect();
        let mut kinds = Vec::new();
        for (kind, image, question) in questions(record) {
            let (id, picture) = pictures.get(image)?;
            let key = FeatureKey { image: id.0, area: None };
            points.push((KeyedImage { key, picture }, question.trim().to_owned()));
            kinds.push(kind);
        }
        let places: Vec<usize> = points.iter().map(|(_, text)| texts.place(text)).collect();
        let embedded = editor.engine().embed_pairs(points, names.clone(), CallOptions::default()).await;
        let (pooled, _) = embedded.map_err(EditorError::from)?;
        let halves = pooled.iter().zip(places).map(|(pooled, text)| {
            let pictures = taps.iter().map(|tap| half(pooled, tap)).collect();
            Halves { pictures, text }
        });
        let mut halves: Vec<Halves> = halves.collect();
        let asked = halves.split_off(members.len());
        scene.entries.extend(halves);
        let question = |(kind, halves)| Question { edit: at, kind, halves };
        scene.questions.extend(kinds.into_iter().zip(asked).map(question));
    }
    for chunk in texts.all.chunks(SENTENCES) {
        progress("texts", scene.texts.len(), texts.all.len());
        let embedded = editor.engine().embed_sentences(chunk.to_vec(), CallOptions::default()).await;
        scene.texts.extend(embedded.map_err(EditorError::from)?.0);
    }
    Ok(())
}

/// Everything that should find the edit: kind, picture and question.
fn questions(record: &Record) -> impl Iterator<Item = (QuestionKind, &str, &str)> {
    let sample = &record.sample;
    let (image, question) = (sample.image.as_str(), sample.question.as_str());
    std::iter::once((QuestionKind::Edited, image, question))
        .chain(record.paraphrases.iter().map(move |other| (QuestionKind::Paraphrase, image, other.as_str())))
        .chain(
            record.similar_images.iter().map(move |other| (QuestionKind::Similar, other.as_str(), question)),
        )
        .chain(record.related.iter().map(|s| (QuestionKind::Related, s.image.as_str(), s.question.as_str())))
        .chain(
            record
                .rationale_questions
                .iter()
                .map(|s| (QuestionKind::Rationale, s.image.as_str(), s.question.as_str())),
        )
}

/// The vector of one tap; the engine gives every tap that was asked for.
fn half(pooled: &PooledTaps, tap: &TapKey) -> Vec<f32> {
    let pooled = pooled.get(&TapName(tap.tap.clone()));
    pooled
        .map(|pooled| match tap.pooling {
            Pooling::Mean => pooled.mean.clone(),
            Pooling::Last => pooled.last.clone(),
        })
        .unwrap_or_default()
}
