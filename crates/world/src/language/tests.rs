//! Every template must give a properly written sentence.

use super::*;
use crate::perception::property_kind;
use crate::random::{Random, RandomExt, stream};
use crate::scene::{Attribute, Condition, Traits};
use crate::universe::{KnowledgeKind, Rule};

fn check(text: &str) {
    let first = text.chars().next().unwrap();
    assert!(first.is_uppercase(), "no capital: {text}");
    assert!(text.ends_with(['.', '?']) || text.ends_with('\''), "no stop: {text}");
    for flaw in ["  ", "{", "}", " .", " ?", "..", " a a", " a e", " a i", " a o", "thingss", "crosss"] {
        assert!(!text.contains(flaw), "'{flaw}' in: {text}");
    }
}

fn any_condition(rng: &mut Random) -> Condition {
    let traits = Traits::random(rng);
    Condition::of(&traits, &rng.some(&Attribute::ALL, 1, 3))
}

#[test]
fn every_sentence_is_properly_written() {
    let mut rng = stream(1, "language", 0);
    for _ in 0..4_000 {
        let condition = any_condition(&mut rng);
        let kind = property_kind(&mut rng);
        let value = "moss".to_owned();
        let rules = [
            Rule::Naming { condition, name: "zorb".to_owned() },
            Rule::Property { condition, kind, value: value.clone() },
            Rule::Fact { name: "zorb".to_owned(), kind, value },
        ];
        for rule in &rules {
            let text = rule_sentence(rule, &mut rng);
            check(&text);
            check(&statement_question(&text, &mut rng));
        }
        let reference = rng.pick(&SINGLE_REFERENCES);
        for kind in [KnowledgeKind::Name, kind] {
            check(&kind_question(kind, reference, &mut rng));
            check(&rule_question(kind, Ok(&condition), &mut rng));
            check(&rule_question(kind, Err("zorb"), &mut rng));
        }
        let (attribute, value) = condition.terms().next().unwrap();
        check(&attribute_question(attribute, reference, &mut rng));
        check(&perception(reference, attribute, value, &mut rng));
        check(&phrase_perception(&condition, attribute, value, &mut rng));
        check(&existence(&condition, &mut rng));
        check(count_question(&mut rng));
        check(describe_question(&mut rng));
        check(&class_yes_no("malignant", reference, &mut rng));
        check(&name_yes_no("zorb", reference, &mut rng));
        check(&fact(reference, kind, "moss"));
    }
}

#[test]
fn a_perception_names_its_value_and_no_other() {
    let mut rng = stream(2, "language", 0);
    let forms = |attribute: Attribute, value: u8| -> &'static [&'static str] {
        match (attribute, value) {
            (Attribute::Shape, 0) => &["circle", "round"],
            (Attribute::Size, 1) => &["large", "big"],
            (Attribute::Texture, 0) => &["plain"],
            (Attribute::Texture, 1) => &["striped", "stripes"],
            (Attribute::Texture, 2) => &["dotted", "dots"],
            (Attribute::Edge, 0) => &["smooth", " regular"],
            (Attribute::Edge, 1) => &["jagged", "irregular"],
            (Attribute::Rim, 0) => &["no rim"],
            (Attribute::Rim, 1) => &["a dark rim"],
            (other, value) => std::slice::from_ref(&other.values()[value as usize]),
        }
    };
    for _ in 0..3_000 {
        let attribute = rng.pick(&Attribute::ALL);
        let value = rng.below(attribute.values().len()) as u8;
        let text = perception("it", attribute, value, &mut rng);
        for candidate in 0..attribute.values().len() as u8 {
            let named = forms(attribute, candidate).iter().any(|form| text.contains(form));
            assert_eq!(named, candidate == value, "{text}");
        }
    }
}

#[test]
fn entries_have_the_exact_words_of_the_method() {
    assert_eq!(
        answer_entry("What is this?", "zorb"),
        "The answer to 'What is this?' about the image is zorb."
    );
}

#[test]
fn the_verification_prompt_is_the_methods_own() {
    let mut rng = stream(3, "language", 0);
    let asked = (0..200).map(|_| statement_question("Zorbs are Red.", &mut rng));
    let found: std::collections::HashSet<String> = asked.collect();
    assert!(found.contains("Does the image show zorbs are red?"));
    assert!(
        found.contains("Given the image, is the following statement correct? Statement: 'Zorbs are Red.'")
    );
}

#[test]
fn questions_come_in_several_wordings() {
    let mut rng = stream(4, "language", 0);
    for kind in std::iter::once(KnowledgeKind::Name).chain(KnowledgeKind::properties()) {
        let wordings: std::collections::HashSet<String> =
            (0..100).map(|_| kind_question(kind, "it", &mut rng)).collect();
        assert!(wordings.len() >= 3, "{kind:?}: {wordings:?}");
    }
}
