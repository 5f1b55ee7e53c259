//! Pairs for the sentence encoder: paraphrases, and questions with the statements that answer them.

use serde::Serialize;

use crate::language::{
    SINGLE_REFERENCES, answer_entry, attribute_question, existence, kind_question, noun_phrase, perception,
    rule_question, rule_sentence,
};
use crate::perception::property_kind;
use crate::random::{Random, RandomExt, stream};
use crate::scene::{Attribute, Condition, Traits, other_value};
use crate::universe::{KnowledgeKind, Rule};
use crate::vocabulary::{CLASSES, Split, kind_name, value};

/// Two texts that belong together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SentencePair {
    /// Pairs with the same key mean the same and are no negatives of each other.
    #[serde(rename = "k")]
    pub key: String,
    /// One text.
    #[serde(rename = "a")]
    pub first: String,
    /// The other.
    #[serde(rename = "b")]
    pub second: String,
    /// Texts close to `second` that do not belong to `first`.
    #[serde(rename = "n")]
    pub negatives: Vec<String>,
}

fn random_condition(rng: &mut Random) -> Condition {
    let traits = Traits::random(rng);
    let count = 1 + rng.below(2);
    Condition::of(&traits, &rng.some(&Attribute::ALL, count, count))
}

fn property_value(kind: KnowledgeKind, split: Split, rng: &mut Random) -> String {
    match kind {
        KnowledgeKind::Class(index) => {
            if rng.chance(0.6) { CLASSES[index].1 } else { CLASSES[index].0 }.to_owned()
        }
        _ => value(split, rng),
    }
}

fn other_kind(kind: KnowledgeKind, rng: &mut Random) -> KnowledgeKind {
    loop {
        let other = property_kind(rng);
        if other != kind {
            return other;
        }
    }
}

fn key_of(condition: &Condition) -> String {
    condition
        .terms()
        .map(|(attribute, value)| format!("{}={}", attribute.name(), attribute.values()[value as usize]))
        .collect::<Vec<_>>()
        .join("+")
}

fn kind_key(kind: KnowledgeKind) -> String {
    match kind {
        KnowledgeKind::Name => "name".to_owned(),
        KnowledgeKind::Class(index) => format!("class {}", CLASSES[index].0),
        KnowledgeKind::Relation(index) => format!("relation {}", crate::vocabulary::RELATIONS[index].one),
        KnowledgeKind::Noun(index) => format!("noun {}", crate::vocabulary::NOUNS[index].0),
    }
}

/// A reference and the key of what it means: the only thing, or a described one.
fn referent(rng: &mut Random) -> (Option<Condition>, String) {
    if rng.chance(0.65) {
        (None, "it".to_owned())
    } else {
        let condition = random_condition(rng);
        (Some(condition), key_of(&condition))
    }
}

fn refer(condition: Option<&Condition>, rng: &mut Random) -> String {
    match condition {
        None => rng.pick(&SINGLE_REFERENCES).to_owned(),
        Some(condition) => format!("the {}", noun_phrase(condition, false, rng)),
    }
}

/// A knowledge rule of any sort and its key.
fn random_rule(split: Split, rng: &mut Random) -> (Rule, String) {
    let (condition, name, kind) = (random_condition(rng), kind_name(split, rng), property_kind(rng));
    let value = property_value(kind, split, rng);
    match rng.below(3) {
        0 => {
            let key = format!("{} is {name}", key_of(&condition));
            (Rule::Naming { condition, name }, key)
        }
        1 => {
            let key = format!("{} {} {value}", key_of(&condition), kind_key(kind));
            (Rule::Property { condition, kind, value }, key)
        }
        _ => {
            let key = format!("{name} {} {value}", kind_key(kind));
            (Rule::Fact { name, kind, value }, key)
        }
    }
}

/// The rule with one part replaced, so that it says something else in the same form.
fn altered(rule: &Rule, split: Split, rng: &mut Random) -> Rule {
    let mut rule = rule.clone();
    match &mut rule {
        Rule::Naming { condition, name } => {
            if rng.chance(0.5) {
                *condition = condition.near_miss(rng);
            } else {
                *name = kind_name(split, rng);
            }
        }
        Rule::Property { condition, kind, value } => match rng.below(3) {
            0 => *condition = condition.near_miss(rng),
            1 => {
                *kind = other_kind(*kind, rng);
                *value = property_value(*kind, split, rng);
            }
            _ => *value = property_value(other_value_kind(*kind), split, rng),
        },
        Rule::Fact { name, kind, value } => match rng.below(3) {
            0 => *name = kind_name(split, rng),
            1 => {
                *kind = other_kind(*kind, rng);
                *value = property_value(*kind, split, rng);
            }
            _ => *value = property_value(other_value_kind(*kind), split, rng),
        },
    }
    rule
}

