//! One consistent taxonomy and set of rules: what is *true* where common knowledge has an exception.
//!
//! By default every thing is called by its shape and every property has the default of its table. A universe
//! adds exceptions: names that hold for the leaves of one decision tree, and properties that hold for the
//! leaves of one tree each or for names. Leaves of a tree exclude each other, so no object ever has two
//! answers to one question.

use crate::random::{Random, RandomExt, stable_hash, stream};
use crate::scene::{Attribute, Condition, Traits};
use crate::vocabulary::{CLASSES, NOUNS, RELATIONS, Split, VALUE_WORDS, kind_name, value};

/// What a knowledge question asks for; the index points into the table of the vocabulary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KnowledgeKind {
    /// What the thing is called.
    Name,
    /// Which of two classes, see [`CLASSES`].
    Class(usize),
    /// The value of a relation, see [`RELATIONS`].
    Relation(usize),
    /// The value of a noun, see [`NOUNS`].
    Noun(usize),
}

impl KnowledgeKind {
    /// All property kinds (everything but the name).
    pub fn properties() -> Vec<Self> {
        let classes = (0..CLASSES.len()).map(Self::Class);
        let relations = (0..RELATIONS.len()).map(Self::Relation);
        classes.chain(relations).chain((0..NOUNS.len()).map(Self::Noun)).collect()
    }

    /// The answer of common knowledge, the same in every universe.
    pub fn default_answer(self, traits: &Traits) -> &'static str {
        match self {
            Self::Name => traits.word(Attribute::Shape),
            _ => self.default_value().unwrap_or_default(),
        }
    }

    /// The default of a property; names have none that is the same for everything.
    pub fn default_value(self) -> Option<&'static str> {
        match self {
            Self::Name => None,
            Self::Class(index) => Some(CLASSES[index].0),
            Self::Relation(index) => Some(RELATIONS[index].default),
            Self::Noun(index) => Some(NOUNS[index].1),
        }
    }
}

/// One piece of knowledge that a sentence can state.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    /// Things that meet the condition carry the name.
    Naming {
        /// Which things.
        condition: Condition,
        /// Their name, singular.
        name: String,
    },
    /// Things that meet the condition have the property.
    Property {
        /// Which things.
        condition: Condition,
        /// Which property.
        kind: KnowledgeKind,
        /// Its value.
        value: String,
    },
    /// Things of that name have the property.
    Fact {
        /// The name, singular.
        name: String,
        /// Which property.
        kind: KnowledgeKind,
        /// Its value.
        value: String,
    },
}

/// An exception: where it holds, what follows, and the rules from which it follows, in the order of
/// inference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// The objects it is about.
    pub condition: Condition,
    /// One rule, or two where the property depends on the name.
    pub rules: Vec<Rule>,
    /// The answer it gives.
    pub answer: String,
}

/// A property that has exceptions in a universe.
#[derive(Clone, Debug)]
pub struct Property {
    /// Which one.
    pub kind: KnowledgeKind,
    /// Whether its exceptions follow from the name (two rules) or from attributes (one).
    pub by_name: bool,
    /// Its exceptions, with conditions that exclude each other.
    pub chains: Vec<Chain>,
}

/// The answer to a question about an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The answer, a bare word.
    pub text: String,
    /// The rules it follows from; empty for a default.
    pub rules: Vec<Rule>,
    /// Whether common knowledge gives it.
    pub default: bool,
}

/// A consistent set of exceptions.
#[derive(Clone, Debug)]
pub struct Universe {
    /// Fixes the usual wordings.
    wording_seed: u64,
    split: Split,
    naming: Vec<Chain>,
    properties: Vec<Property>,
}

/// How often an attribute decides; size is hard to judge on one's own, so it decides less often.
const SPLIT_WEIGHTS: [f64; 6] = [1.0, 1.0, 0.3, 1.0, 1.0, 1.0];

/// Fewest leaves of the tree of names.
const NAMING_LEAVES: usize = 11;

