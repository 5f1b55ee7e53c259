//! Verified retrieval: what was retrieved is put in front only where the model, asked about the query's
//! picture, bears it out (beyond the paper).
//!
//! Nearness can't tell "the same question on a picture for which the reasoning holds" from "the same question
//! on another picture". The model can: asked whether the picture shows a statement, it is right far more
//! often than on the question that had to be corrected. So every statement is judged on the query's picture,
//! an answer by the statements of its edit, and what fails is withheld and said to be.
//!
//! What several edits say is judged by the reasons of each of them, and stands if those of one hold: another
//! edit that happens to be nearer changes nothing. It is told of those alone that bear it out.
//!
//! What can't be judged by a picture is not. A statement that the model did not recognise on its own edit's
//! picture goes with its edit; if it saw something of it there, the edit is judged by how much less of it the
//! asked picture shows. So does a yes to what the model affirms of pictures without content too (general
//! knowledge, what it can't see); a no to it counts. An edit of which nothing is left to judge speaks within
//! a multiple of its radius. The edit of this very picture needs no judgement.

pub(super) mod claims;
mod questions;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use reasonedit_codebook::{EditId, EntryKind, Fact, ImageId, Relevant, Retrieval, Snapshot};

use crate::config::VerifyConfig;
use crate::error::EditorError;
use crate::pictures::Picture;
use crate::types::{Verification, Withheld, WithheldReason};
use crate::visual_entailment::EntailmentJudge;

use claims::{Claim, Grounds, Judged, Source};
use questions::Subject;

/// Times that the model is asked at most: where there is no room for all statements, the second time only
/// about edits that the first has not refuted.
const ROUNDS: usize = 2;

/// Judges the facts of a retrieval, each told of every key that holds it, on the query's picture: leaves in
/// it those that are borne out, of the nearest `k` keys, each once and told of the edits that bear it out,
/// and tells about the others. Returns also the milliseconds that the questions waited for the engine.
pub(crate) async fn withhold(
    judge: EntailmentJudge<'_>,
    config: &VerifyConfig,
    (snapshot, picture): (&Snapshot, &Picture),
    relevant: Option<&Relevant>,
    retrieval: &mut Retrieval,
    k: usize,
) -> Result<(Verification, f64), EditorError> {
    let candidates = std::mem::take(&mut retrieval.facts);
    let mut edits = HashMap::new();
    for id in candidates.iter().flat_map(|fact| &fact.edit_ids) {
        if let Some(record) = snapshot.edit(*id) {
            edits.insert(*id, Grounds::new(record.as_ref(), config.min_support));
        }
    }
    let alone = |sentence: &str| relevant.is_none_or(|r| r.statements.contains_key(sentence));
    let verifier = Verifier::new(config, candidates, (&edits, alone), picture.id);
    let (mut judged, mut queue_ms) = (Judged::new(), 0.0);
    for _ in 0..ROUNDS {
        let questions = verifier.questions(&judged);
        if questions.is_empty() {
            break;
        }
        let (answers, waited) = judge.row(picture.input(None), &questions).await?;
        judged.extend(questions.into_iter().zip(answers));
        queue_ms += waited;
    }
    let (mut facts, verification) = verifier.decide(&judged, k);
    for fact in &mut facts {
        let first = fact.edit_ids.first();
        if let Some((image, area)) =
            first.and_then(|edit| snapshot.said_at(*edit, fact.entry_id, &fact.value))
        {
            (fact.image_id, fact.evidence) = (image, area);
        }
    }
    retrieval.facts = facts;
    Ok((verification, queue_ms))
}

/// What was retrieved, by sentence, and the picture that it is held against.
struct Verifier<'a> {
    config: &'a VerifyConfig,
    /// As they were found, nearest first.
    candidates: Vec<Fact>,
    claims: Vec<Claim<'a>>,
    /// What the model can be asked about, nearest first.
    subjects: Vec<Subject<'a>>,
    picture: ImageId,
}

/// How well the picture bears a sentence out, by the word of one edit.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Support {
    /// It was said of this very picture.
    Own,
    /// Probability that the picture shows it.
    Shown(f64),
    /// Mean of these probabilities over the statements of the edit.
    Edit(f64),
    /// Nothing that it rests on can be judged.
    Unknown,
}

impl Support {
    /// To compare with others.
    fn weight(self) -> f64 {
        match self {
            Self::Own => f64::INFINITY,
            Self::Shown(p) | Self::Edit(p) => p,
            Self::Unknown => 0.0,
        }
    }

    fn probability(self) -> Option<f64> {
        match self {
            Self::Shown(p) | Self::Edit(p) => Some(p),
            Self::Own | Self::Unknown => None,
        }
    }
}

/// An edit that says a sentence, and how well the picture bears it out by that.
type Word<'a> = (Source<'a>, Support);

impl<'a> Verifier<'a> {
    fn new(
        config: &'a VerifyConfig,
        candidates: Vec<Fact>,
        (edits, alone): (&'a HashMap<EditId, Grounds<'a>>, impl Fn(&str) -> bool),
        picture: ImageId,
    ) -> Self {
        let claims = claims::claims(&candidates, edits, alone);
        let subjects = questions::subjects(&claims, picture);
        Self { config, candidates, claims, subjects, picture }
    }

