//! Which of several answers to one question fits the asked picture: gathers what
//! `reasonedit_verification::verdict` decides by, from the model and from the pictures, and remembers what
//! doesn't change.

use std::collections::HashMap;
use std::sync::Arc;

use reasonedit_codebook::{EditId, EditRecord, Snapshot};
use reasonedit_contradiction::{Axis, Reading};
use reasonedit_imaging::PixelBox;
use reasonedit_inference::{Pooling, TapName, TapStage};
use reasonedit_relevance::{dot, unit};
use reasonedit_text::canonical;
use reasonedit_verification::{Apart, Contender, Dispute, Grounds, Judged, Verdict, undecided, verdict};

use super::relevance::Looks;
use super::remembered::{Views, remember};
use crate::core::Core;
use crate::error::EditorError;
use crate::pictures::DecodedPicture;
use crate::types::ImageSource;

/// Statements of each of two edits that the model is asked about at most, to tell them apart.
const STATEMENTS: usize = 4;
/// Log-odds are of probabilities between this and one minus this.
const LEAST: f64 = 1e-6;

/// Tells edits of a state of a codebook apart.
pub(crate) struct TellingApart<'a> {
    pub(super) core: &'a Core,
    pub(super) looks: Looks<'a>,
    pub(super) snapshot: &'a Arc<Snapshot>,
}

