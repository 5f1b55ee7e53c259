//! What statements say and what pictures show, in symbols: so that whoever reads records can tell whether a
//! statement is true of a picture and bears on a question without understanding its words.
//!
//! Properties are called by name: the six attributes of an object (`color`), what it is called (`name`), and
//! what is known of it (`benign or malignant`, `lives in`, `price`).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::scene::{Attribute, Condition, Traits};
use crate::universe::{Answer, KnowledgeKind, Rule, Universe};
use crate::vocabulary::{CLASSES, NOUNS, RELATIONS};

/// What is asked for by a question about how many things there are.
pub(crate) const COUNT: &str = "count";

/// Properties of one object, by name.
type Properties = BTreeMap<String, String>;

/// What a statement says: things of these properties have this one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NativeMeaning {
    /// Which things; empty for the one that is spoken about.
    #[serde(rename = "if")]
    pub condition: Properties,
    /// The property.
    pub property: String,
    /// Its value.
    pub value: String,
}

/// What a question is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NativeTruth {
    /// First the property that is asked for, then those that the answer follows from.
    pub about: Vec<String>,
    /// The objects of the picture that it may be about, with their attributes and the exceptions that hold
    /// for them; what common knowledge says of them is left out.
    pub subjects: Vec<Properties>,
}

/// What a property is called.
pub fn property(kind: KnowledgeKind) -> String {
    match kind {
        KnowledgeKind::Name => "name".to_owned(),
        KnowledgeKind::Class(index) => format!("{} or {}", CLASSES[index].0, CLASSES[index].1),
        KnowledgeKind::Relation(index) => RELATIONS[index].one.to_owned(),
        KnowledgeKind::Noun(index) => NOUNS[index].0.to_owned(),
    }
}

pub(crate) fn properties(condition: &Condition) -> Properties {
    let word = |(attribute, value): (Attribute, u8)| {
        (attribute.name().to_owned(), attribute.values()[value as usize].to_owned())
    };
    condition.terms().map(word).collect()
}

/// That things of a description have a value of an attribute.
pub fn seen(described: &Condition, attribute: Attribute, value: u8) -> NativeMeaning {
    NativeMeaning {
        condition: properties(described),
        property: attribute.name().to_owned(),
        value: attribute.values()[value as usize].to_owned(),
    }
}

impl From<&Rule> for NativeMeaning {
    fn from(rule: &Rule) -> Self {
        let (condition, kind, value) = match rule {
            Rule::Naming { condition, name } => (properties(condition), KnowledgeKind::Name, name),
            Rule::Property { condition, kind, value } => (properties(condition), *kind, value),
            Rule::Fact { name, kind, value } => {
                (Properties::from([(property(KnowledgeKind::Name), name.clone())]), *kind, value)
            }
        };
        Self { condition, property: property(kind), value: value.clone() }
    }
}

/// The properties of an object.
fn subject(universe: &Universe, traits: Traits) -> Properties {
    let mut found = properties(&Condition::of(&traits, &Attribute::ALL));
    let kinds = universe.properties().iter().map(|property| property.kind);
    for kind in kinds.chain([KnowledgeKind::Name]) {
        found.extend(universe.exception(kind, &traits).map(|chain| (property(kind), chain.answer.clone())));
    }
    found
}

impl NativeTruth {
    /// A question about these properties of one of these objects.
    pub(crate) fn new(universe: &Universe, about: Vec<String>, objects: &[Traits]) -> Self {
        Self { about, subjects: objects.iter().map(|traits| subject(universe, *traits)).collect() }
    }

    /// A question about what is known of an object: it is about what the answer follows from as well.
    pub(crate) fn knowledge(universe: &Universe, kind: KnowledgeKind, traits: Traits) -> Self {
        let Answer { rules, .. } = universe.answer(&traits, kind);
        let mut about = vec![property(kind)];
        for meaning in rules.iter().map(NativeMeaning::from) {
            for name in meaning.condition.into_keys() {
                if !about.contains(&name) {
                    about.push(name);
                }
            }
        }
        Self::new(universe, about, &[traits])
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::vocabulary::EVALUATION_SEED_START;

    #[test]
    fn no_two_properties_have_one_name() {
        let kinds = std::iter::once(KnowledgeKind::Name).chain(KnowledgeKind::properties());
        let names: Vec<String> = kinds
            .map(property)
            .chain(Attribute::ALL.map(|attribute| attribute.name().to_owned()))
            .chain([COUNT.to_owned()])
            .collect();
        assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len());
    }

    #[test]
    fn what_a_rule_says_holds_for_exactly_the_things_that_it_is_about() {
        let universe = Universe::new(EVALUATION_SEED_START + 3);
        let mut rng = crate::random::stream(1, "truth", 0);
        let holds = |meaning: &NativeMeaning, subject: &Properties| {
            meaning.condition.iter().all(|(name, value)| subject.get(name) == Some(value))
                && subject.get(&meaning.property) == Some(&meaning.value)
        };
        let kinds: Vec<KnowledgeKind> = std::iter::once(KnowledgeKind::Name)
            .chain(universe.properties().iter().map(|property| property.kind))
            .collect();
        let mut met = 0;
        for _ in 0..500 {
            let traits = Traits::random(&mut rng);
            let subject = subject(&universe, traits);
            for kind in &kinds {
                for chain in universe.exceptions(*kind) {
                    let all =
                        chain.rules.iter().map(NativeMeaning::from).all(|meaning| holds(&meaning, &subject));
                    assert_eq!(all, chain.condition.holds(&traits), "{chain:?}, {subject:?}");
                    met += usize::from(all);
                }
                let truth = NativeTruth::knowledge(&universe, *kind, traits);
                let answer = universe.answer(&traits, *kind);
                assert_eq!(truth.about.len() > 1, !answer.default, "a default follows from nothing");
            }
        }
        assert!(met > 1000, "{met}");
    }
}
