//! From an edit to the members it adds to the codebook: which picture parts are paired with which sentences,
//! their keys and radii (paper section 3.2, codebook construction; method sections 2 and 3).
//!
//! Everything here depends on the stored edit, the configuration and the model alone; every random choice is
//! seeded by what it is about, so that making the members anew (after an import, with another embedding, for
//! the same edit in another codebook) gives the same ones.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;

use reasonedit_codebook::{EditRecord, EditSeeds, EntryKind, Member, MemberId};
use reasonedit_imaging::augment::augment;
use reasonedit_imaging::{Filter, PixelBox, RgbImage, crop, resize};
use reasonedit_inference::{CallOptions, FeatureKey, KeyedImage};

use crate::config::{EditorConfig, Pair};
use crate::core::Core;
use crate::embed::Embedder;
use crate::error::EditorError;
use crate::paraphrase::paraphrases;
use crate::pictures::{DecodedPicture, blocking};

/// A pair that becomes a member: part of the picture, text that is embedded, sentence that is stored.
struct Pairing {
    kind: EntryKind,
    statement: Option<u32>,
    area: Option<PixelBox>,
    sentence: String,
}

impl Pairing {
    /// The text that is embedded: an answer is found by its question, a statement by itself.
    fn text<'a>(&'a self, record: &'a EditRecord) -> &'a str {
        match self.kind {
            EntryKind::Answer => &record.question,
            EntryKind::Statement => &self.sentence,
        }
    }
}

/// Makes the members of edits with one embedding.
pub(crate) struct EntryMaker<'a> {
    pub(crate) core: &'a Core,
    pub(crate) embedder: &'a Embedder,
    pub(crate) options: CallOptions,
}

impl EntryMaker<'_> {
    /// Members of an edit whose evidence is known, in order, and the milliseconds their pictures waited for
    /// the engine.
    pub(crate) async fn members(
        &self,
        record: &EditRecord,
        picture: &DecodedPicture,
    ) -> Result<(Vec<Member>, f64), EditorError> {
        self.embed(record, picture, pairings(self.core.config(), record)).await
    }

    /// The stored members of an edit with new keys and radii: the same pairs, made with another embedding.
    pub(crate) async fn again(
        &self,
        record: &EditRecord,
        picture: &DecodedPicture,
        stored: &[Arc<Member>],
    ) -> Result<Vec<Member>, EditorError> {
        let pairing = |member: &Arc<Member>| Pairing {
            kind: member.kind,
            statement: member.statement,
            area: member.area,
            sentence: member.sentence.clone(),
        };
        Ok(self.embed(record, picture, stored.iter().map(pairing).collect()).await?.0)
    }

    /// Embeds pairs and their augmentations.
    async fn embed(
        &self,
        record: &EditRecord,
        picture: &DecodedPicture,
        pairings: Vec<Pairing>,
    ) -> Result<(Vec<Member>, f64), EditorError> {
        let (engine, config) = (self.core.engine(), self.core.config());
        // Whatever the picture was looked at by: keys of one generation are of pixels of one kind.
        let picture = &self.core.pictures().under(picture, self.embedder.pixels()).await?;
        let texts = distinct(pairings.iter().map(|p| p.text(record).to_owned()));
        let areas: Vec<Option<PixelBox>> = distinct(pairings.iter().map(|p| p.area));

        let mut inputs: Vec<KeyedImage> = areas.iter().map(|area| picture.input(*area)).collect();
        let seeds = EditSeeds { rules: self.embedder.rules().seeds, edit: record.id };
        inputs.extend(augmented_inputs(self.core, seeds, picture, &areas).await?);

        let all_texts = async {
            let (radius, prompts) = (&config.radius, &config.prompts);
            let writer = self.core.paraphraser();
            let seed = |index: usize, draw: usize| {
                seeds.paraphrase(&texts[index], index * radius.pairs + draw, draw)
            };
            let rewritten =
                paraphrases(writer, radius, prompts, &texts, radius.pairs, seed, self.options).await?;
            Ok(texts.iter().cloned().chain(rewritten.into_iter().flatten()).collect())
        };

        // Of every pairing: itself, then its augmentations.
        let draws = config.radius.pairs;
        let combined: Vec<(usize, usize)> = pairings
            .iter()
            .flat_map(|pairing| {
                let area = areas.iter().position(|a| *a == pairing.area).unwrap_or(0);
                let text = texts.iter().position(|t| t == pairing.text(record)).unwrap_or(0);
                let (image_of, text_of) = (areas.len() + area * draws, texts.len() + text * draws);
                let augmented = (0..draws).map(move |draw| (image_of + draw, text_of + draw));
                std::iter::once((area, text)).chain(augmented)
            })
            .collect();
        let (keys, queue_ms) = self.embedder.keys(engine, inputs, all_texts, &combined, self.options).await?;
        let mut keys = keys.into_iter();

        let member = |(ordinal, pairing): (usize, Pairing)| {
            let key = keys.next().unwrap_or_default();
            let distances =
                keys.by_ref().take(draws).map(|augmented| augmentation_distance(&augmented, &key));
            let radius = median_radius(distances.collect()) as f32;
            Member {
                id: MemberId::derive(record.id, ordinal as u32),
                edit: record.id,
                ordinal: ordinal as u32,
                kind: pairing.kind,
                statement: pairing.statement,
                image: record.image.id,
                area: pairing.area,
                sentence: pairing.sentence,
                radius,
                key,
            }
        };
        Ok((pairings.into_iter().enumerate().map(member).collect(), queue_ms))
    }
}