    /// What every edit that says a sentence makes of it: a statement stands for itself, else its edits stand
    /// for it. One that has nothing to do with the question but that its edit's is alike stands where both
    /// do: true or not, without its edit it is beside the point. Edits that were not asked about for want of
    /// room have no word. On a picture of its own edit that edit alone speaks.
    fn words(&self, claim: &Claim<'a>, judged: &Judged<'a>) -> Vec<Word<'a>> {
        let own = claim.sources.iter().filter(|source| source.grounds.record.image.id == self.picture);
        let own: Vec<Word<'a>> = own.map(|source| (*source, Support::Own)).collect();
        if !own.is_empty() {
            return own;
        }
        if let Some(ground) = claim.ground {
            if let Some(p) = ground.verdict(judged) {
                let shown = |source: &Source<'a>| {
                    let of_edit = !claim.alone && p > self.config.min_support;
                    let word = if of_edit { self.word(source.grounds, judged)? } else { Support::Shown(p) };
                    Some((*source, word))
                };
                return claim.sources.iter().filter_map(shown).collect();
            }
            if ground.telling() && !judged.contains_key(ground.text) {
                return Vec::new();
            }
        }
        let word = |source: &Source<'a>| Some((*source, self.word(source.grounds, judged)?));
        claim.sources.iter().filter_map(word).collect()
    }

    /// An edit by the statements that it rests on; `None` if there was no room to ask about them.
    fn word(&self, grounds: &Grounds<'_>, judged: &Judged<'a>) -> Option<Support> {
        let settled = grounds.all_asked(judged)
            || self.is_nearest(grounds)
            || grounds.is_refuted(judged, self.config.min_edit_support);
        settled.then(|| grounds.mean(judged).map_or(Support::Unknown, Support::Edit))
    }

    /// Whether the picture bears a sentence out by an edit's word.
    fn holds(&self, (source, support): &Word<'_>) -> bool {
        let within = |most: f64| self.candidates[source.at].reach.is_some_and(|reach| reach <= most);
        match support {
            Support::Own => true,
            Support::Shown(p) => *p > self.config.min_support,
            Support::Edit(p) => *p > self.config.min_edit_support,
            Support::Unknown => within(self.config.unjudged_reach),
        }
    }

    /// Splits what was found into that which is put in front and that which is withheld.
    fn decide(&self, judged: &Judged<'a>, k: usize) -> (Vec<Fact>, Verification) {
        let mut verification = Verification::default();
        let mut kept: Vec<(&Claim<'a>, Vec<Word<'a>>)> = Vec::new();
        for claim in &self.claims {
            let words = self.words(claim, judged);
            let holding: Vec<Word<'a>> = words.iter().copied().filter(|word| self.holds(word)).collect();
            if !holding.is_empty() {
                kept.push((claim, holding));
            } else if !words.is_empty() {
                let support = probability(&words);
                let reason =
                    if support.is_some() { WithheldReason::NotShown } else { WithheldReason::OutOfReach };
                verification.support.extend(support.map(|p| (claim.value.clone(), p)));
                verification.withheld.push(Withheld { fact: self.told(&words).1, reason });
            }
        }
        let best = best_answers(&kept);
        let mut staying_facts: Vec<(usize, Fact)> = Vec::new();
        for (claim, words) in kept {
            verification.support.extend(probability(&words).map(|p| (claim.value.clone(), p)));
            let stays = |(source, _): &&Word<'a>| {
                let (question, answer) = source.grounds.answered();
                claim.kind != EntryKind::Answer || best.get(&question).is_none_or(|best| best.0 == answer)
            };
            let staying: Vec<Word<'a>> = words.iter().filter(stays).copied().collect();
            if staying.is_empty() {
                let reason = WithheldReason::Contradicted;
                verification.withheld.push(Withheld { fact: self.told(&words).1, reason });
            } else {
                staying_facts.push(self.told(&staying));
            }
        }
        // By the nearest edit that bears them out, so that one that does not has no say in the order either.
        staying_facts.sort_by_key(|(at, _)| *at);
        let mut keys = BTreeSet::new();
        let mut facts: Vec<Fact> = staying_facts.into_iter().map(|(_, fact)| fact).collect();
        facts.retain(|fact| keys.contains(&fact.entry_id) || (keys.len() < k && keys.insert(fact.entry_id)));
        (facts, verification)
    }

    /// A sentence as the nearest of these edits says it, told of them all, and the place of that candidate.
    fn told(&self, words: &[Word<'_>]) -> (usize, Fact) {
        let nearest = words.iter().map(|(source, _)| source.at).min().unwrap_or_default();
        let edit_ids = words.iter().map(|(source, _)| source.grounds.record.id).collect();
        (nearest, Fact { edit_ids, ..self.candidates[nearest].clone() })
    }
}

/// The greatest probability that an edit's word gives a sentence; `None` where nothing was judged.
fn probability(words: &[Word<'_>]) -> Option<f64> {
    words.iter().filter_map(|(_, support)| support.probability()).max_by(f64::total_cmp)
}

/// Of answers to one question the one that is borne out best (the nearest of equals), with its weight.
fn best_answers<'a>(kept: &[(&Claim<'a>, Vec<Word<'a>>)]) -> BTreeMap<String, (Cow<'a, str>, f64)> {
    let answers = kept.iter().filter(|(claim, _)| claim.kind == EntryKind::Answer);
    let mut words: Vec<&Word<'a>> = answers.flat_map(|(_, words)| words).collect();
    words.sort_by_key(|(source, _)| source.at);
    let mut best = BTreeMap::new();
    for (source, support) in words {
        let (question, answer) = source.grounds.answered();
        let weight = support.weight();
        let known: &mut (Cow<'a, str>, f64) =
            best.entry(question).or_insert_with(|| (answer.clone(), weight));
        if weight > known.1 {
            *known = (answer, weight);
        }
    }
    best
}

#[cfg(test)]
mod tests;