/// A kind from whose values another value can be drawn that is surely not the same: classes have but two.
fn other_value_kind(kind: KnowledgeKind) -> KnowledgeKind {
    if let KnowledgeKind::Class(_) = kind { KnowledgeKind::Noun(0) } else { kind }
}

fn question_pair(rng: &mut Random) -> SentencePair {
    let (condition, who) = referent(rng);
    let ask = |kind: KnowledgeKind, rng: &mut Random| {
        let reference = refer(condition.as_ref(), rng);
        kind_question(kind, &reference, rng)
    };
    let mut negatives = Vec::new();
    if rng.chance(0.3) {
        let attribute = rng.pick(&Attribute::ALL);
        let mut ask = |attribute: Attribute| {
            let reference = refer(condition.as_ref(), rng);
            attribute_question(attribute, &reference, rng)
        };
        let (first, second) = (ask(attribute), ask(attribute));
        let others: Vec<Attribute> = Attribute::ALL.into_iter().filter(|other| *other != attribute).collect();
        negatives.push(ask(others[who.len() % others.len()]));
        negatives.push(ask(others[(who.len() + 2) % others.len()]));
        return SentencePair { key: format!("ask {} of {who}", attribute.name()), first, second, negatives };
    }
    let kind = if rng.chance(0.35) { KnowledgeKind::Name } else { property_kind(rng) };
    let (first, second) = (ask(kind, rng), ask(kind, rng));
    negatives.push(ask(other_kind(kind, rng), rng));
    if kind != KnowledgeKind::Name {
        negatives.push(ask(KnowledgeKind::Name, rng));
    }
    if let Some(condition) = &condition {
        let other = refer(Some(&condition.near_miss(rng)), rng);
        negatives.push(kind_question(kind, &other, rng));
    }
    SentencePair { key: format!("ask {} of {who}", kind_key(kind)), first, second, negatives }
}

fn rule_pair(split: Split, rng: &mut Random) -> SentencePair {
    let (rule, key) = random_rule(split, rng);
    let (first, second) = (rule_sentence(&rule, rng), rule_sentence(&rule, rng));
    let negatives = (0..2)
        .map(|_| {
            let other = altered(&rule, split, rng);
            rule_sentence(&other, rng)
        })
        .collect();
    SentencePair { key, first, second, negatives }
}

fn statement_pair(rng: &mut Random) -> SentencePair {
    if rng.chance(0.35) {
        let condition = random_condition(rng);
        let (first, second) = (existence(&condition, rng), existence(&condition, rng));
        let other = condition.near_miss(rng);
        return SentencePair {
            key: format!("there is {}", key_of(&condition)),
            first,
            second,
            negatives: vec![existence(&other, rng)],
        };
    }
    let attribute = rng.pick(&Attribute::ALL);
    let value = rng.below(attribute.values().len()) as u8;
    let mut say =
        |attribute: Attribute, value: u8| perception(rng.pick(&SINGLE_REFERENCES), attribute, value, rng);
    let (first, second) = (say(attribute, value), say(attribute, value));
    let other = other_value(attribute, value, rng);
    let negative = perception(rng.pick(&SINGLE_REFERENCES), attribute, other, rng);
    let word = attribute.values()[value as usize];
    SentencePair { key: format!("it {} {word}", attribute.name()), first, second, negatives: vec![negative] }
}

