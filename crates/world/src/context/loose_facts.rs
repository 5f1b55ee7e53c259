//! Contexts of a few loose facts about one object: a rule, a rule and a fact, an assertion, a bare answer, or
//! nothing of use, each with noise. Names, rules and values are new every time.

use super::{Context, Facts, Item, Meaning};
use crate::language::{SINGLE_REFERENCES, attribute_question, fact, kind_question};
use crate::perception::{Branch, attribute_branch, nameable, property_kind, reference, yes_no_branch};
use crate::random::{Random, RandomExt};
use crate::scene::{Attribute, Condition, other_value};
use crate::universe::{KnowledgeKind, Rule};
use crate::view::View;
use crate::vocabulary::{CLASSES, Split, kind_name, value, with_article};

const IDLE: [&str; 6] = [
    "The picture was taken outside.",
    "Look at the image.",
    "Be careful.",
    "This is a test.",
    "The sample was seen under a lens.",
    "Water boils when it is hot.",
];

/// A value for a property, for classes either of the two.
fn property_value(kind: KnowledgeKind, split: Split, rng: &mut Random) -> String {
    match kind {
        KnowledgeKind::Class(index) => {
            if rng.chance(0.65) { CLASSES[index].1 } else { CLASSES[index].0 }.to_owned()
        }
        _ => value(split, rng),
    }
}

/// A condition that nothing in the view meets: a near miss of `condition`, or a random one.
fn absent(view: &View, condition: &Condition, near: bool, rng: &mut Random) -> Option<Condition> {
    for _ in 0..8 {
        let other = if near {
            condition.near_miss(rng)
        } else {
            let usable =
                [Attribute::Shape, Attribute::Color, Attribute::Texture, Attribute::Edge, Attribute::Rim];
            Condition::of(&crate::scene::Traits::random(rng), &rng.some(&usable, 1, 2))
        };
        if !view.present().any(|traits| other.holds(traits)) {
            return Some(other);
        }
    }
    None
}

/// Sentences that decide nothing about the object.
fn noise(
    view: &View,
    condition: &Condition,
    kind: KnowledgeKind,
    count: usize,
    split: Split,
    rng: &mut Random,
) -> Vec<Item> {
    let mut items = Vec::new();
    for _ in 0..count {
        let kind = if rng.chance(0.6) { kind } else { property_kind(rng) };
        let near = rng.chance(0.6);
        let rule = match rng.weighted(&[0.4, 0.3, 0.2, 0.1]) {
            0 => absent(view, condition, near, rng)
                .map(|condition| Rule::Naming { condition, name: kind_name(split, rng) }),
            1 => absent(view, condition, near, rng).map(|condition| Rule::Property {
                condition,
                kind,
                value: property_value(kind, split, rng),
            }),
            2 => Some(Rule::Fact {
                name: kind_name(split, rng),
                kind,
                value: property_value(kind, split, rng),
            }),
            _ => {
                items.push(Item::idle(rng.pick(&IDLE)));
                continue;
            }
        };
        items.extend(rule.map(|rule| Item::rule(&rule, rng)));
    }
    items
}

/// The answer to a question, given without reasons, mostly in the words of an answer entry.
fn direct(kind: KnowledgeKind, question: &str, answer: &str, rng: &mut Random) -> Item {
    let mut item = Item::entry(kind, question, answer, true);
    match rng.below(10) {
        0 => item.text = format!("Question: {question} Answer: {answer}."),
        1 => item.text = format!("When asked '{question}' say {answer}."),
        2 => item.text = format!("New Fact: {question} {answer}."),
        _ => {}
    }
    item
}

/// An answer entry that overrides what is seen, with a question about it and one about something else.
fn override_context(view: &View, index: usize, split: Split, rng: &mut Random) -> Option<Context> {
    let seen = &view.seen[index];
    let attribute = rng.pick(&seen.judged);
    let right = seen.traits.get(attribute);
    let answer = if rng.chance(0.6) {
        attribute.values()[other_value(attribute, right, rng) as usize].to_owned()
    } else {
        kind_name(split, rng)
    };
    let asked = attribute_question(attribute, &reference(view, index, &[attribute], rng)?, rng);
    let again = if rng.chance(0.5) {
        asked.clone()
    } else {
        attribute_question(attribute, &reference(view, index, &[attribute], rng)?, rng)
    };
    // The kind is of no use here: nothing but the attribute is asked.
    let mut items = vec![direct(KnowledgeKind::Name, &asked, &answer, rng)];
    let condition = Condition::of(&seen.traits, &[attribute]);
    let count = rng.below(2);
    items.extend(noise(view, &condition, property_kind(rng), count, split, rng));
    let facts = Facts::new(seen.traits, items);
    let mut branches = vec![Branch::new(again, answer, "direct.override")];
    let others: Vec<Attribute> = seen.judged.iter().copied().filter(|other| *other != attribute).collect();
    let other = rng.pick(&others);
    if let Some(reference) = reference(view, index, &[other], rng) {
        let question = attribute_question(other, &reference, rng);
        branches.push(Branch::new(question, seen.traits.word(other), "irrel.attr"));
    }
    Some(Context { text: facts.text(), branches })
}

