//! Contexts exactly as the service builds them: the sentences of the nearest codebook entries, nearest first.

use super::{Context, Facts, Item, Meaning};
use crate::language::{SINGLE_REFERENCES, kind_question, perception, phrase_perception};
use crate::perception::{
    attribute_branch, count_branch, nameable, reference, unique_description, yes_no_branch,
};
use crate::random::{Random, RandomExt};
use crate::scene::{Attribute, Traits};
use crate::universe::{Chain, KnowledgeKind, Universe};
use crate::view::View;
use crate::vocabulary::Split;

/// Sentences of five keys, some of them merged.
const MOST_SENTENCES: usize = 9;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Case {
    /// The picture's own edit is among the neighbours.
    Same,
    /// Another edit, whose reasoning holds here too.
    Related,
    /// Edits of the same question whose reasoning does not hold here.
    Contrast,
    /// Edits about something else.
    Unrelated,
}

/// The sentences one edit has put in the codebook.
struct Edit {
    kind: KnowledgeKind,
    entry: Item,
    seen: Vec<Item>,
    rules: Vec<Item>,
}

impl Edit {
    fn new(
        kind: KnowledgeKind,
        chain: &Chain,
        question: &str,
        counts: bool,
        seen: Vec<Item>,
        rng: &mut Random,
    ) -> Self {
        Self {
            kind,
            entry: Item::entry(kind, question, &chain.answer, counts),
            seen,
            rules: chain.rules.iter().map(|rule| Item::rule(rule, rng)).collect(),
        }
    }
}

/// What is fixed while one context is made.
struct Setting<'a> {
    view: &'a View,
    index: usize,
    focus: Traits,
    judged: &'a [Attribute],
    universe: Universe,
}

impl Setting<'_> {
    /// Whether the conditions of a chain can be judged in this view.
    fn usable(&self, chain: &Chain) -> bool {
        chain.condition.terms().all(|(attribute, _)| self.judged.contains(&attribute))
    }

    /// What an edit of this very picture says it sees: "the thing …", or a description where there are
    /// several things.
    fn own_seen(&self, chain: &Chain, rng: &mut Random) -> Vec<Item> {
        let terms: Vec<_> = chain.condition.terms().collect();
        let mut items = Vec::new();
        for (attribute, value) in terms {
            let text = if self.view.single() {
                perception(rng.pick(&SINGLE_REFERENCES), attribute, value, rng)
            } else {
                let Some(described) = unique_description(self.view, self.index, &[attribute], rng) else {
                    continue;
                };
                phrase_perception(&described, attribute, value, rng)
            };
            items.push(Item { meaning: Meaning::Seen { holds: true }, text });
        }
        items
    }

    /// What an edit of another picture says it sees.
    fn other_seen(&self, chain: &Chain, traits: Traits, rng: &mut Random) -> Vec<Item> {
        chain
            .condition
            .terms()
            .map(|(attribute, value)| {
                let text = if rng.chance(0.85) {
                    perception(rng.pick(&SINGLE_REFERENCES), attribute, value, rng)
                } else {
                    let by = if attribute == Attribute::Shape { Attribute::Color } else { Attribute::Shape };
                    let described = crate::scene::Condition::of(&traits, &[by]);
                    phrase_perception(&described, attribute, value, rng)
                };
                Item { meaning: Meaning::Seen { holds: self.focus.get(attribute) == value }, text }
            })
            .collect()
    }

    /// An edit of another picture for which `chain` holds.
    fn elsewhere(
        &self,
        kind: KnowledgeKind,
        chain: &Chain,
        question: &str,
        counts: bool,
        rng: &mut Random,
    ) -> Edit {
        let base = if rng.chance(0.4) { self.focus } else { Traits::random(rng) };
        let traits = base.forced(&chain.condition);
        let seen = self.other_seen(chain, traits, rng);
        Edit::new(kind, chain, question, counts, seen, rng)
    }

    /// An exception of `kind` that does not hold for the focus, near misses first.
    fn inapplicable(&self, kind: KnowledgeKind, rng: &mut Random) -> Option<&Chain> {
        let chains: Vec<&Chain> = self
            .universe
            .exceptions(kind)
            .iter()
            .filter(|chain| self.usable(chain) && !chain.condition.holds(&self.focus))
            .collect();
        if chains.is_empty() {
            return None;
        }
        let weights: Vec<f64> = chains
            .iter()
            .map(|chain| if chain.condition.misses(&self.focus) == 1 { 3.0 } else { 1.0 })
            .collect();
        Some(chains[rng.weighted(&weights)])
    }

    /// Another edit of this universe whose reasoning does not hold here; of the asked kind and wording more
    /// often than not.
    fn distractor(&self, asked: KnowledgeKind, wording: &str, rng: &mut Random) -> Option<Edit> {
        let kind = if rng.chance(0.7) { asked } else { self.universe.draw_kind(rng) };
        let chain = self.inapplicable(kind, rng)?;
        let question = if kind == asked && rng.chance(0.65) {
            wording.to_owned()
        } else {
            kind_question(kind, rng.pick(&SINGLE_REFERENCES), rng)
        };
        Some(self.elsewhere(kind, chain, &question, false, rng))
    }
}