/// Leaves of a random decision tree of depth at most two: conditions that exclude each other and cover
/// everything.
fn tree(fewest: usize, rng: &mut Random) -> Vec<Condition> {
    let root = Attribute::ALL[rng.weighted(&SPLIT_WEIGHTS)];
    let branches = root.values().len();
    let mut leaves = Vec::new();
    for value in 0..branches as u8 {
        let branch = Condition::default().and(root, value);
        let still_needed = fewest.saturating_sub(leaves.len());
        let split = still_needed > branches - value as usize || rng.chance(0.4);
        if split {
            let mut weights = SPLIT_WEIGHTS;
            weights[root.index()] = 0.0;
            let second = Attribute::ALL[rng.weighted(&weights)];
            leaves.extend((0..second.values().len() as u8).map(|value| branch.and(second, value)));
        } else {
            leaves.push(branch);
        }
    }
    leaves
}

/// The share of uniformly random objects that meet the condition.
fn coverage(condition: &Condition) -> f64 {
    condition.terms().map(|(attribute, _)| 1.0 / attribute.values().len() as f64).product()
}

/// A random subset of leaves with at least `fewest` and at most `most` of them, covering about `share` of all
/// objects.
fn cover(
    mut leaves: Vec<Condition>,
    share: f64,
    fewest: usize,
    most: usize,
    rng: &mut Random,
) -> Vec<Condition> {
    rng.mix(&mut leaves);
    let (mut covered, mut count) = (0.0, 0);
    for leaf in &leaves {
        if count >= most || (count >= fewest && covered + coverage(leaf) / 2.0 > share) {
            break;
        }
        covered += coverage(leaf);
        count += 1;
    }
    // A default must remain somewhere, or nothing could be told apart.
    leaves.truncate(count.min(leaves.len().saturating_sub(1)).max(1));
    leaves
}

fn naming(split: Split, rng: &mut Random) -> Vec<Chain> {
    let leaves = loop {
        // Two attributes of two values each would make four leaves: too few for a taxonomy.
        let leaves = tree(NAMING_LEAVES, rng);
        if leaves.len() >= NAMING_LEAVES {
            break leaves;
        }
    };
    let mut names: Vec<String> = Vec::new();
    cover(leaves, 0.55, 6, 14, rng)
        .into_iter()
        .map(|condition| {
            let name = loop {
                let name = kind_name(split, rng);
                if !names.contains(&name) {
                    break name;
                }
            };
            names.push(name.clone());
            let rules = vec![Rule::Naming { condition, name: name.clone() }];
            Chain { condition, rules, answer: name }
        })
        .collect()
}

/// The values that exceptions of a property may take: the second class, or a few words.
fn values(kind: KnowledgeKind, split: Split, rng: &mut Random) -> Vec<String> {
    if let KnowledgeKind::Class(index) = kind {
        return vec![CLASSES[index].1.to_owned()];
    }
    let count = 2 + rng.below(3);
    let mut found: Vec<String> = Vec::with_capacity(count);
    while found.len() < count {
        let word = value(split, rng);
        if Some(word.as_str()) != kind.default_value() && !found.contains(&word) {
            found.push(word);
        }
    }
    found
}

fn property(
    kind: KnowledgeKind,
    by_name: bool,
    naming: &[Chain],
    split: Split,
    rng: &mut Random,
) -> Property {
    let values = values(kind, split, rng);
    let chains = if by_name {
        let most = naming.len();
        rng.some(naming, (most * 3).div_ceil(5), (most * 4).div_ceil(5))
            .into_iter()
            .map(|named| {
                let value = rng.pick(&values);
                let fact = Rule::Fact { name: named.answer.clone(), kind, value: value.clone() };
                let rules = named.rules.into_iter().chain([fact]).collect();
                Chain { condition: named.condition, rules, answer: value }
            })
            .collect()
    } else {
        cover(tree(3, rng), 0.45, 1, 6, rng)
            .into_iter()
            .map(|condition| {
                let value = rng.pick(&values);
                let rules = vec![Rule::Property { condition, kind, value: value.clone() }];
                Chain { condition, rules, answer: value }
            })
            .collect()
    };
    Property { kind, by_name, chains }
}

impl Universe {
    /// The universe of a seed.
    pub fn new(seed: u64) -> Self {
        Self::draw(Split::of_seed(seed), &mut stream(seed, "universe", 0))
    }