impl TellingApart<'_> {
    /// Numbers for the questions of edits, the same for those that ask the same: by their text, or by a
    /// cosine of their embeddings from `least` on unless they differ in a detail.
    ///
    /// # Errors
    /// A busy or failing engine.
    pub(crate) async fn same_questions(
        &self,
        edits: &[&EditRecord],
        least: f64,
    ) -> Result<HashMap<EditId, usize>, EditorError> {
        let mut texts: Vec<String> = edits.iter().map(|record| asked(record)).collect();
        texts.sort();
        texts.dedup();
        let mut names: Vec<usize> = (0..texts.len()).collect();
        if texts.len() > 1 {
            let meanings = self.meanings(&texts).await?;
            let readings: Vec<Reading> = texts.iter().map(|text| Reading::of(text)).collect();
            for at in 1..texts.len() {
                let alike = |other: &usize| {
                    dot(&meanings[at], &meanings[*other]) >= least as f32
                        && readings[at].differs_from(&readings[*other]).is_none()
                };
                if let Some(first) = (0..at).find(alike) {
                    names[at] = names[first];
                }
            }
        }
        let name =
            |record: &&EditRecord| texts.binary_search(&asked(record)).ok().map(|at| (record.id, names[at]));
        Ok(edits.iter().filter_map(name).collect())
    }

    async fn meanings(&self, texts: &[String]) -> Result<Vec<Arc<[f32]>>, EditorError> {
        let known = &self.core.remembered().questions;
        let missing: Vec<String> = {
            let known = known.lock();
            texts.iter().filter(|text| !known.contains_key(*text)).cloned().collect()
        };
        let mut found: HashMap<String, Arc<[f32]>> = HashMap::new();
        if !missing.is_empty() {
            let options = self.looks.judge.options;
            let (vectors, _) = self.core.engine().embed_sentences(missing.clone(), options).await?;
            found.extend(missing.into_iter().zip(vectors.into_iter().map(|vector| unit(&vector).into())));
            remember(known, found.clone());
        }
        let known = known.lock();
        let meaning = |text: &String| found.get(text).or_else(|| known.get(text)).cloned();
        let all: Vec<_> = texts.iter().filter_map(meaning).collect();
        if all.len() == texts.len() { Ok(all) } else { Err(EditorError::unexpected_answer()) }
    }

    /// The contender that stands on a picture; `None` where none can be told from the others.
    ///
    /// # Errors
    /// A busy or failing engine.
    pub(super) async fn standing<'d, 'a>(
        &self,
        dispute: &'d Dispute<'a>,
        picture: &DecodedPicture,
        judged: &Judged<'_>,
    ) -> Result<Option<&'d Contender<'a>>, EditorError> {
        let config = &self.core.config().retrieval.verify.disputes;
        let mut contenders = dispute.contenders.iter();
        let Some(mut stands) = contenders.next() else { return Ok(None) };
        let mut told = true;
        for other in contenders {
            if stands.stands_by_support(other, config) {
                continue;
            }
            let apart = self.compare((stands, other), picture, judged).await?;
            (stands, told) = match verdict(config, &apart) {
                Verdict::First => (stands, told),
                Verdict::Second => (other, true),
                Verdict::Neither => match undecided(config, stands, other) {
                    Some(one) => (one, told),
                    None => (stands, false),
                },
            };
        }
        Ok(Some(stands).filter(|_| told))
    }

    async fn compare(
        &self,
        (one, other): (&Contender<'_>, &Contender<'_>),
        picture: &DecodedPicture,
        judged: &Judged<'_>,
    ) -> Result<Apart, EditorError> {
        let axis = one.differs_from(other).and_then(|difference| difference.axis);
        let axis = axis.filter(|axis| *axis != Axis::Other);
        let pictures = [self.picture_of(one.record).await?, self.picture_of(other.record).await?];
        let [Some(first), Some(second)] = &pictures else { return Ok(Apart::default()) };
        let says = |one: &Contender<'_>, other: &Contender<'_>| -> Vec<String> {
            one.says_alone(other).into_iter().take(STATEMENTS).map(str::to_owned).collect()
        };
        let (ours, theirs) = (says(one, other), says(other, one));
        let mut log_odds = None;
        if !ours.is_empty() && !theirs.is_empty() {
            let mut sides = [0.0; 3];
            let mut all = true;
            for (side, shown) in sides.iter_mut().zip([first, second, picture]) {
                let said = self.said(shown, shown.id == picture.id, judged, (&ours, &theirs)).await?;
                all &= said.is_some();
                *side = said.unwrap_or_default();
            }
            log_odds = all.then_some(sides);
        }
        let mut distances = None;
        if let Some(tap) = self.tap() {
            let asked = self.views(picture, &tap, axis, false).await?;
            let first = distance(&asked, &self.views(first, &tap, axis, true).await?);
            let second = distance(&asked, &self.views(second, &tap, axis, true).await?);
            distances = Some([first, second]);
        }
        Ok(Apart { log_odds, distances })
    }

    /// Mean log-odds of some statements against that of others on a picture; `None` where the model can't be
    /// asked about all.
    async fn said(
        &self,
        shown: &DecodedPicture,
        is_asked: bool,
        judged: &Judged<'_>,
        (ours, theirs): (&[String], &[String]),
    ) -> Result<Option<f64>, EditorError> {
        let known = &self.core.remembered().opinions;
        let mut found: HashMap<&str, Option<f64>> = HashMap::new();
        {
            let known = known.lock();
            for text in ours.iter().chain(theirs) {
                let here = judged.get(text.as_str()).copied().filter(|_| is_asked);
                let p = here.or_else(|| known.get(&(shown.id, text.clone())).copied());
                found.extend(p.map(|p| (text.as_str(), p)));
            }
        }
        let missing: Vec<&str> =
            ours.iter().chain(theirs).map(String::as_str).filter(|text| !found.contains_key(text)).collect();
        if !missing.is_empty() {
            let (answers, _) = self.looks.judge.row(shown.input(None), &missing).await?;
            found.extend(missing.iter().copied().zip(answers));
            if !is_asked {
                let new = missing.iter().map(|text| ((shown.id, (*text).to_owned()), found[text]));
                remember(known, new);
            }
        }
        let mean = |texts: &[String]| {
            let all: Option<f64> =
                texts.iter().map(|text| found.get(text.as_str()).copied().flatten().map(log_odds)).sum();
            all.map(|sum| sum / texts.len() as f64)
        };
        Ok(mean(ours).zip(mean(theirs)).map(|(ours, theirs)| ours - theirs))
    }

    /// How much of what an edit rests on a picture shows: the mean of what the model says of its statements;
    /// `None` where it can't be judged.
    ///
    /// # Errors
    /// A busy or failing engine.
    pub(crate) async fn support(
        &self,
        grounds: &Grounds<'_>,
        shown: &DecodedPicture,
    ) -> Result<Option<f64>, EditorError> {
        let texts: Vec<&str> = grounds.statements.iter().map(|ground| ground.text).collect();
        if texts.is_empty() {
            return Ok(None);
        }
        let (answers, _) = self.looks.judge.row(shown.input(None), &texts).await?;
        let judged: Judged<'_> = texts.into_iter().zip(answers).collect();
        Ok(grounds.mean(&judged))
    }

    /// The picture of an edit; `None` where it isn't there any more.
    pub(crate) async fn picture_of(
        &self,
        record: &EditRecord,
    ) -> Result<Option<DecodedPicture>, EditorError> {
        let (looks, id) = (self.looks, record.image.id);
        match looks.tried.filter(|tried| tried.id == id) {
            Some(tried) => looks.pictures.under(tried, looks.rules).await.map(Some),
            None => match looks.pictures.resolve(&ImageSource::Known(id), looks.rules).await {
                Ok(picture) => Ok(Some(picture)),
                Err(error) if error.is_missing_picture() => Ok(None),
                Err(error) => Err(error),
            },
        }
    }

    /// Where pictures are compared: as the keys see them, or at the last tap that sees pictures alone.
    fn tap(&self) -> Option<TapName> {
        let taps = &self.core.model().taps;
        let own = self.snapshot.embedding().map(|embedding| TapName(embedding.tap.clone()));
        let of_pictures =
            |name: &TapName| taps.iter().any(|tap| tap.name == *name && tap.stage != TapStage::Language);
        let last = || taps.iter().rev().find(|tap| tap.stage == TapStage::Vision);
        own.filter(of_pictures).or_else(|| last().map(|tap| tap.name.clone()))
    }

    /// A picture, or both halves along an axis, as the model sees them.
    async fn views(
        &self,
        picture: &DecodedPicture,
        tap: &TapName,
        axis: Option<Axis>,
        keep: bool,
    ) -> Result<Views, EditorError> {
        let known = &self.core.remembered().views;
        let name = (picture.id, tap.clone(), axis);
        if let Some(views) = known.lock().get(&name) {
            return Ok(Arc::clone(views));
        }
        let areas = halves(picture.info().width, picture.info().height, axis);
        let images = areas.into_iter().map(|area| picture.input(area)).collect();
        let options = self.looks.judge.options;
        let engine = self.core.engine();
        let (vectors, _) = engine.embed_images(images, tap.clone(), Pooling::Mean, options).await?;
        let views = Arc::new(vectors.iter().map(|vector| unit(vector)).collect::<Vec<_>>());
        if keep {
            remember(known, [(name, Arc::clone(&views))]);
        }
        Ok(views)
    }
}

