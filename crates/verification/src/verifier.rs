//! Which retrieved sentences the asked picture bears out.

use std::collections::{BTreeSet, HashMap};

use reasonedit_codebook::{EditId, EntryKind, Fact, ImageId};
use reasonedit_editor_config::VerifyConfig;
use reasonedit_editor_types::{Verification, Withheld, WithheldReason};

use crate::claims::{self, Claim, Grounds, Judged, Source};
use crate::disputes::{self, Dispute, Settled};
use crate::questions::{self, Subject};
use crate::support::{Support, Word};

/// What was retrieved, by sentence, and the picture that it is held against.
pub struct Verifier<'a> {
    pub(crate) config: &'a VerifyConfig,
    /// As they were found, nearest first.
    candidates: Vec<Fact>,
    claims: Vec<Claim<'a>>,
    /// What the model can be asked about, nearest first.
    pub(crate) subjects: Vec<Subject<'a>>,
    picture: ImageId,
}

impl<'a> Verifier<'a> {
    /// For these candidates, each told of every key that holds it, and the edits that they are of, on a
    /// picture; `alone` says which sentences may be put in front without their edits.
    pub fn new(
        config: &'a VerifyConfig,
        candidates: Vec<Fact>,
        (edits, alone): (&'a HashMap<EditId, Grounds<'a>>, impl Fn(&str) -> bool),
        picture: ImageId,
    ) -> Self {
        let claims = claims::claims(&candidates, edits, alone);
        let subjects = questions::subjects(&claims, picture);
        Self { config, candidates, claims, subjects, picture }
    }

    /// The next statements to ask the model about, given what it has said already; none: nothing is open.
    pub fn questions(&self, judged: &Judged<'a>) -> Vec<&'a str> {
        questions::next(self.config, &self.subjects, judged)
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
            || questions::is_nearest(&self.subjects, grounds)
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

    /// Questions that edits which hold on the picture answer in more than one way. An edit that the model
    /// says a weak yes to is heard too where it differs from another in a detail which models overlook.
    /// `same` names questions that are one: edits whose questions have the same name are held against each
    /// other.
    pub fn disputes(&self, judged: &Judged<'a>, same: &HashMap<EditId, usize>) -> Vec<Dispute<'a>> {
        let answers = self.claims.iter().filter(|claim| claim.kind == EntryKind::Answer);
        let mut words: Vec<Word<'a>> = answers.flat_map(|claim| self.words(claim, judged)).collect();
        words.sort_by_key(|(source, _)| source.at);
        let (holding, refused) = words.into_iter().partition(|word| self.holds(word));
        disputes::among((holding, refused), same, self.config)
    }

    /// Splits what was found into that which is put in front, of the nearest `k` keys, each once and told of
    /// the edits that bear it out, and that which is withheld.
    pub fn decide(&self, judged: &Judged<'a>, settled: &Settled, k: usize) -> (Vec<Fact>, Verification) {
        let mut verification = Verification::default();
        let mut staying_facts: Vec<(usize, Fact)> = Vec::new();
        for claim in &self.claims {
            let words = self.words(claim, judged);
            let holds = |word: &Word<'a>| self.holds(word) || settled.restores(claim, word.0.grounds);
            let holding: Vec<Word<'a>> = words.iter().copied().filter(holds).collect();
            let heard = if holding.is_empty() { &words } else { &holding };
            let support = probability(heard);
            verification.support.extend(support.map(|p| (claim.value.clone(), p)));
            let outcome = |(source, _): &Word<'a>| settled.against(claim, source.grounds);
            let staying: Vec<Word<'a>> =
                holding.iter().copied().filter(|word| outcome(word).is_none()).collect();
            if !staying.is_empty() {
                staying_facts.push(self.told(&staying));
                continue;
            }
            let unseen =
                if support.is_some() { WithheldReason::NotShown } else { WithheldReason::OutOfReach };
            let reason = holding.iter().find_map(outcome).unwrap_or(unseen);
            if !heard.is_empty() {
                verification.withheld.push(Withheld { fact: self.told(heard).1, reason });
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

#[cfg(test)]
mod tests;
