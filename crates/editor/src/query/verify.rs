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

use reasonedit_codebook::{EditId, EditRecord, EntryKind, Fact, ImageId, Retrieval, Snapshot, Statement};
use reasonedit_text::canonical;

use crate::config::VerifyConfig;
use crate::error::EditorError;
use crate::pictures::Picture;
use crate::types::{Verification, Withheld, WithheldReason};
use crate::visual_entailment::EntailmentJudge;

/// Edits that one sentence is judged by at most: the same sentence may come from many.
const EDITS: usize = 4;
/// Judges the facts of a retrieval on the query's picture: leaves in it those that are borne out, of the
/// nearest `k` keys, and tells about the others. Returns also the milliseconds that the questions waited for
/// the engine.
pub(crate) async fn withhold(
    judge: EntailmentJudge<'_>,
    config: &VerifyConfig,
    (snapshot, picture): (&Snapshot, &Picture),
    retrieval: &mut Retrieval,
    k: usize,
) -> Result<(Verification, f64), EditorError> {
    let mut candidates = std::mem::take(&mut retrieval.facts);
    let mut edits = HashMap::new();
    for id in candidates.iter().flat_map(|fact| &fact.edit_ids) {
        if let Some(record) = snapshot.edit(*id) {
            edits.insert(*id, record.as_ref());
        }
    }
    let verifier = Verifier { config, edits, picture: picture.id };
    let questions = verifier.questions(&mut candidates);
    let (answers, queue_ms) = judge.row(picture.input(None), &questions).await?;
    let judged = questions.into_iter().zip(answers).filter_map(|(question, p)| Some((question, p?)));
    let judged: HashMap<&str, f64> = judged.collect();
    let (facts, verification) = verifier.decide(candidates, &judged, k);
    retrieval.facts = facts;
    Ok((verification, queue_ms))
}

/// The edits that facts come from, and the picture that they are held against.
struct Verifier<'a> {
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

impl<'a> Verifier<'a> {
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