/// Some sentences of an edit that does not hold here. If its answer entry is among them, so is what gives it
/// away: a statement that is false here, or its rule.
fn given_away(edit: Edit, single: bool, rng: &mut Random) -> Vec<Item> {
    let mut items = Vec::new();
    let mut cues: Vec<Item> = edit.rules.first().cloned().into_iter().collect();
    let mut rest: Vec<Item> = edit.rules.into_iter().skip(1).collect();
    for item in edit.seen {
        if single && item.meaning == (Meaning::Seen { holds: false }) {
            cues.push(item);
        } else {
            rest.push(item);
        }
    }
    rng.mix(&mut cues);
    let with_entry = rng.chance(0.7);
    let cue_count = 1 + rng.below(2);
    items.extend(cues.into_iter().take(cue_count));
    if with_entry {
        items.push(edit.entry);
    }
    items.extend(rest.into_iter().filter(|_| rng.chance(0.35)));
    rng.mix(&mut items);
    items
}

/// One to three sentences of an edit that stands behind the right one. Statements that are false here are
/// left out unless `may_be_false`: a bare answer followed by a false statement would look like another
/// picture's answer.
fn trailing(edit: Edit, may_be_false: bool, rng: &mut Random) -> Vec<Item> {
    let mut items = edit.rules;
    items.extend(
        edit.seen.into_iter().filter(|item| may_be_false || item.meaning != (Meaning::Seen { holds: false })),
    );
    if rng.chance(0.65) {
        items.push(edit.entry);
    }
    rng.some(&items, 1, 3)
}

/// Own edit of the picture, then others.
fn same(
    setting: &Setting,
    kind: KnowledgeKind,
    chain: &Chain,
    wording: &str,
    asked: &str,
    rng: &mut Random,
) -> Vec<Vec<Item>> {
    let question = if rng.chance(0.6) { asked } else { wording };
    let seen = setting.own_seen(chain, rng);
    let edit = Edit::new(kind, chain, question, true, seen, rng);
    let mut statements: Vec<Item> = edit.seen.iter().chain(&edit.rules).cloned().collect();
    let mut own = Vec::new();
    if rng.chance(0.93) {
        own.push(edit.entry);
        statements = match rng.weighted(&[0.22, 0.48, 0.3]) {
            0 => Vec::new(),
            1 => rng.some(&statements, 1, statements.len().max(1)),
            _ => statements,
        };
    } else {
        statements = edit.rules;
        statements.extend(edit.seen.into_iter().filter(|_| rng.chance(0.5)));
    }
    let supported = statements.iter().any(|item| match &item.meaning {
        Meaning::Seen { .. } => true,
        Meaning::Rule(rule) => !matches!(rule, crate::universe::Rule::Fact { .. }),
        _ => false,
    });
    own.extend(statements);
    if rng.chance(0.35) {
        rng.mix(&mut own);
    }
    let mut groups = vec![own];
    for _ in 0..rng.weighted(&[0.2, 0.3, 0.3, 0.2]) {
        if let Some(edit) = setting.distractor(kind, wording, rng) {
            groups.push(trailing(edit, supported, rng));
        }
    }
    groups
}

