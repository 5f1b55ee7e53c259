//! Questions. A reference ("it", "the red star") is put where a template says `{}`.

use super::phrase::{lower_first, noun_phrase, sentence};
use crate::random::{Random, RandomExt};
use crate::scene::{Attribute, Condition};
use crate::universe::KnowledgeKind;
use crate::vocabulary::{CLASSES, NOUNS, RELATIONS, plural, with_article};

fn attribute_nouns(attribute: Attribute) -> &'static [&'static str] {
    match attribute {
        Attribute::Shape => &["shape", "form"],
        Attribute::Color => &["colour", "color"],
        Attribute::Size => &["size"],
        Attribute::Texture => &["pattern", "texture"],
        Attribute::Edge => &["edge", "border"],
        Attribute::Rim => &["rim"],
    }
}

/// Asks for the value of an attribute.
pub fn attribute_question(attribute: Attribute, reference: &str, rng: &mut Random) -> String {
    let noun = rng.pick(attribute_nouns(attribute));
    let text = match rng.below(7) {
        0 | 1 if matches!(attribute, Attribute::Edge | Attribute::Rim) => {
            format!("what is the {noun} of {reference} like?")
        }
        0 | 1 => format!("what {noun} is {reference}?"),
        2 => format!("what is the {noun} of {reference}?"),
        3 => format!("which {noun} does {reference} have?"),
        4 => format!("tell me the {noun} of {reference}."),
        5 => format!("what {noun} does {reference} have?"),
        _ => format!("what kind of {noun} does {reference} have?"),
    };
    sentence(&text)
}

fn class_question(index: usize, swapped: bool, reference: &str, rng: &mut Random) -> String {
    let (first, second) = CLASSES[index];
    let (first, second) = if swapped { (second, first) } else { (first, second) };
    match rng.below(6) {
        0..=2 => format!("is {reference} {first} or {second}?"),
        3 => format!("would you say {reference} is {first} or {second}?"),
        4 => format!("what is {reference}, {first} or {second}?"),
        _ => format!("tell me, is {reference} {first} or {second}?"),
    }
}

/// Asks a knowledge question about one thing, class options in random order.
pub fn kind_question(kind: KnowledgeKind, reference: &str, rng: &mut Random) -> String {
    let text = match kind {
        KnowledgeKind::Name => match rng.below(9) {
            0..=2 => format!("what is {reference} called?"),
            3 => format!("what is the name of {reference}?"),
            4 => format!("what do you call {reference}?"),
            5 => format!("what kind of thing is {reference}?"),
            6 => format!("what name does {reference} have?"),
            7 => format!("tell me the name of {reference}."),
            _ => format!("what is {reference}?"),
        },
        KnowledgeKind::Class(index) => {
            let swapped = rng.chance(0.5);
            class_question(index, swapped, reference, rng)
        }
        KnowledgeKind::Relation(index) => {
            let question = rng.pick(RELATIONS[index].ask).replacen("{}", reference, 1);
            if rng.chance(0.15) { format!("tell me, {}", lower_first(&question)) } else { question }
        }
        KnowledgeKind::Noun(index) => {
            let noun = NOUNS[index].0;
            match rng.below(4) {
                0 | 1 => format!("what is the {noun} of {reference}?"),
                2 => format!("tell me the {noun} of {reference}."),
                _ => format!("what {noun} does {reference} have?"),
            }
        }
    };
    sentence(&text)
}

/// Asks whether a thing is of a class.
pub fn class_yes_no(class: &str, reference: &str, rng: &mut Random) -> String {
    let text = match rng.below(3) {
        0 | 1 => format!("is {reference} {class}?"),
        _ => format!("would you say {reference} is {class}?"),
    };
    sentence(&text)
}

/// Asks whether a thing carries a name.
pub fn name_yes_no(name: &str, reference: &str, rng: &mut Random) -> String {
    let name = with_article(name);
    let text = match rng.below(3) {
        0 | 1 => format!("is {reference} {name}?"),
        _ => format!("would you call {reference} {name}?"),
    };
    sentence(&text)
}

/// Asks what a rule says, of the things meeting a condition or of the things of a name; no picture is needed.
pub fn rule_question(kind: KnowledgeKind, about: Result<&Condition, &str>, rng: &mut Random) -> String {
    let many = match about {
        Ok(condition) => noun_phrase(condition, true, rng),
        Err(name) => plural(name),
    };
    let text = match kind {
        KnowledgeKind::Name => match rng.below(3) {
            0 | 1 => format!("what are {many} called?"),
            _ => format!("what do you call {many}?"),
        },
        KnowledgeKind::Class(index) => {
            let (first, second) = CLASSES[index];
            let (first, second) = if rng.chance(0.5) { (second, first) } else { (first, second) };
            format!("are {many} {first} or {second}?")
        }
        KnowledgeKind::Relation(index) => RELATIONS[index].ask_many.replacen("{}", &many, 1),
        KnowledgeKind::Noun(index) => format!("what is the {} of {many}?", NOUNS[index].0),
    };
    sentence(&text)
}

/// Asks how many things there are.
pub fn count_question(rng: &mut Random) -> &'static str {
    rng.pick(&[
        "How many things are there?",
        "How many objects are in the image?",
        "How many things does the image show?",
        "Count the objects.",
        "What is the number of objects?",
    ])
}

/// Asks for a description, mostly in the wording the method uses.
pub fn describe_question(rng: &mut Random) -> &'static str {
    rng.pick(&[
        "Describe this image.",
        "Describe this image.",
        "Describe this image.",
        "Describe this image.",
        "What do you see?",
        "Describe the image.",
        "What does the image show?",
    ])
}
