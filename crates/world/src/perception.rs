//! Questions that the picture alone answers, and what common knowledge answers.

use crate::language::{
    SINGLE_REFERENCES, attribute_question, class_yes_no, count_question, describe_question, existence,
    kind_question, name_yes_no, noun_phrase, perception, phrase_perception, rule_sentence,
    statement_question,
};
use crate::random::{Random, RandomExt};
use crate::scene::{Attribute, Condition, Traits};
use crate::universe::{KnowledgeKind, Rule};
use crate::view::View;
use crate::vocabulary::{CLASSES, Split, invented_name, value, with_article};

/// A question with its answer, and a tag that says what it exercises.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Branch {
    /// The question.
    pub question: String,
    /// The answer.
    pub answer: String,
    /// For counting results, for example `attr.color.crop`.
    pub tag: String,
}

impl Branch {
    pub(crate) fn new(
        question: impl Into<String>,
        answer: impl Into<String>,
        tag: impl Into<String>,
    ) -> Self {
        Self { question: question.into(), answer: answer.into(), tag: tag.into() }
    }
}

/// "yes" or "no".
pub fn yes_no(yes: bool) -> &'static str {
    if yes { "yes" } else { "no" }
}

/// How often each attribute is asked, the ones that are hard to see most.
const ASK_WEIGHTS: [f64; 6] = [1.2, 0.6, 1.3, 1.0, 1.3, 1.2];

fn pick_attribute(judged: &[Attribute], rng: &mut Random) -> Attribute {
    let weights: Vec<f64> = judged.iter().map(|attribute| ASK_WEIGHTS[attribute.index()]).collect();
    judged[rng.weighted(&weights)]
}

/// A condition that describes the object `index` and no other in the view, without using the attributes in
/// `avoid`.
pub fn unique_description(
    view: &View,
    index: usize,
    avoid: &[Attribute],
    rng: &mut Random,
) -> Option<Condition> {
    let seen = &view.seen[index];
    let usable: Vec<Attribute> = seen
        .judged
        .iter()
        .copied()
        .filter(|attribute| !avoid.contains(attribute))
        .filter(|attribute| matches!(attribute, Attribute::Shape | Attribute::Color) || rng.chance(0.35))
        .collect();
    for _ in 0..6 {
        if usable.is_empty() {
            return None;
        }
        let condition = Condition::of(&seen.traits, &rng.some(&usable, 1, 2));
        let others =
            view.seen.iter().enumerate().filter(|(other, _)| *other != index).map(|(_, seen)| &seen.traits);
        if !others.chain(&view.doubtful).any(|traits| condition.holds(traits)) {
            return Some(condition);
        }
    }
    None
}

/// What to call the object `index`: "it" and the like if it is alone, else a description that fits nothing
/// else.
pub fn reference(view: &View, index: usize, avoid: &[Attribute], rng: &mut Random) -> Option<String> {
    if view.single() && rng.chance(0.85) {
        return Some(rng.pick(&SINGLE_REFERENCES).to_owned());
    }
    let condition = unique_description(view, index, avoid, rng)?;
    Some(format!("the {}", noun_phrase(&condition, false, rng)))
}

fn suffix(view: &View) -> &'static str {
    match (view.whole, view.single()) {
        (false, _) => ".crop",
        (true, true) => "",
        (true, false) => ".multi",
    }
}

/// Asks for an attribute of something in the view.
pub fn attribute_branch(view: &View, rng: &mut Random) -> Option<Branch> {
    if view.seen.is_empty() {
        return None;
    }
    let index = rng.below(view.seen.len());
    let attribute = pick_attribute(&view.seen[index].judged, rng);
    let reference = reference(view, index, &[attribute], rng)?;
    let answer = view.seen[index].traits.word(attribute);
    let tag = format!("attr.{}{}", attribute.name(), suffix(view));
    Some(Branch::new(attribute_question(attribute, &reference, rng), answer, tag))
}

/// A condition that holds for nothing in the view although it nearly does: one attribute of `condition`
/// changed (.75) or all.
fn denied(view: &View, condition: &Condition, rng: &mut Random) -> Option<Condition> {
    for _ in 0..8 {
        let mut changed = *condition;
        if rng.chance(0.75) {
            changed = changed.near_miss(rng);
        } else {
            for (attribute, value) in condition.terms() {
                changed = changed.and(attribute, crate::scene::other_value(attribute, value, rng));
            }
        }
        if !view.present().any(|traits| changed.holds(traits)) {
            return Some(changed);
        }
    }
    None
}