/// An edit of another picture whose reasoning holds here, among others.
fn related(
    setting: &Setting,
    kind: KnowledgeKind,
    chain: &Chain,
    wording: &str,
    rng: &mut Random,
) -> Vec<Vec<Item>> {
    let single = setting.view.single();
    // An answer whose every observation is borne out by this picture counts here too, though no rule says so.
    let borne_out = single && rng.chance(0.15);
    let edit = setting.elsewhere(kind, chain, wording, borne_out, rng);
    let mut group = Vec::new();
    if borne_out {
        group.extend(edit.seen);
        group.push(edit.entry);
    } else {
        group.extend(edit.rules);
        group.extend(edit.seen.into_iter().filter(|_| rng.chance(0.5)));
        if rng.chance(0.45) {
            group.push(edit.entry);
        }
    }
    rng.mix(&mut group);
    let mut groups = vec![group];
    for _ in 0..rng.weighted(&[0.2, 0.3, 0.3, 0.2]) {
        if let Some(edit) = setting.distractor(kind, wording, rng) {
            // Other answers of the same question beside a borne-out one would leave it open which is meant.
            if borne_out && edit.kind == kind {
                continue;
            }
            groups.push(given_away(edit, single, rng));
        }
    }
    if rng.chance(0.3) {
        rng.mix(&mut groups);
    }
    groups
}

/// Edits of the asked question that do not hold here, others beside them.
fn contrast(
    setting: &Setting,
    kind: KnowledgeKind,
    wording: &str,
    rng: &mut Random,
) -> Option<Vec<Vec<Item>>> {
    let single = setting.view.single();
    let mut groups = Vec::new();
    for _ in 0..=rng.weighted(&[0.35, 0.35, 0.3]) {
        let chain = setting.inapplicable(kind, rng)?;
        let edit = setting.elsewhere(kind, chain, wording, false, rng);
        groups.push(given_away(edit, single, rng));
    }
    if rng.chance(0.4) {
        // The thing has a name, but nothing follows from it here.
        let named = setting.universe.exception(KnowledgeKind::Name, &setting.focus);
        if let Some(named) = named.filter(|named| kind != KnowledgeKind::Name && setting.usable(named)) {
            groups.push(named.rules.iter().map(|rule| Item::rule(rule, rng)).collect());
        }
    }
    if rng.chance(0.4)
        && let Some(edit) = setting.distractor(kind, wording, rng)
    {
        groups.push(given_away(edit, single, rng));
    }
    rng.mix(&mut groups);
    Some(groups)
}

/// Edits of any sort; nothing about them will be asked.
fn unrelated(setting: &Setting, rng: &mut Random) -> Vec<Vec<Item>> {
    let mut groups = Vec::new();
    for _ in 0..=rng.weighted(&[0.3, 0.4, 0.3]) {
        let kind = setting.universe.draw_kind(rng);
        let usable: Vec<&Chain> =
            setting.universe.exceptions(kind).iter().filter(|chain| setting.usable(chain)).collect();
        if usable.is_empty() {
            continue;
        }
        let chain = rng.pick(&usable);
        let question = kind_question(kind, rng.pick(&SINGLE_REFERENCES), rng);
        let edit = setting.elsewhere(kind, chain, &question, false, rng);
        let mut items = edit.rules;
        items.extend(edit.seen);
        items.push(edit.entry);
        groups.push(rng.some(&items, 1, 4));
    }
    groups
}

/// A context as the service would build it for a view, with questions. `None` if the view has nothing that
/// can be named, or chance found no universe that fits.
pub fn service_context(view: &View, split: Split, rng: &mut Random) -> Option<Context> {
    let index = nameable(view, rng)?;
    let seen = &view.seen[index];
    let case =
        [Case::Same, Case::Related, Case::Contrast, Case::Unrelated][rng.weighted(&[0.4, 0.25, 0.2, 0.15])];
    for _ in 0..12 {
        let universe = Universe::draw(split, rng);
        let kind = universe.draw_kind(rng);
        let setting = Setting { view, index, focus: seen.traits, judged: &seen.judged, universe };
        let chain = setting.universe.exception(kind, &setting.focus);
        let applicable = chain.is_some_and(|chain| setting.usable(chain));
        let fits = match case {
            Case::Same | Case::Related => applicable,
            Case::Contrast => chain.is_none(),
            Case::Unrelated => true,
        };
        if fits {
            return build(&setting, case, kind, chain, split, rng);
        }
    }
    None
}

