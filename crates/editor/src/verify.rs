//! Verified retrieval: what was retrieved is put in front only where the model, asked about the query's
//! picture, bears it out (beyond the paper).
//!
//! Nearness can't tell "the same question on a picture for which the reasoning holds" from "the same question
//! on another picture". The model can: asked whether the picture shows a statement, it is right far more
//! often than on the question that had to be corrected. So every statement is judged on the query's picture,
//! an answer by the statements of its edit, and what fails is withheld and said to be.
//!
//! What can't be judged by a picture is not. A statement that the model did not recognise on its own edit's
//! picture goes with its edit. So does a yes to what the model affirms of pictures without content too
//! (general knowledge, what it can't see); a no to it counts. An edit of which nothing is left to judge
//! speaks within a multiple of its radius. The edit of this very picture needs no judgement.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock};

use reasonedit_codebook::{EditId, EditRecord, EntryKind, Fact, ImageId, Retrieval, Snapshot, Statement};
use reasonedit_imaging::augment::textures;
use reasonedit_imaging::{PixelBox, PixelRules, RgbImage};
use reasonedit_text::canonical;
use reasonedit_vlm::engine::{Ask, CallOptions, EngineHandle, FeatureKey, ImageInput, Want};

use crate::Editor;
use crate::config::VerifyConfig;
use crate::context::askable;
use crate::error::{EditorError, FieldError};
use crate::patchify::{p_yes, unexpected};
use crate::pictures::Picture;
use crate::prompts::Prompts;
use crate::types::{CallContext, ImageSource, Verification, Withheld, WithheldReason};
use crate::validate::inside;

/// Edits that one sentence is judged by at most: the same sentence may come from many.
const EDITS: usize = 4;
/// Side of a picture without content, in pixels.
const SIDE: u32 = 256;
/// Textures among them.
const TEXTURES: u32 = 2;

/// Judges the facts of a retrieval on the query's picture: leaves in it those that are borne out, of the
/// nearest `k` keys, and tells about the others. Returns also the milliseconds that the questions waited for
/// the engine.
pub(crate) async fn judge(
    engine: &EngineHandle,
    (config, prompts): (&VerifyConfig, &Prompts),
    (snapshot, picture): (&Snapshot, &Picture),
    retrieval: &mut Retrieval,
    k: usize,
    options: CallOptions,
) -> Result<(Verification, f64), EditorError> {
    let mut candidates = std::mem::take(&mut retrieval.facts);
    let mut edits = HashMap::new();
    for id in candidates.iter().flat_map(|fact| &fact.edit_ids) {
        if let Some(record) = snapshot.edit(*id) {
            edits.insert(*id, record.as_ref());
        }
    }
    let bench = Bench { config, edits, picture: picture.id };
    let questions = bench.questions(&mut candidates);
    let (answers, queue_ms) = shown(engine, prompts, picture.input(None), &questions, options).await?;
    let judged = questions.into_iter().zip(answers).filter_map(|(question, p)| Some((question, p?)));
    let judged: HashMap<&str, f64> = judged.collect();
    let (facts, verification) = bench.decide(candidates, &judged, k);
    retrieval.facts = facts;
    Ok((verification, queue_ms))
}

/// Probability, by the unedited model, that each picture shows each statement (method section 1.3): a row for
/// every picture; `None` for a statement that the model's context has no room for. Then the milliseconds
/// waited.
async fn shown_by(
    engine: &EngineHandle,
    prompts: &Prompts,
    images: Vec<ImageInput>,
    statements: &[&str],
    options: CallOptions,
) -> Result<(Vec<Vec<Option<f64>>>, f64), EditorError> {
    if statements.is_empty() {
        return Ok((vec![Vec::new(); images.len()], 0.0));
    }
    let askable = askable(engine, prompts, &images, statements).await?;
    let asked: Vec<&str> = statements.iter().zip(&askable).filter(|(_, ok)| **ok).map(|(s, _)| *s).collect();
    let ask = |image: usize, statement: &&str| Ask {
        image,
        prompt: prompts.verify(statement),
        want: Want::FirstToken(vec![prompts.yes.clone(), prompts.no.clone()]),
    };
    let (pictures, ask) = (images.len(), &ask);
    let asks = (0..pictures).flat_map(|image| asked.iter().map(move |s| ask(image, s))).collect();
    let (answers, times) = engine.ask(images, asks, options).await?;
    let mut p = answers.iter().map(p_yes).collect::<Result<Vec<f64>, _>>()?.into_iter();
    let mut row = || askable.iter().map(|ok| if *ok { p.next() } else { None }).collect();
    Ok(((0..pictures).map(|_| row()).collect(), times.queue_ms))
}

/// As [`shown_by`], of one picture or a part of it.
pub(crate) async fn shown(
    engine: &EngineHandle,
    prompts: &Prompts,
    image: ImageInput,
    statements: &[&str],
    options: CallOptions,
) -> Result<(Vec<Option<f64>>, f64), EditorError> {
    let (rows, queue_ms) = shown_by(engine, prompts, vec![image], statements, options).await?;
    Ok((rows.into_iter().next().unwrap_or_default(), queue_ms))
}