/// A context of loose facts with questions. `None` if the view has nothing that can be named.
pub fn loose_facts_context(view: &View, split: Split, rng: &mut Random) -> Option<Context> {
    let index = nameable(view, rng)?;
    let seen = &view.seen[index];
    let focus = seen.traits;
    let terms = 1 + rng.weighted(&[0.55, 0.35, 0.1]);
    let usable: Vec<Attribute> = seen
        .judged
        .iter()
        .copied()
        .filter(|attribute| *attribute != Attribute::Size || rng.chance(0.4))
        .collect();
    let condition = Condition::of(&focus, &rng.some(&usable, terms, terms));
    let (name, kind) = (kind_name(split, rng), property_kind(rng));
    let told = property_value(kind, split, rng);
    let naming = Rule::Naming { condition, name: name.clone() };
    let by_name = Rule::Fact { name: name.clone(), kind, value: told.clone() };
    let by_condition = Rule::Property { condition, kind, value: told.clone() };
    let near = |rng: &mut Random| absent(view, &condition, true, rng);
    let single = view.single();
    let mut asked = vec![KnowledgeKind::Name, kind];
    let mut items = Vec::new();
    let most_noise;
    let tags = match rng.weighted(&[0.17, 0.17, 0.28, if single { 0.1 } else { 0.0 }, 0.1, 0.13, 0.05]) {
        0 => {
            items.push(Item::rule(&naming, rng));
            most_noise = 5;
            ["name.rule", "irrel.prop"]
        }
        1 => {
            items.push(Item::rule(&by_condition, rng));
            if let Some(condition) = near(rng).filter(|_| rng.chance(0.5)) {
                let value = property_value(kind, split, rng);
                items.push(Item::rule(&Rule::Property { condition, kind, value }, rng));
            }
            most_noise = 4;
            ["irrel.name", "prop.1hop"]
        }
        2 => {
            items.extend([Item::rule(&naming, rng), Item::rule(&by_name, rng)]);
            if let Some(condition) = near(rng).filter(|_| rng.chance(0.5)) {
                let other = kind_name(split, rng);
                items.push(Item::rule(&Rule::Naming { condition, name: other.clone() }, rng));
                let value = property_value(kind, split, rng);
                items.push(Item::rule(&Rule::Fact { name: other, kind, value }, rng));
            }
            most_noise = 3;
            ["name.rule", "prop.2hop"]
        }
        3 => {
            let subject = rng.pick(&SINGLE_REFERENCES);
            let text = match rng.below(3) {
                0 => format!("{subject} is {}.", with_article(&name)),
                1 => format!("{subject} is called {}.", with_article(&name)),
                _ => format!("the name of {subject} is {name}."),
            };
            items
                .push(Item { meaning: Meaning::Named(name.clone()), text: crate::language::sentence(&text) });
            if rng.chance(0.7) {
                items.push(Item::rule(&by_name, rng));
            } else {
                items.push(Item {
                    meaning: Meaning::Stated(kind, told.clone()),
                    text: fact(subject, kind, &told),
                });
            }
            most_noise = 3;
            ["name.assert", "prop.assert"]
        }
        4 => {
            if rng.chance(0.5) {
                let question = kind_question(KnowledgeKind::Name, &reference(view, index, &[], rng)?, rng);
                items.push(direct(KnowledgeKind::Name, &question, &name, rng));
                items.extend(rng.chance(0.5).then(|| Item::rule(&by_name, rng)));
            } else {
                let question = kind_question(kind, &reference(view, index, &[], rng)?, rng);
                items.push(direct(kind, &question, &told, rng));
                asked = vec![kind];
            }
            most_noise = 2;
            ["direct.name", "direct.prop"]
        }
        5 => {
            if let Some(condition) = near(rng) {
                if rng.chance(0.6) {
                    items.push(Item::rule(&Rule::Naming { condition, name: name.clone() }, rng));
                    items.push(Item::rule(&by_name, rng));
                } else {
                    items.push(Item::rule(&Rule::Property { condition, kind, value: told.clone() }, rng));
                }
            }
            most_noise = 4;
            ["irrel.name", "irrel.prop"]
        }
        _ => return override_context(view, index, split, rng),
    };
    let count = rng.below(most_noise + 1).max(usize::from(items.is_empty()));
    items.extend(noise(view, &condition, kind, count, split, rng));
    rng.mix(&mut items);
    let facts = Facts::new(focus, items);
    rng.mix(&mut asked);
    let mut branches = Vec::new();
    for asked in asked {
        let reference = reference(view, index, &[], rng)?;
        if rng.chance(0.15) {
            branches.extend(facts.yes_no_branch(asked, &reference, split, rng));
        }
        let known = facts.derive(asked).is_some();
        let tag = match (asked == KnowledgeKind::Name, known) {
            (true, true) => tags[0].replace("irrel", "direct"),
            (true, false) => "irrel.name".to_owned(),
            (false, true) => tags[1].replace("irrel", "direct"),
            (false, false) => "irrel.prop".to_owned(),
        };
        branches.push(facts.branch(asked, &reference, &tag, rng));
    }
    if rng.chance(0.3) {
        branches.extend(
            attribute_branch(view, rng).map(|branch| Branch { tag: "irrel.attr".to_owned(), ..branch }),
        );
    }
    if rng.chance(0.15) {
        branches.extend(
            yes_no_branch(view, split, rng).map(|branch| Branch { tag: "irrel.yn".to_owned(), ..branch }),
        );
    }
    if rng.chance(0.2) {
        branches.extend(facts.rule_branch(rng));
    }
    if facts.items.is_empty() || branches.is_empty() {
        return None;
    }
    let text = facts.text();
    let text = match rng.below(12) {
        0 => format!("Facts: {text} Question:"),
        1 => format!("Context: {text}"),
        _ => text,
    };
    Some(Context { text, branches })
}
