//! Statements: what is seen, what is a rule, what is a fact, and how the answer of an edit is put.

use super::phrase::{EDGE_NOUNS, edge_adjective, lower_first, noun_phrase, sentence};
use crate::random::{Random, RandomExt};
use crate::scene::{Attribute, CIRCLE, Condition};
use crate::universe::{KnowledgeKind, Rule};
use crate::vocabulary::{NOUNS, RELATIONS, plural, with_article};

/// That `subject` ("the thing") has a value of an attribute, as a sentence.
pub fn perception(subject: &str, attribute: Attribute, value: u8, rng: &mut Random) -> String {
    let word = attribute.values()[value as usize];
    let text = match attribute {
        Attribute::Color => match rng.below(4) {
            0 | 1 => format!("{subject} is {word}"),
            2 => format!("the colour of {subject} is {word}"),
            _ => format!("{subject} has a {word} colour").replace("a orange", "an orange"),
        },
        Attribute::Shape => match rng.below(if value == CIRCLE { 4 } else { 2 }) {
            0 => format!("{subject} is {}", with_article(word)),
            1 => format!("the shape of {subject} is {}", with_article(word)),
            _ => format!("{subject} is round"),
        },
        Attribute::Size => {
            let word = if value == 0 { "small" } else { rng.pick(&["large", "big"]) };
            format!("{subject} is {word}")
        }
        Attribute::Texture => match rng.below(2) {
            0 => format!("{subject} is {word}"),
            _ => format!("{subject} has {}", ["a plain surface", "stripes", "dots"][value as usize]),
        },
        Attribute::Edge => {
            let (adjective, noun) = (edge_adjective(value == 1, rng), rng.pick(&EDGE_NOUNS));
            match rng.below(2) {
                0 => format!("{subject} has {}", with_article(&format!("{adjective} {noun}"))),
                _ => format!("the {noun} of {subject} is {adjective}"),
            }
        }
        Attribute::Rim => format!("{subject} has {}", if value == 1 { "a dark rim" } else { "no rim" }),
    };
    format!("{}.", sentence(&text))
}

/// That the thing described by `described` has a value: "The red star has a dark rim."
pub fn phrase_perception(described: &Condition, attribute: Attribute, value: u8, rng: &mut Random) -> String {
    let subject = format!("the {}", noun_phrase(described, false, rng));
    perception(&subject, attribute, value, rng)
}

/// That something meeting the condition is there, as a sentence.
pub fn existence(condition: &Condition, rng: &mut Random) -> String {
    let phrase = with_article(&noun_phrase(condition, false, rng));
    let text = match rng.below(4) {
        0 => format!("there is {phrase}"),
        1 => format!("the image shows {phrase}"),
        2 => format!("{phrase} is visible"),
        _ => format!("here is {phrase}"),
    };
    format!("{}.", sentence(&text))
}

fn predicate(subject: &str, many: bool, kind: KnowledgeKind, value: &str) -> String {
    match kind {
        KnowledgeKind::Name | KnowledgeKind::Class(_) => {
            format!("{subject} {} {value}", if many { "are" } else { "is" })
        }
        KnowledgeKind::Relation(index) => {
            let relation = &RELATIONS[index];
            format!("{subject} {} {value}", if many { relation.many } else { relation.one })
        }
        KnowledgeKind::Noun(index) => format!("the {} of {subject} is {value}", NOUNS[index].0),
    }
}

/// A property of a subject that is spelled out ("this thing", "the red star").
pub fn fact(subject: &str, kind: KnowledgeKind, value: &str) -> String {
    format!("{}.", sentence(&predicate(subject, false, kind, value)))
}

/// A rule as a sentence in one of several wordings.
pub fn rule_sentence(rule: &Rule, rng: &mut Random) -> String {
    let text = match rule {
        Rule::Naming { condition, name } => {
            if rng.chance(0.5) {
                let things = noun_phrase(condition, true, rng);
                let names = plural(name);
                match rng.below(5) {
                    0..=2 => format!("{things} are called {names}"),
                    3 => format!("{things} are {names}"),
                    _ => format!("all {things} are {names}"),
                }
            } else {
                let thing = noun_phrase(condition, false, rng);
                let name = with_article(name);
                match rng.below(5) {
                    0 | 1 => format!("{} is called {name}", with_article(&thing)),
                    2 => format!("{} is {name}", with_article(&thing)),
                    3 => format!("every {thing} is {name}"),
                    _ => format!(
                        "the name of {} is {}",
                        with_article(&thing),
                        &name[name.find(' ').map_or(0, |i| i + 1)..]
                    ),
                }
            }
        }
        Rule::Property { condition, kind, value } => {
            if rng.chance(0.5) {
                let things = noun_phrase(condition, true, rng);
                let things = if rng.chance(0.25) { format!("all {things}") } else { things };
                predicate(&things, true, *kind, value)
            } else {
                let thing = noun_phrase(condition, false, rng);
                let thing = if rng.chance(0.25) { format!("every {thing}") } else { with_article(&thing) };
                predicate(&thing, false, *kind, value)
            }
        }
        Rule::Fact { name, kind, value } => {
            if rng.chance(0.55) {
                let names = if rng.chance(0.25) { format!("all {}", plural(name)) } else { plural(name) };
                predicate(&names, true, *kind, value)
            } else {
                let name = if rng.chance(0.25) { format!("every {name}") } else { with_article(name) };
                predicate(&name, false, *kind, value)
            }
        }
    };
    format!("{}.", sentence(&text))
}

/// The answer of an edit as the codebook states it (paper, section on entries).
pub fn answer_entry(question: &str, answer: &str) -> String {
    format!("The answer to '{question}' about the image is {answer}.")
}

/// A sentence without its full stop.
pub fn without_stop(text: &str) -> &str {
    text.strip_suffix('.').unwrap_or(text)
}

/// Asks whether the picture bears out a statement, mostly in the two wordings the method uses.
pub fn statement_question(statement: &str, rng: &mut Random) -> String {
    let bare = lower_first(without_stop(statement));
    match rng.below(20) {
        0..=11 => format!("Does the image show {}?", bare.to_lowercase()),
        12..=15 => {
            let quoted = if rng.chance(0.7) { statement } else { without_stop(statement) };
            format!("Given the image, is the following statement correct? Statement: '{quoted}'")
        }
        16 => format!("Is it true that {bare}?"),
        17 => format!("True or false: {bare}."),
        18 => format!("Does this picture show that {bare}?"),
        _ => format!("Is this right: {bare}?"),
    }
}