/// What the model says of each statement whatever the picture: the mean over pictures without content, one
/// grey and some textures. (The idea is that of contextual calibration, Zhao et al. 2021.)
pub(crate) async fn priors(
    engine: &EngineHandle,
    prompts: &Prompts,
    statements: &[&str],
    options: CallOptions,
) -> Result<Vec<Option<f64>>, EditorError> {
    static PICTURES: LazyLock<Vec<ImageInput>> = LazyLock::new(|| {
        let grey = RgbImage::from_raw(SIDE, SIDE, vec![128; (SIDE * SIDE * 3) as usize]);
        let pictures = grey.into_iter().chain(textures(0, TEXTURES, SIDE));
        let input = |picture: RgbImage| ImageInput {
            key: FeatureKey { image: *blake3::hash(picture.as_raw()).as_bytes(), area: None },
            picture: Arc::new(picture),
        };
        pictures.map(input).collect()
    });
    let (rows, _) = shown_by(engine, prompts, PICTURES.clone(), statements, options).await?;
    let mean = |at: usize| {
        let of_all: Option<f64> = rows.iter().map(|row| row.get(at).copied().flatten()).sum();
        of_all.map(|sum| sum / rows.len().max(1) as f64)
    };
    Ok((0..statements.len()).map(mean).collect())
}

/// A statement that the model's context has no room for.
pub(crate) fn unaskable(pointer: impl Into<String>) -> FieldError {
    FieldError::new(pointer, "the statement is too long for the model to be asked about it with this picture")
}

impl Editor {
    /// Probability that a picture, or a part of it, shows a statement, by the unedited model; samples are
    /// read by today's rules.
    ///
    /// # Errors
    /// An unusable picture or box, a busy or failing engine.
    pub async fn verify_statement(
        &self,
        image: ImageSource,
        area: Option<PixelBox>,
        statement: &str,
        call: CallContext,
    ) -> Result<f64, EditorError> {
        let picture = self.pictures().resolve(&image, PixelRules::CURRENT).await?;
        let (width, height) = picture.pixels.dimensions();
        if area.is_some_and(|a| !inside(&a, width, height)) {
            return Err(EditorError::Invalid(vec![FieldError::new(
                "/crop",
                "the box is not inside the picture",
            )]));
        }
        let (prompts, image) = (&self.config().prompts, picture.input(area));
        let (p, _) = shown(self.engine(), prompts, image, &[statement], call.options()).await?;
        match p.first() {
            Some(Some(p)) => Ok(*p),
            Some(None) => Err(EditorError::Invalid(vec![unaskable("/statement")])),
            None => Err(unexpected()),
        }
    }
}

/// The edits that facts come from, and the picture that they are held against.
struct Bench<'a> {
    config: &'a VerifyConfig,
    edits: HashMap<EditId, &'a EditRecord>,
    picture: ImageId,
}

/// How well the picture bears a fact out.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Support {
    /// It was said of this very picture.
    Own,
    /// Probability that the picture shows it.
    Shown(f64),
    /// Mean of these probabilities over the statements of its edit.
    Edit(f64),
    /// Nothing that it rests on can be judged.
    Unknown,
}