fn build(
    setting: &Setting,
    case: Case,
    kind: KnowledgeKind,
    chain: Option<&Chain>,
    split: Split,
    rng: &mut Random,
) -> Option<Context> {
    let (view, index) = (setting.view, setting.index);
    let asked = kind_question(kind, &reference(view, index, &[], rng)?, rng);
    // In a clinic the same words are asked of every picture.
    let wording = if view.single() && rng.chance(0.6) {
        asked.clone()
    } else {
        kind_question(kind, rng.pick(&SINGLE_REFERENCES), rng)
    };
    let mut groups = match (case, chain) {
        (Case::Same, Some(chain)) => same(setting, kind, chain, &wording, &asked, rng),
        (Case::Related, Some(chain)) => related(setting, kind, chain, &wording, rng),
        (Case::Contrast, _) => contrast(setting, kind, &wording, rng)?,
        _ => unrelated(setting, rng),
    };
    while groups.len() > 1 && groups.iter().map(Vec::len).sum::<usize>() > MOST_SENTENCES {
        // The group that decides may stand anywhere in a related context; in the others the last one can go.
        let decisive = |group: &Vec<Item>| {
            group.iter().any(|item| match &item.meaning {
                Meaning::Rule(crate::universe::Rule::Fact { .. }) => case == Case::Related,
                Meaning::Rule(rule) => case == Case::Related && condition_holds(rule, setting.focus),
                Meaning::Entry { counts, .. } => *counts,
                _ => false,
            })
        };
        let last = (0..groups.len()).rev().find(|index| !decisive(&groups[*index]))?;
        groups.remove(last);
    }
    let mut items: Vec<Item> = groups.into_iter().flatten().collect();
    if items.is_empty() {
        return None;
    }
    if matches!(case, Case::Related | Case::Contrast) && rng.chance(0.3) {
        rng.mix(&mut items);
    }
    let facts = Facts::new(setting.focus, items);
    let branches = ask(setting, case, kind, &asked, &facts, split, rng);
    (!branches.is_empty()).then(|| Context { text: facts.text(), branches })
}

fn condition_holds(rule: &crate::universe::Rule, focus: Traits) -> bool {
    use crate::universe::Rule;
    match rule {
        Rule::Naming { condition, .. } | Rule::Property { condition, .. } => condition.holds(&focus),
        Rule::Fact { .. } => false,
    }
}

fn ask(
    setting: &Setting,
    case: Case,
    kind: KnowledgeKind,
    asked: &str,
    facts: &Facts,
    split: Split,
    rng: &mut Random,
) -> Vec<crate::perception::Branch> {
    use crate::perception::Branch;
    let (view, index) = (setting.view, setting.index);
    let refer = |rng: &mut Random| reference(view, index, &[], rng);
    let mut branches = Vec::new();
    let tag = match case {
        Case::Same => "svc.same",
        Case::Related => "svc.related",
        Case::Contrast => "svc.contrast",
        Case::Unrelated => "svc.unrel",
    };
    if case != Case::Unrelated {
        branches.push(Branch::new(asked, facts.answer(kind), tag));
        if rng.chance(0.7) {
            branches.extend(refer(rng).map(|reference| facts.branch(kind, &reference, tag, rng)));
        }
        if rng.chance(0.15) {
            branches
                .extend(refer(rng).and_then(|reference| facts.yes_no_branch(kind, &reference, split, rng)));
        }
    }
    if case == Case::Unrelated || rng.chance(0.5) {
        branches.extend(
            attribute_branch(view, rng).map(|branch| Branch { tag: "svc.unrel.attr".to_owned(), ..branch }),
        );
    }
    if rng.chance(if case == Case::Unrelated { 0.5 } else { 0.25 }) {
        branches.extend(
            yes_no_branch(view, split, rng).map(|branch| Branch { tag: "svc.unrel.yn".to_owned(), ..branch }),
        );
    }
    // Sentences about things without end must not make them more.
    if rng.chance(if case == Case::Unrelated { 0.5 } else { 0.2 }) {
        branches.extend(
            count_branch(view, rng).map(|branch| Branch { tag: "svc.unrel.count".to_owned(), ..branch }),
        );
    }
    if rng.chance(if case == Case::Unrelated { 0.8 } else { 0.35 }) {
        let other = match rng.below(3) {
            0 => KnowledgeKind::Name,
            1 => setting.universe.draw_kind(rng),
            _ => setting.universe.ruleless_kind(rng),
        };
        if other != kind && !facts.misleads(other) {
            let tag = if facts.derive(other).is_some() { "svc.other" } else { "svc.unrel.default" };
            branches.extend(refer(rng).map(|reference| facts.branch(other, &reference, tag, rng)));
        }
    }
    if rng.chance(0.15) {
        branches.extend(facts.rule_branch(rng));
    }
    branches
}