/// A random statement of a rule whose condition is `condition`, with fresh names and values.
fn fresh_rule(condition: Condition, split: Split, rng: &mut Random) -> Rule {
    if rng.chance(0.5) {
        return Rule::Naming { condition, name: invented_name(split, rng) };
    }
    let kind = rng.pick(&KnowledgeKind::properties());
    let value = match kind {
        KnowledgeKind::Class(index) => {
            if rng.chance(0.8) { CLASSES[index].1 } else { CLASSES[index].0 }.to_owned()
        }
        _ => value(split, rng),
    };
    Rule::Property { condition, kind, value }
}

/// An object of the view to make a claim about, with what can be judged of it, and whether the claim may be
/// true. In a view without any object to be asked about only what surely is not there can be claimed.
fn subject(view: &View, rng: &mut Random) -> (Traits, Vec<Attribute>, bool) {
    if view.seen.is_empty() {
        use Attribute::{Color, Edge, Rim, Shape, Texture};
        return (Traits::random(rng), vec![Shape, Color, Texture, Edge, Rim], false);
    }
    let seen = rng.pick(&view.seen);
    (seen.traits, seen.judged, rng.chance(0.5))
}

/// A condition of one to three terms that something in the view meets, or (as often) nothing.
fn drawn_condition(view: &View, rng: &mut Random) -> Option<(Condition, bool)> {
    let (traits, judged, yes) = subject(view, rng);
    let mut condition = Condition::default();
    let wanted = 1 + rng.weighted(&[0.45, 0.4, 0.15]);
    while condition.attributes().len() < wanted.min(judged.len()) {
        let attribute = pick_attribute(&judged, rng);
        condition = condition.and(attribute, traits.get(attribute));
    }
    if yes {
        Some((condition, true))
    } else {
        denied(view, &condition, rng).map(|condition| (condition, false))
    }
}

/// A statement of something seen, as reasoning contains it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The statement.
    pub statement: String,
    /// Whether the view bears it out.
    pub yes: bool,
    /// The attributes that it speaks of.
    pub attributes: Vec<Attribute>,
}

/// A statement of something seen, as reasoning contains it, and whether the view bears it out. `None` if
/// chance found none that is clearly true or false.
pub fn claim(view: &View, rng: &mut Random) -> Option<Claim> {
    // "The thing has a dark rim": of the only object, or of none at all.
    if (view.single() || view.empty()) && rng.chance(0.65) {
        let (traits, judged, yes) = subject(view, rng);
        let attribute = pick_attribute(&judged, rng);
        let right = traits.get(attribute);
        let value =
            if yes || view.empty() { right } else { crate::scene::other_value(attribute, right, rng) };
        let statement = perception(rng.pick(&SINGLE_REFERENCES), attribute, value, rng);
        return Some(Claim { statement, yes, attributes: vec![attribute] });
    }
    let (condition, yes) = drawn_condition(view, rng)?;
    let attributes = condition.attributes();
    if attributes.len() > 1 && rng.chance(0.6) {
        let (attribute, value) = rng.pick(&condition.terms().collect::<Vec<_>>());
        let mut described = condition;
        described.0[attribute.index()] = None;
        let statement = phrase_perception(&described, attribute, value, rng);
        return Some(Claim { statement, yes, attributes });
    }
    Some(Claim { statement: existence(&condition, rng), yes, attributes })
}

/// A yes-or-no question: a noun phrase, a statement of what is seen, or a rule (yes if its condition holds in
/// the view).
pub fn yes_no_branch(view: &View, split: Split, rng: &mut Random) -> Option<Branch> {
    let tag = if view.whole { "yn.full" } else { "yn.crop" };
    match rng.weighted(&[0.25, 0.49, 0.26]) {
        0 => {
            let (condition, yes) = drawn_condition(view, rng)?;
            let phrase = with_article(&noun_phrase(&condition, false, rng));
            let question = match rng.below(7) {
                0..=2 => format!("Does the image show {phrase}?"),
                3 => format!("Is there {phrase}?"),
                4 => format!("Can you see {phrase} here?"),
                5 => format!("Does this picture show {phrase}?"),
                _ => format!("Is {phrase} in the image?"),
            };
            Some(Branch::new(question, yes_no(yes), tag))
        }
        1 => {
            let Claim { statement, yes, .. } = claim(view, rng)?;
            Some(Branch::new(statement_question(&statement, rng), yes_no(yes), tag))
        }
        _ => {
            let (condition, yes) = drawn_condition(view, rng)?;
            let statement = rule_sentence(&fresh_rule(condition, split, rng), rng);
            Some(Branch::new(statement_question(&statement, rng), yes_no(yes), format!("{tag}.rule")))
        }
    }
}