impl<'a> Bench<'a> {
    /// The statements to ask about, those of the nearest facts first, as many as the configuration allows.
    /// The fact for which there is no room, and those behind it, are candidates no longer: what isn't asked
    /// about must not be taken for what can't be judged.
    fn questions(&self, candidates: &mut Vec<Fact>) -> Vec<&'a str> {
        let mut questions = Vec::new();
        let mut room = 0;
        for fact in candidates.iter() {
            let own = self.own_ground(fact);
            let telling = own.is_some_and(|ground| !self.affirmed_anyway(ground));
            let of_edits = if telling { Vec::new() } else { self.grounds(fact).concat() };
            let mut new: Vec<&str> = Vec::new();
            if !self.is_own(fact) {
                let texts = own.into_iter().chain(of_edits).map(|ground| ground.statement.as_str());
                for text in texts.filter(|text| !questions.contains(text)) {
                    if !new.contains(&text) {
                        new.push(text);
                    }
                }
            }
            // The nearest fact is judged by as many of its statements as there is room for.
            new.truncate(if room == 0 { self.config.statements } else { new.len() });
            if questions.len() + new.len() > self.config.statements {
                break;
            }
            questions.append(&mut new);
            room += 1;
        }
        candidates.truncate(room);
        questions
    }

    fn records(&self, fact: &Fact) -> impl Iterator<Item = &'a EditRecord> {
        fact.edit_ids.iter().filter_map(|id| self.edits.get(id).copied())
    }

    fn is_own(&self, fact: &Fact) -> bool {
        self.records(fact).any(|record| record.image.id == self.picture)
    }

    /// Whether the model, which affirmed it of its own picture, affirms it of a picture without content too.
    fn affirmed_anyway(&self, ground: &Statement) -> bool {
        ground.prior.is_some_and(|p| p > self.config.min_support)
    }

    /// For each of a fact's edits the statements that the model recognised on its picture: what the edit
    /// stands or falls with.
    fn grounds(&self, fact: &Fact) -> Vec<Vec<&'a Statement>> {
        let recognised = |s: &&Statement| s.p_yes.is_none_or(|p| p > self.config.min_support);
        self.records(fact)
            .take(EDITS)
            .map(|record| record.reasoning.iter().filter(recognised).collect())
            .collect()
    }

    /// A statement's own place among them.
    fn own_ground(&self, fact: &Fact) -> Option<&'a Statement> {
        let of_kind = fact.kind == EntryKind::Statement;
        self.grounds(fact).concat().into_iter().find(|ground| of_kind && ground.statement == fact.value)
    }

    /// What the picture says of a statement: nothing, where the model was not asked, or says yes to what it
    /// says yes to anyway.
    fn verdict(&self, ground: &Statement, judged: &HashMap<&str, f64>) -> Option<f64> {
        let p = judged.get(ground.statement.as_str()).copied()?;
        (p <= self.config.min_support || !self.affirmed_anyway(ground)).then_some(p)
    }

    /// How well the picture bears a fact out: a statement by itself, else by the best of its edits.
    fn support(&self, fact: &Fact, judged: &HashMap<&str, f64>) -> Support {
        if self.is_own(fact) {
            return Support::Own;
        }
        if let Some(p) = self.own_ground(fact).and_then(|ground| self.verdict(ground, judged)) {
            return Support::Shown(p);
        }
        let means = self.grounds(fact).into_iter().filter_map(|grounds| {
            let known: Vec<f64> = grounds.iter().filter_map(|ground| self.verdict(ground, judged)).collect();
            (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
        });
        means.max_by(f64::total_cmp).map_or(Support::Unknown, Support::Edit)
    }

    /// Splits the candidates into those put in front and those withheld.
    fn decide(
        &self,
        candidates: Vec<Fact>,
        judged: &HashMap<&str, f64>,
        k: usize,
    ) -> (Vec<Fact>, Verification) {
        let mut verification = Verification::default();
        let mut kept: Vec<(Fact, Support)> = Vec::new();
        for fact in candidates {
            let support = self.support(&fact, judged);
            if let Support::Shown(p) | Support::Edit(p) = support {
                verification.support.insert(fact.value.clone(), p);
            }
            let within = |most: f64| fact.reach.is_some_and(|reach| reach <= most);
            let reason = match support {
                Support::Shown(p) if p <= self.config.min_support => Some(WithheldReason::NotShown),
                Support::Edit(p) if p <= self.config.min_edit_support => Some(WithheldReason::NotShown),
                Support::Own | Support::Shown(_) | Support::Edit(_) => None,
                Support::Unknown if within(self.config.unjudged_reach) => None,
                Support::Unknown => Some(WithheldReason::OutOfReach),
            };
            match reason {
                Some(reason) => verification.withheld.push(Withheld { fact, reason }),
                None => kept.push((fact, support)),
            }
        }
        let contradicted = self.contradicted(&kept);
        let mut keys: Vec<_> = Vec::new();
        let mut facts = Vec::new();
        for (index, (fact, _)) in kept.into_iter().enumerate() {
            if contradicted.contains(&index) {
                verification.withheld.push(Withheld { fact, reason: WithheldReason::Contradicted });
                continue;
            }
            if !keys.contains(&fact.entry_id) {
                if keys.len() == k {
                    continue;
                }
                keys.push(fact.entry_id);
            }
            facts.push(fact);
        }
        (facts, verification)
    }

    /// Of answers to one question that differ, all but the one that is borne out best (the nearest of
    /// equals).
    fn contradicted(&self, kept: &[(Fact, Support)]) -> Vec<usize> {
        let weight = |support: Support| match support {
            Support::Own => f64::INFINITY,
            Support::Shown(p) | Support::Edit(p) => p,
            Support::Unknown => 0.0,
        };
        let mut best: BTreeMap<String, (usize, Cow<'_, str>, f64)> = BTreeMap::new();
        let mut losers = Vec::new();
        for (index, (fact, support)) in
            kept.iter().enumerate().filter(|(_, (f, _))| f.kind == EntryKind::Answer)
        {
            let Some(record) = self.records(fact).next() else { continue };
            let question = canonical(&record.question).to_lowercase();
            let own = (index, canonical(&record.answer), weight(*support));
            match best.get_mut(&question) {
                None => {
                    best.insert(question, own);
                }
                Some(other) if other.1 == own.1 => {}
                Some(other) if own.2 > other.2 => {
                    losers.push(other.0);
                    *other = own;
                }
                Some(_) => losers.push(index),
            }
        }
        losers
    }
}

#[cfg(test)]
mod tests;
