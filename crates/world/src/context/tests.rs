//! What follows from a context, by hand and over many random ones.

use super::*;
use crate::random::stream;
use crate::scene::Attribute;
use crate::view::View;

fn rule(rule: Rule) -> Item {
    Item { meaning: Meaning::Rule(rule), text: String::from("A rule.") }
}

fn facts(focus: Traits, items: Vec<Item>) -> Facts {
    Facts { focus, items }
}

#[test]
fn two_rules_give_the_property_and_one_alone_does_not() {
    let focus = Traits([0, 0, 0, 0, 0, 1]);
    let round = Condition::of(&focus, &[Attribute::Shape, Attribute::Rim]);
    let kind = KnowledgeKind::Relation(0);
    let naming = || rule(Rule::Naming { condition: round, name: "zorb".to_owned() });
    let fact = |name: &str| rule(Rule::Fact { name: name.to_owned(), kind, value: "moss".to_owned() });
    assert_eq!(facts(focus, vec![naming(), fact("zorb")]).derive(kind), Some("moss"));
    assert_eq!(facts(focus, vec![naming(), fact("blork")]).derive(kind), None);
    assert_eq!(facts(focus, vec![fact("zorb")]).derive(kind), None);
    let square = Traits([1, 0, 0, 0, 0, 1]);
    let elsewhere = facts(square, vec![naming(), fact("zorb")]);
    assert_eq!(elsewhere.derive(kind), None);
    assert_eq!(elsewhere.answer(KnowledgeKind::Name), "square");
    assert_eq!(elsewhere.answer(kind), "water");
}

#[test]
fn only_entries_about_this_picture_count() {
    let focus = Traits([2, 0, 0, 0, 0, 0]);
    let kind = KnowledgeKind::Class(0);
    let own = Item::entry(kind, "Is it benign or malignant?", "malignant", true);
    let other = Item::entry(kind, "Is it benign or malignant?", "malignant", false);
    assert_eq!(facts(focus, vec![own]).derive(kind), Some("malignant"));
    let misled = facts(focus, vec![other]);
    assert_eq!(misled.derive(kind), None);
    assert!(misled.misleads(kind) && !misled.misleads(KnowledgeKind::Name));
}

#[test]
fn a_name_told_outright_leads_to_its_facts() {
    let focus = Traits([2, 0, 0, 0, 0, 0]);
    let kind = KnowledgeKind::Noun(0);
    let items = vec![
        Item { meaning: Meaning::Named("zorb".to_owned()), text: "This is a zorb.".to_owned() },
        rule(Rule::Fact { name: "zorb".to_owned(), kind, value: "gold".to_owned() }),
    ];
    assert_eq!(facts(focus, items).derive(kind), Some("gold"));
}

fn contexts(label: &str) -> Vec<(View, Traits, Context)> {
    let mut found = Vec::new();
    for index in 0..600 {
        let mut rng = stream(7, label, index);
        let count = 1 + rng.below(3);
        let objects: Vec<Traits> = (0..count).map(|_| Traits::random(&mut rng)).collect();
        let view = View::whole(&objects);
        let context = if label == "service" {
            service_context(&view, Split::Training, &mut rng)
        } else {
            loose_facts_context(&view, Split::Training, &mut rng)
        };
        found.extend(context.map(|context| (view, objects[0], context)));
    }
    assert!(found.len() > 450, "{}", found.len());
    found
}

#[test]
fn contexts_are_short_well_formed_and_answer_a_question_in_one_way() {
    for label in ["service", "classic"] {
        for (_, _, context) in contexts(label) {
            assert!(context.text.matches(". ").count() < 12, "{}", context.text);
            assert!(!context.branches.is_empty());
            for branch in &context.branches {
                assert!(
                    !branch.answer.is_empty()
                        && branch.answer.chars().all(|letter| letter.is_ascii_lowercase())
                );
                let same = context.branches.iter().filter(|other| other.question == branch.question);
                assert!(same.clone().all(|other| other.answer == branch.answer), "{context:?}");
            }
        }
    }
}

#[test]
fn contrast_has_the_default_and_same_has_not() {
    let defaults: std::collections::HashSet<&str> = KnowledgeKind::properties()
        .into_iter()
        .filter_map(KnowledgeKind::default_value)
        .chain(Attribute::Shape.values().iter().copied())
        .collect();
    let (mut contrasts, mut sames) = (0, 0);
    for (_, _, context) in contexts("service") {
        for branch in &context.branches {
            if branch.tag == "svc.contrast" {
                assert!(defaults.contains(branch.answer.as_str()), "{context:?}");
                contrasts += 1;
            }
            if branch.tag == "svc.same" || branch.tag == "svc.related" {
                assert!(!defaults.contains(branch.answer.as_str()), "{context:?}");
                assert!(context.text.contains(&branch.answer), "{context:?}");
                sames += 1;
            }
        }
    }
    assert!(contrasts > 80 && sames > 300, "{contrasts} {sames}");
}

#[test]
fn things_are_counted_as_if_nothing_had_been_said() {
    let words = ["zero", "one", "two", "three"];
    let mut counted = 0;
    for (view, _, context) in contexts("service") {
        for branch in context.branches.iter().filter(|branch| branch.tag == "svc.unrel.count") {
            assert_eq!(branch.answer, words[view.seen.len()], "{context:?}");
            counted += 1;
        }
    }
    assert!(counted > 80, "{counted}");
}

#[test]
fn an_answer_of_another_picture_never_stands_alone() {
    // Either a rule or a statement about what is seen must be there to give a foreign answer away.
    for (_, _, context) in contexts("service") {
        let contrast = context.branches.iter().any(|branch| branch.tag == "svc.contrast");
        let entries = context.text.matches("The answer to '").count();
        if contrast && entries > 0 {
            let sentences = context.text.split(". ").count();
            assert!(sentences > entries, "{}", context.text);
        }
    }
}