/// Asks for a description; the answer is one or two statements that hold.
pub fn describe_branch(view: &View, split: Split, rng: &mut Random) -> Option<Branch> {
    if view.seen.is_empty() {
        let nothing = || Branch::new(describe_question(rng), "There is nothing.", "desc");
        return view.empty().then(nothing);
    }
    let count = if rng.chance(0.65) { 1 } else { 2 };
    let sentences: Vec<String> = (0..count)
        .map(|_| {
            let seen = rng.pick(&view.seen);
            match rng.weighted(&[0.15, 0.4, 0.45]) {
                0 => {
                    let condition = Condition::of(&seen.traits, &rng.some(&seen.judged, 1, 2));
                    rule_sentence(&fresh_rule(condition, split, rng), rng)
                }
                1 if view.single() => {
                    let attribute = pick_attribute(&seen.judged, rng);
                    perception(rng.pick(&SINGLE_REFERENCES), attribute, seen.traits.get(attribute), rng)
                }
                _ => existence(&Condition::of(&seen.traits, &rng.some(&seen.judged, 1, 3)), rng),
            }
        })
        .collect();
    Some(Branch::new(describe_question(rng), sentences.join(" "), "desc"))
}

/// Asks how many objects a whole picture shows.
pub fn count_branch(view: &View, rng: &mut Random) -> Option<Branch> {
    let words = ["one", "two", "three"];
    let answer = view.seen.len().checked_sub(1).and_then(|index| words.get(index))?;
    view.whole.then(|| Branch::new(count_question(rng), *answer, "count"))
}

/// A question of any sort that needs no knowledge.
pub fn perception_branch(view: &View, split: Split, rng: &mut Random) -> Option<Branch> {
    for _ in 0..6 {
        let branch = match rng.weighted(&[0.46, 0.38, 0.1, 0.06]) {
            0 => attribute_branch(view, rng),
            1 => yes_no_branch(view, split, rng),
            2 => describe_branch(view, split, rng),
            _ => count_branch(view, rng),
        };
        if branch.is_some() {
            return branch;
        }
    }
    None
}

/// Index of an object whose shape can be judged, so that common knowledge can name it.
pub fn nameable(view: &View, rng: &mut Random) -> Option<usize> {
    let whole: Vec<usize> =
        (0..view.seen.len()).filter(|index| view.seen[*index].judged.contains(&Attribute::Shape)).collect();
    (!whole.is_empty()).then(|| rng.pick(&whole))
}

/// A knowledge question without any fact given: the answer is the default.
pub fn default_branch(view: &View, split: Split, rng: &mut Random) -> Option<Branch> {
    let index = nameable(view, rng)?;
    let reference = reference(view, index, &[], rng)?;
    let traits = view.seen[index].traits;
    Some(match rng.weighted(&[0.4, 0.5, 0.05, 0.05]) {
        0 => {
            let name = KnowledgeKind::Name.default_answer(&traits);
            Branch::new(
                kind_question(KnowledgeKind::Name, &reference, rng),
                name,
                format!("default.name{}", suffix(view)),
            )
        }
        1 => {
            let kind = property_kind(rng);
            Branch::new(kind_question(kind, &reference, rng), kind.default_answer(&traits), "default.prop")
        }
        2 => {
            let (usual, other) = rng.pick(&CLASSES);
            let asked = rng.chance(0.5);
            let question = class_yes_no(if asked { usual } else { other }, &reference, rng);
            Branch::new(question, yes_no(asked), "default.yn")
        }
        _ => {
            let right = traits.word(Attribute::Shape);
            let (name, yes) = match rng.below(3) {
                0 => (right.to_owned(), true),
                1 => {
                    let other =
                        crate::scene::other_value(Attribute::Shape, traits.get(Attribute::Shape), rng);
                    (Attribute::Shape.values()[other as usize].to_owned(), false)
                }
                _ => (invented_name(split, rng), false),
            };
            Branch::new(name_yes_no(&name, &reference, rng), yes_no(yes), "default.yn")
        }
    })
}

/// A random property, the three families equally often.
pub fn property_kind(rng: &mut Random) -> KnowledgeKind {
    match rng.below(3) {
        0 => KnowledgeKind::Class(rng.below(CLASSES.len())),
        1 => KnowledgeKind::Relation(rng.below(crate::vocabulary::RELATIONS.len())),
        _ => KnowledgeKind::Noun(rng.below(crate::vocabulary::NOUNS.len())),
    }
}

#[cfg(test)]
mod tests;