/// A question and a statement that answers it.
fn answering_pair(split: Split, rng: &mut Random) -> SentencePair {
    match rng.below(6) {
        0 => {
            // "What colour is it?" and "The thing is red."
            let attribute = rng.pick(&Attribute::ALL);
            let value = rng.below(attribute.values().len()) as u8;
            let first = attribute_question(attribute, rng.pick(&SINGLE_REFERENCES), rng);
            let second = perception(rng.pick(&SINGLE_REFERENCES), attribute, value, rng);
            let others: Vec<Attribute> =
                Attribute::ALL.into_iter().filter(|other| *other != attribute).collect();
            let other = rng.pick(&others);
            let value = rng.below(other.values().len()) as u8;
            let negative = perception(rng.pick(&SINGLE_REFERENCES), other, value, rng);
            SentencePair {
                key: format!("ask {} of it", attribute.name()),
                first,
                second,
                negatives: vec![negative],
            }
        }
        1 => {
            // A question and the entry that answers one like it.
            let kind = if rng.chance(0.35) { KnowledgeKind::Name } else { property_kind(rng) };
            let answer = if kind == KnowledgeKind::Name {
                kind_name(split, rng)
            } else {
                property_value(kind, split, rng)
            };
            let ask = |kind: KnowledgeKind, rng: &mut Random| {
                kind_question(kind, rng.pick(&SINGLE_REFERENCES), rng)
            };
            let (first, asked) = (ask(kind, rng), ask(kind, rng));
            let other = other_kind(kind, rng);
            let negative = answer_entry(&ask(other, rng), &property_value(other, split, rng));
            let second = answer_entry(&asked, &answer);
            SentencePair {
                key: format!("ask {} of it", kind_key(kind)),
                first,
                second,
                negatives: vec![negative],
            }
        }
        2 => {
            // "What are round things called?" and the rule that says it.
            let (rule, key) = random_rule(split, rng);
            let first = match &rule {
                Rule::Naming { condition, .. } => rule_question(KnowledgeKind::Name, Ok(condition), rng),
                Rule::Property { condition, kind, .. } => rule_question(*kind, Ok(condition), rng),
                Rule::Fact { name, kind, .. } => rule_question(*kind, Err(name), rng),
            };
            let second = rule_sentence(&rule, rng);
            let other = match &rule {
                Rule::Naming { condition, name } => {
                    Rule::Naming { condition: condition.near_miss(rng), name: name.clone() }
                }
                Rule::Property { condition, kind, value } => {
                    Rule::Property { condition: condition.near_miss(rng), kind: *kind, value: value.clone() }
                }
                Rule::Fact { kind, value, .. } => {
                    Rule::Fact { name: kind_name(split, rng), kind: *kind, value: value.clone() }
                }
            };
            SentencePair { key, first, second, negatives: vec![rule_sentence(&other, rng)] }
        }
        _ => {
            // "Where does it live?" and any rule or fact about where things live.
            let (rule, _) = random_rule(split, rng);
            let kind = match &rule {
                Rule::Naming { .. } => KnowledgeKind::Name,
                Rule::Property { kind, .. } | Rule::Fact { kind, .. } => *kind,
            };
            let first = kind_question(kind, rng.pick(&SINGLE_REFERENCES), rng);
            let second = rule_sentence(&rule, rng);
            let negatives = (0..2)
                .map(|_| {
                    let other = other_kind(kind, rng);
                    let value = property_value(other, split, rng);
                    let rule = match &rule {
                        Rule::Fact { name, .. } => Rule::Fact { name: name.clone(), kind: other, value },
                        Rule::Naming { condition, .. } | Rule::Property { condition, .. } => {
                            Rule::Property { condition: *condition, kind: other, value }
                        }
                    };
                    rule_sentence(&rule, rng)
                })
                .collect();
            SentencePair { key: format!("ask {} of it", kind_key(kind)), first, second, negatives }
        }
    }
}

/// The pair of a seed and an index.
pub fn pair(seed: u64, index: u64) -> SentencePair {
    let split = Split::of_seed(seed);
    let mut rng = stream(seed, "sentence pair", index);
    loop {
        let mut pair = match rng.weighted(&[0.3, 0.22, 0.13, 0.35]) {
            0 => question_pair(&mut rng),
            1 => rule_pair(split, &mut rng),
            2 => statement_pair(&mut rng),
            _ => answering_pair(split, &mut rng),
        };
        pair.negatives.retain(|negative| *negative != pair.first && *negative != pair.second);
        if pair.first != pair.second {
            return pair;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn pairs_follow_from_seed_and_index() {
        assert_eq!(pair(3, 7), pair(3, 7));
        assert_ne!(pair(3, 7), pair(3, 8));
    }

    #[test]
    fn negatives_are_neither_text_of_the_pair() {
        for index in 0..3_000 {
            let pair = pair(1, index);
            assert_ne!(pair.first, pair.second);
            assert!(
                pair.negatives.iter().all(|negative| *negative != pair.first && *negative != pair.second),
                "{pair:?}"
            );
        }
    }

    #[test]
    fn a_text_that_is_negative_under_a_key_is_never_positive_under_it() {
        let mut positives: HashMap<String, Vec<String>> = HashMap::new();
        let pairs: Vec<SentencePair> = (0..4_000).map(|index| pair(2, index)).collect();
        for pair in &pairs {
            positives.entry(pair.key.clone()).or_default().extend([pair.first.clone(), pair.second.clone()]);
        }
        for pair in &pairs {
            for negative in &pair.negatives {
                assert!(!positives[&pair.key].contains(negative), "{pair:?}");
            }
        }
    }

    #[test]
    fn a_third_of_the_pairs_joins_a_question_with_a_statement() {
        let mixed = (0..2_000)
            .map(|index| pair(4, index))
            .filter(|pair| {
                pair.second.ends_with('.') && (pair.first.ends_with('?') || pair.first.starts_with("Tell"))
            })
            .count();
        assert!((550..1_000).contains(&mixed), "{mixed}");
    }
}