    /// A random universe with the names of a split.
    pub fn draw(split: Split, rng: &mut Random) -> Self {
        let naming = naming(split, rng);
        let indices = |count: usize| (0..count).collect::<Vec<_>>();
        let mut kinds: Vec<KnowledgeKind> = Vec::with_capacity(9);
        kinds.extend(rng.some(&indices(CLASSES.len()), 3, 3).into_iter().map(KnowledgeKind::Class));
        kinds.extend(rng.some(&indices(RELATIONS.len()), 4, 4).into_iter().map(KnowledgeKind::Relation));
        kinds.extend(rng.some(&indices(NOUNS.len()), 2, 2).into_iter().map(KnowledgeKind::Noun));
        // Alternate within each family, starting anywhere, so that one and two steps are equally common.
        let turn = rng.below(2);
        let properties = kinds
            .into_iter()
            .enumerate()
            .map(|(index, kind)| property(kind, (index + turn).is_multiple_of(2), &naming, split, rng))
            .collect();
        Self { wording_seed: rng.below(1 << 31) as u64, split, naming, properties }
    }

    /// The names this universe may invent.
    pub fn split(&self) -> Split {
        self.split
    }

    /// Seed of the wordings that are usual in this universe.
    pub fn wording_seed(&self) -> u64 {
        self.wording_seed
    }

    /// The properties that have exceptions.
    pub fn properties(&self) -> &[Property] {
        &self.properties
    }

    /// The exceptions of a kind; empty where common knowledge always holds.
    pub fn exceptions(&self, kind: KnowledgeKind) -> &[Chain] {
        if kind == KnowledgeKind::Name {
            return &self.naming;
        }
        self.properties.iter().find(|property| property.kind == kind).map_or(&[], |property| &property.chains)
    }

    /// The exception of a kind that holds for an object, if any.
    pub fn exception(&self, kind: KnowledgeKind, traits: &Traits) -> Option<&Chain> {
        self.exceptions(kind).iter().find(|chain| chain.condition.holds(traits))
    }

    /// The truth: the answer to a question of `kind` about an object.
    pub fn answer(&self, traits: &Traits, kind: KnowledgeKind) -> Answer {
        match self.exception(kind, traits) {
            Some(chain) => Answer { text: chain.answer.clone(), rules: chain.rules.clone(), default: false },
            None => Answer { text: kind.default_answer(traits).to_owned(), rules: Vec::new(), default: true },
        }
    }

    /// A kind with exceptions: a name (.4), a property by attributes (.3) or a property by name (.3).
    pub fn draw_kind(&self, rng: &mut Random) -> KnowledgeKind {
        let by_name = match rng.weighted(&[0.4, 0.3, 0.3]) {
            0 => return KnowledgeKind::Name,
            1 => false,
            _ => true,
        };
        let kinds: Vec<KnowledgeKind> = self
            .properties
            .iter()
            .filter(|property| property.by_name == by_name)
            .map(|property| property.kind)
            .collect();
        rng.pick(&kinds)
    }

    /// A property for which this universe has no rule at all.
    pub fn ruleless_kind(&self, rng: &mut Random) -> KnowledgeKind {
        let kinds: Vec<KnowledgeKind> = KnowledgeKind::properties()
            .into_iter()
            .filter(|kind| self.exceptions(*kind).is_empty())
            .collect();
        rng.pick(&kinds)
    }

    /// The stream that words a rule: a rule is worded alike wherever this universe states it.
    pub fn sentence_stream(&self, rule: &Rule) -> Random {
        stream(self.wording_seed, "rule wording", stable_hash(format!("{rule:?}").as_bytes()))
    }