/// A question as it is compared.
fn asked(record: &EditRecord) -> String {
    let text = canonical(&record.question).to_lowercase();
    text.trim_end_matches(|c: char| c.is_ascii_punctuation() || c.is_whitespace()).to_owned()
}

/// The parts of a picture of this size that are compared: the whole, or the halves along an axis.
fn halves(width: u32, height: u32, axis: Option<Axis>) -> Vec<Option<PixelBox>> {
    let (columns, rows) = ((width / 2).max(1), (height / 2).max(1));
    let part = |x, y, width, height| Some(PixelBox { x, y, width, height });
    match axis {
        Some(Axis::Horizontal) if width > 1 => {
            vec![part(0, 0, columns, height), part(columns, 0, width - columns, height)]
        }
        Some(Axis::Vertical) if height > 1 => {
            vec![part(0, 0, width, rows), part(0, rows, width, height - rows)]
        }
        _ => vec![None],
    }
}

/// Mean cosine distance of parts (0 to 2).
fn distance(one: &[Vec<f32>], other: &[Vec<f32>]) -> f64 {
    let sum: f64 = one.iter().zip(other).map(|(a, b)| 1.0 - f64::from(dot(a, b))).sum();
    sum / one.len().max(1) as f64
}

fn log_odds(p: f64) -> f64 {
    let p = p.clamp(LEAST, 1.0 - LEAST);
    (p / (1.0 - p)).ln()
}