/// The pairs to store: the answer on the whole picture, then each statement on the picture and its evidence.
fn pairings(config: &EditorConfig, record: &EditRecord) -> Vec<Pairing> {
    let mut pairings = vec![Pairing {
        kind: EntryKind::Answer,
        statement: None,
        area: None,
        sentence: config.prompts.answer_entry(&record.question, &record.answer),
    }];
    for (index, statement) in record.reasoning.iter().enumerate() {
        let patches = distinct(statement.evidence.iter().map(|e| e.area));
        let whole = match config.entries.pair {
            Pair::Both | Pair::Image => true,
            Pair::Patch => patches.is_empty(),
        };
        let patches = if config.entries.pair == Pair::Image { Vec::new() } else { patches };
        for area in whole.then_some(None).into_iter().chain(patches.into_iter().map(Some)) {
            pairings.push(Pairing {
                kind: EntryKind::Statement,
                statement: Some(index as u32),
                area,
                sentence: statement.statement.clone(),
            });
        }
    }
    pairings
}

/// Augmented pictures of every area, `pairs` each, area by area.
async fn augmented_inputs(
    core: &Core,
    seeds: EditSeeds,
    picture: &DecodedPicture,
    areas: &[Option<PixelBox>],
) -> Result<Vec<KeyedImage>, EditorError> {
    let radius = &core.config().radius;
    let (pairs, settings, limit) = (radius.pairs, radius.augment.clone(), radius.augment_pixels);
    let (backgrounds, pixels, id) =
        (Arc::clone(core.backgrounds(picture.rules)), Arc::clone(&picture.pixels), picture.key());
    let areas = areas.to_vec();
    blocking(move || {
        let mut inputs = Vec::with_capacity(areas.len() * pairs);
        for (index, area) in areas.iter().enumerate() {
            let part = match area {
                Some(area) => bounded(crop(&pixels, *area)?, limit),
                None => bounded(pixels.as_ref().clone(), limit),
            };
            for draw in 0..pairs {
                let seed = seeds.augmentation(&id, *area, index * pairs + draw, draw);
                let augmented = augment(&part, &settings, &backgrounds, seed);
                let mut identity = blake3::Hasher::new();
                identity.update(b"augmented").update(&id).update(&seed.to_le_bytes());
                let key = FeatureKey { image: *identity.finalize().as_bytes(), area: None };
                inputs.push(KeyedImage { key, picture: Arc::new(augmented) });
            }
        }
        Ok(inputs)
    })
    .await
}

/// The picture scaled down to at most `limit` pixels, its shape kept.
pub(crate) fn bounded(picture: RgbImage, limit: u32) -> RgbImage {
    let (width, height) = picture.dimensions();
    let scale = (f64::from(limit.max(1)) / (f64::from(width) * f64::from(height))).sqrt();
    if scale >= 1.0 {
        return picture;
    }
    let side = |length: u32| ((f64::from(length) * scale) as u32).max(1);
    resize(&picture, side(width), side(height), Filter::Bilinear)
}

/// How far an augmentation lies from the key of its entry. Not `geometry::distance` of the codebook: there
/// differences are taken in f64 and added in lanes, here in f32 and one after the other, and stored radii
/// have the bits of this.
fn augmentation_distance(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(x, y)| f64::from(x - y).powi(2)).sum::<f64>().sqrt()
}

/// The radius of an entry by the distances of its augmentations: their median, 0 of none. Between two it is
/// their midpoint, whose bits stored radii have; a percentile that interpolates rounds otherwise.
fn median_radius(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        n if n % 2 == 1 => values[n / 2],
        n => f64::midpoint(values[n / 2 - 1], values[n / 2]),
    }
}

/// The different values in the order they first appear.
fn distinct<T: Clone + Eq + Hash>(values: impl Iterator<Item = T>) -> Vec<T> {
    let mut seen = HashSet::new();
    values.filter(|v| seen.insert(v.clone())).collect()
}

#[cfg(test)]
mod tests;