    /// Other answers to questions of a kind: those this universe gives elsewhere first, then words of the
    /// same sort. Never `right`, never the default for `traits`, no duplicates.
    pub fn distractors(
        &self,
        kind: KnowledgeKind,
        right: &str,
        traits: &Traits,
        rng: &mut Random,
    ) -> Vec<String> {
        let default = kind.default_answer(traits);
        let mut used: Vec<String> = self.exceptions(kind).iter().map(|chain| chain.answer.clone()).collect();
        rng.mix(&mut used);
        let mut more: Vec<String> = match kind {
            KnowledgeKind::Name => Attribute::Shape.values().iter().map(|word| (*word).to_owned()).collect(),
            KnowledgeKind::Class(_) => {
                CLASSES.iter().flat_map(|(a, b)| [*a, *b]).map(str::to_owned).collect()
            }
            KnowledgeKind::Relation(_) | KnowledgeKind::Noun(_) => {
                VALUE_WORDS.iter().map(|word| (*word).to_owned()).collect()
            }
        };
        rng.mix(&mut more);
        let mut found: Vec<String> = Vec::new();
        for word in used.into_iter().chain(more) {
            if word != right && word != default && !found.contains(&word) {
                found.push(word);
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kinds() -> Vec<KnowledgeKind> {
        std::iter::once(KnowledgeKind::Name).chain(KnowledgeKind::properties()).collect()
    }

    /// What a set of rules says of an object, worked out step by step without regard to where the rules come
    /// from.
    fn infer(rules: &[Rule], traits: Traits, kind: KnowledgeKind) -> Vec<String> {
        let names: Vec<&String> = rules
            .iter()
            .filter_map(|rule| match rule {
                Rule::Naming { condition, name } if condition.holds(&traits) => Some(name),
                _ => None,
            })
            .collect();
        if kind == KnowledgeKind::Name {
            return names.into_iter().cloned().collect();
        }
        rules
            .iter()
            .filter_map(|rule| match rule {
                Rule::Property { condition, kind: of, value } if *of == kind && condition.holds(&traits) => {
                    Some(value)
                }
                Rule::Fact { name, kind: of, value } if *of == kind && names.contains(&name) => Some(value),
                _ => None,
            })
            .cloned()
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn all_rules_together_give_at_most_one_answer(seed in any::<u64>()) {
            let universe = Universe::new(seed);
            let mut all: Vec<Rule> = Vec::new();
            for rule in kinds().iter().flat_map(|kind| universe.exceptions(*kind)).flat_map(|chain| &chain.rules) {
                if !all.contains(rule) {
                    all.push(rule.clone());
                }
            }
            let mut rng = stream(seed, "test", 0);
            for _ in 0..40 {
                let traits = Traits::random(&mut rng);
                for kind in kinds() {
                    let answers = infer(&all, traits, kind);
                    let truth = universe.answer(&traits, kind);
                    prop_assert!(answers.len() <= 1, "{:?}", answers);
                    prop_assert_eq!(answers.is_empty(), truth.default);
                    prop_assert_eq!(answers.first().map_or(kind.default_answer(&traits), String::as_str), &truth.text);
                    prop_assert_eq!(infer(&truth.rules, traits, kind), answers);
                }
            }
        }

        #[test]
        fn exceptions_differ_from_the_default_and_leave_room_for_it(seed in any::<u64>()) {
            let universe = Universe::new(seed);
            let mut rng = stream(seed, "test", 1);
            prop_assert!((6..=14).contains(&universe.exceptions(KnowledgeKind::Name).len()));
            for kind in kinds() {
                let covered: f64 = universe.exceptions(kind).iter().map(|chain| coverage(&chain.condition)).sum();
                prop_assert!(covered < 0.99, "{:?} {}", kind, covered);
                for chain in universe.exceptions(kind) {
                    let traits = Traits::random(&mut rng).forced(&chain.condition);
                    prop_assert_ne!(chain.answer.as_str(), kind.default_answer(&traits));
                }
            }
            prop_assert!(universe.exceptions(universe.ruleless_kind(&mut rng)).is_empty());
            prop_assert!(!universe.exceptions(universe.draw_kind(&mut rng)).is_empty());
        }

        #[test]
        fn distractors_are_distinct_and_wrong(seed in any::<u64>()) {
            let universe = Universe::new(seed);
            let mut rng = stream(seed, "test", 2);
            let traits = Traits::random(&mut rng);
            for kind in kinds() {
                let right = universe.answer(&traits, kind).text;
                let found = universe.distractors(kind, &right, &traits, &mut rng);
                prop_assert!(found.len() >= 3);
                prop_assert!(found.iter().all(|word| *word != right && word != kind.default_answer(&traits)));
                let distinct: std::collections::HashSet<_> = found.iter().collect();
                prop_assert_eq!(distinct.len(), found.len());
            }
        }
    }

    #[test]
    fn names_cover_a_bit_more_than_half_of_all_things() {
        let covered: f64 = (0..400)
            .map(|seed| {
                let universe = Universe::new(seed);
                universe
                    .exceptions(KnowledgeKind::Name)
                    .iter()
                    .map(|chain| coverage(&chain.condition))
                    .sum::<f64>()
            })
            .sum();
        let share = covered / 400.0;
        assert!((0.48..0.62).contains(&share), "{share}");
    }

    #[test]
    fn a_seed_fixes_its_universe() {
        let shape = |seed| format!("{:?}", Universe::new(seed));
        assert_eq!(shape(11), shape(11));
        assert_ne!(shape(11), shape(12));
    }
}
