//! Contexts put in front of questions, with the answers that follow from them.
//!
//! A context is a list of `Item`s whose meaning is known, so that every answer is derived from what the
//! context says and never decided beside it: what the context does not settle has the default answer.

mod loose_facts;
mod service;
#[cfg(test)]
mod tests;

pub use loose_facts::loose_facts_context;
pub use service::service_context;

use crate::language::{answer_entry, class_yes_no, kind_question, name_yes_no, rule_question};
use crate::perception::{Branch, yes_no};
use crate::random::{Random, RandomExt};
use crate::scene::{Condition, Traits};
use crate::universe::{KnowledgeKind, Rule};
use crate::vocabulary::{CLASSES, Split, invented_name};

/// A context with questions asked after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// Sentences joined by spaces.
    pub text: String,
    /// Questions, most important first.
    pub branches: Vec<Branch>,
}

/// What one sentence of a context means for the object in question.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Meaning {
    /// The answer to a question of a kind; it counts if it is about this picture.
    Entry { kind: KnowledgeKind, answer: String, counts: bool },
    /// Something seen, true of this object or not.
    Seen { holds: bool },
    /// A rule.
    Rule(Rule),
    /// This object's name, said outright.
    Named(String),
    /// A property of this object, said outright.
    Stated(KnowledgeKind, String),
    /// Nothing of interest.
    Idle,
}

/// One sentence of a context.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Item {
    meaning: Meaning,
    text: String,
}

impl Item {
    fn entry(kind: KnowledgeKind, question: &str, answer: &str, counts: bool) -> Self {
        let meaning = Meaning::Entry { kind, answer: answer.to_owned(), counts };
        Self { meaning, text: answer_entry(question, answer) }
    }

    fn rule(rule: &Rule, rng: &mut Random) -> Self {
        Self { meaning: Meaning::Rule(rule.clone()), text: crate::language::rule_sentence(rule, rng) }
    }

    fn idle(text: &str) -> Self {
        Self { meaning: Meaning::Idle, text: text.to_owned() }
    }
}

/// The sentences of a context about one object.
struct Facts {
    focus: Traits,
    items: Vec<Item>,
}

impl Facts {
    fn new(focus: Traits, items: Vec<Item>) -> Self {
        let mut kept: Vec<Item> = Vec::with_capacity(items.len());
        for item in items {
            if !kept.iter().any(|other| other.text == item.text) {
                kept.push(item);
            }
        }
        Self { focus, items: kept }
    }

    fn text(&self) -> String {
        self.items.iter().map(|item| item.text.as_str()).collect::<Vec<_>>().join(" ")
    }

    fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.items.iter().filter_map(|item| match &item.meaning {
            Meaning::Rule(rule) => Some(rule),
            _ => None,
        })
    }

    /// What an entry or an assertion says of this object.
    fn told(&self, kind: KnowledgeKind) -> Option<&str> {
        self.items.iter().find_map(|item| match &item.meaning {
            Meaning::Entry { kind: of, answer, counts: true } if *of == kind => Some(answer.as_str()),
            Meaning::Named(name) if kind == KnowledgeKind::Name => Some(name.as_str()),
            Meaning::Stated(of, value) if *of == kind => Some(value.as_str()),
            _ => None,
        })
    }

    /// The answer that the context gives to a question of a kind; `None` where the default stands.
    fn derive(&self, kind: KnowledgeKind) -> Option<&str> {
        if let Some(told) = self.told(kind) {
            return Some(told);
        }
        if kind == KnowledgeKind::Name {
            return self.rules().find_map(|rule| match rule {
                Rule::Naming { condition, name } if condition.holds(&self.focus) => Some(name.as_str()),
                _ => None,
            });
        }
        let name = self.derive(KnowledgeKind::Name);
        self.rules().find_map(|rule| match rule {
            Rule::Property { condition, kind: of, value } if *of == kind && condition.holds(&self.focus) => {
                Some(value.as_str())
            }
            Rule::Fact { name: of_name, kind: of, value }
                if *of == kind && Some(of_name.as_str()) == name =>
            {
                Some(value.as_str())
            }
            _ => None,
        })
    }

    fn answer(&self, kind: KnowledgeKind) -> String {
        self.derive(kind).unwrap_or(kind.default_answer(&self.focus)).to_owned()
    }

    /// Whether the context holds an answer entry of this kind that belongs to another picture.
    fn misleads(&self, kind: KnowledgeKind) -> bool {
        self.items.iter().any(
            |item| matches!(&item.meaning, Meaning::Entry { kind: of, counts: false, .. } if *of == kind),
        )
    }

    fn branch(&self, kind: KnowledgeKind, reference: &str, tag: &str, rng: &mut Random) -> Branch {
        Branch::new(kind_question(kind, reference, rng), self.answer(kind), tag)
    }

    /// "Is it malignant?" or "Is it a zorb?", answered by what the context gives. `None` for kinds without
    /// such a form.
    fn yes_no_branch(
        &self,
        kind: KnowledgeKind,
        reference: &str,
        split: Split,
        rng: &mut Random,
    ) -> Option<Branch> {
        let answer = self.answer(kind);
        match kind {
            KnowledgeKind::Name => {
                let others: Vec<&str> =
                    self.rules().filter_map(name_of).filter(|name| *name != answer).collect();
                let asked = match rng.below(4) {
                    0 | 1 => answer.clone(),
                    2 if !others.is_empty() => rng.pick(&others).to_owned(),
                    _ => invented_name(split, rng),
                };
                let question = name_yes_no(&asked, reference, rng);
                Some(Branch::new(question, yes_no(asked == answer), "yn.name"))
            }
            KnowledgeKind::Class(index) => {
                let (first, second) = CLASSES[index];
                let asked = if rng.chance(0.5) { first } else { second };
                Some(Branch::new(class_yes_no(asked, reference, rng), yes_no(asked == answer), "yn.class"))
            }
            _ => None,
        }
    }

    /// A question about what the rules say, answered from the context or, where it is silent, by "unknown" or
    /// the default.
    fn rule_branch(&self, rng: &mut Random) -> Option<Branch> {
        let rules: Vec<&Rule> = self.rules().collect();
        if rules.is_empty() {
            return None;
        }
        let rule = rng.pick(&rules);
        let silent = rng.chance(0.25);
        Some(match rule {
            Rule::Naming { condition, name } => {
                let asked = if silent { condition.near_miss(rng) } else { *condition };
                // A rule for a wider condition would also answer.
                let covered =
                    |rule: &Rule| matches!(rule, Rule::Naming { condition, .. } if within(&asked, condition));
                if silent && self.rules().any(covered) {
                    return None;
                }
                let answer = if silent { "unknown" } else { name.as_str() };
                let tag = if silent { "rule.unknown" } else { "rule.name" };
                Branch::new(rule_question(KnowledgeKind::Name, Ok(&asked), rng), answer, tag)
            }
            Rule::Property { condition, kind, value } => {
                Branch::new(rule_question(*kind, Ok(condition), rng), value.as_str(), "rule.property")
            }
            Rule::Fact { name, kind, value } => {
                if silent {
                    let other = crate::perception::property_kind(rng);
                    let known = |rule: &Rule| matches!(rule, Rule::Fact { name: of, kind, .. } if of == name && *kind == other);
                    let answer = other.default_value().filter(|_| !self.rules().any(known))?;
                    return Some(Branch::new(rule_question(other, Err(name), rng), answer, "rule.default"));
                }
                Branch::new(rule_question(*kind, Err(name), rng), value.as_str(), "rule.fact")
            }
        })
    }
}

fn name_of(rule: &Rule) -> Option<&str> {
    match rule {
        Rule::Naming { name, .. } | Rule::Fact { name, .. } => Some(name),
        Rule::Property { .. } => None,
    }
}

/// Whether everything that meets `narrow` meets `wide`.
fn within(narrow: &Condition, wide: &Condition) -> bool {
    wide.terms().all(|(attribute, value)| narrow.get(attribute) == Some(value))
}
