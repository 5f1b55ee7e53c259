//! Native records: edits of one universe with everything that is measured about them (method section 7).

use reasonedit_imaging::PixelBox;
use serde::{Deserialize, Serialize};

use crate::WorldError;
use crate::language::{
    SINGLE_REFERENCES, attribute_question, kind_question, perception, phrase_perception, rule_question,
    rule_sentence,
};
use crate::perception::{reference, unique_description};
use crate::probe::{ProbeDraft, perception_question};
use crate::random::{Random, RandomExt, stable_hash, stream};
use crate::render::render;
use crate::scene::{Attribute, Condition, Scene, Traits};
use crate::truth::{NativeMeaning, NativeTruth, property, seen};
use crate::universe::{Chain, KnowledgeKind, Rule, Universe};
use crate::view::View;

/// A question about a picture with its answer among choices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NativeQuestion {
    /// Path of the picture, relative to the record file.
    pub image: String,
    /// The question.
    pub question: String,
    /// The true answer.
    pub answer: String,
    /// Distinct answers, the true one among them.
    pub choices: Vec<String>,
    /// What it is about, in symbols.
    pub truth: NativeTruth,
}

/// One edit in the native format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NativeRecord {
    /// Unique in the file.
    pub uid: String,
    /// Path of the picture, relative to the record file.
    pub image: String,
    /// The question that common knowledge answers wrongly here.
    pub question: String,
    /// The true answer.
    pub answer: String,
    /// Distinct answers: the true one, the default, two others.
    pub choices: Vec<String>,
    /// What the question is about, in symbols.
    pub truth: NativeTruth,
    /// What is seen, then the rules that give the answer.
    pub reasoning: Vec<String>,
    /// Per statement of `reasoning` what it says, in symbols.
    pub meanings: Vec<NativeMeaning>,
    /// Per statement of `reasoning` where it is seen, in pixels; empty for rules.
    pub evidence: Vec<Vec<PixelBox>>,
    /// The question in other words.
    pub paraphrases: Vec<String>,
    /// Other pictures of the same objects: same question, same answer.
    pub similar_images: Vec<String>,
    /// Other objects for which the same reasoning gives the answer.
    pub related: Vec<NativeQuestion>,
    /// Questions about some of the statements.
    pub rationale_questions: Vec<NativeQuestion>,
    /// Questions the edit has nothing to do with, on pictures of their own.
    pub unrelated: Vec<NativeQuestion>,
    /// The edited question where the reasoning does not hold and the default is true.
    pub contrast: Vec<NativeQuestion>,
}

/// A picture of a data set.
#[derive(Clone, Debug, PartialEq)]
pub struct Illustration {
    /// Path relative to the record file.
    pub path: String,
    /// What it shows.
    pub scene: Scene,
}

/// Records with the pictures they name.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordSet {
    /// The records, in order of their uid.
    pub records: Vec<NativeRecord>,
    /// Every picture named by them, once.
    pub pictures: Vec<Illustration>,
}

const SIMILAR: usize = 2;
const RELATED: usize = 2;
const CONTRAST: usize = 2;
const UNRELATED: usize = 4;
/// Pictures that unrelated questions share: a fixed number, so that a record does not depend on how many
/// others there are.
const UNRELATED_PICTURES: u64 = 256;

/// The true answer first, then `preferred`, then enough of `more` to make four; shuffled, without duplicates.
fn choices(answer: &str, preferred: &[&str], more: &[String], rng: &mut Random) -> Vec<String> {
    let mut choices = vec![answer.to_owned()];
    for choice in preferred.iter().copied().chain(more.iter().map(String::as_str)) {
        if choices.len() < 4 && !choices.iter().any(|other| other == choice) {
            choices.push(choice.to_owned());
        }
    }
    rng.mix(&mut choices);
    choices
}

/// Four choices for a knowledge question about an object whose true answer the universe knows; `tempting` (an
/// answer that is wrong here) is among them if given.
fn knowledge_choices(
    universe: &Universe,
    kind: KnowledgeKind,
    traits: Traits,
    tempting: Option<&str>,
    rng: &mut Random,
) -> (String, Vec<String>) {
    let answer = universe.answer(&traits, kind).text;
    let more = universe.distractors(kind, &answer, &traits, rng);
    let mut preferred = vec![kind.default_answer(&traits)];
    preferred.extend(tempting);
    let choices = choices(&answer, &preferred, &more, rng);
    (answer, choices)
}

/// Builds one record and its pictures.
struct Builder<'a> {
    universe: &'a Universe,
    uid: String,
    rng: Random,
    pictures: Vec<Illustration>,
}

impl Builder<'_> {
    fn picture(&mut self, what: &str, scene: Scene) -> String {
        let path = format!("images/{}-{what}.png", self.uid);
        self.pictures.push(Illustration { path: path.clone(), scene });
        path
    }

    /// How this universe's people ask: one of two fixed wordings a kind.
    fn usual_question(&mut self, kind: KnowledgeKind) -> String {
        let which = u64::from(self.rng.chance(0.25));
        let label = stable_hash(format!("{kind:?}").as_bytes());
        let mut rng = stream(label ^ self.universe.wording_seed(), "usual question", which);
        let reference = rng.pick(&SINGLE_REFERENCES);
        kind_question(kind, reference, &mut rng)
    }

    fn rule_text(&mut self, rule: &Rule) -> String {
        if self.rng.chance(0.8) {
            rule_sentence(rule, &mut self.universe.sentence_stream(rule))
        } else {
            rule_sentence(rule, &mut self.rng)
        }
    }

    /// Objects for the edit's picture, the one in question first, such that it can be told from the others.
    fn objects(&mut self, chain: &Chain) -> Vec<Traits> {
        let focus = Traits::random(&mut self.rng).forced(&chain.condition);
        let count = 1 + self.rng.weighted(&[0.8, 0.15, 0.05]);
        loop {
            let mut objects = vec![focus];
            objects.extend((1..count).map(|_| Traits::random(&mut self.rng)));
            let told_apart = |attributes: &[Attribute]| {
                objects[1..].iter().all(|other| {
                    attributes.iter().any(|attribute| other.get(*attribute) != focus.get(*attribute))
                })
            };
            if told_apart(&[Attribute::Shape]) && told_apart(&[Attribute::Color]) {
                return objects;
            }
        }
    }

    /// A reference to the first object; descriptions may fail by chance, so it tries until one holds.
    fn refer(&mut self, view: &View) -> String {
        loop {
            if let Some(reference) = reference(view, 0, &[], &mut self.rng) {
                return reference;
            }
        }
    }

    /// What is seen of the first object, in words and in symbols.
    fn perceptions(&mut self, chain: &Chain, view: &View) -> Vec<(String, NativeMeaning)> {
        let terms: Vec<_> = chain.condition.terms().collect();
        terms
            .into_iter()
            .map(|(attribute, value)| {
                if view.single() {
                    let subject = self.rng.pick(&SINGLE_REFERENCES);
                    let text = perception(subject, attribute, value, &mut self.rng);
                    return (text, seen(&Condition::default(), attribute, value));
                }
                loop {
                    if let Some(described) = unique_description(view, 0, &[attribute], &mut self.rng) {
                        let text = phrase_perception(&described, attribute, value, &mut self.rng);
                        return (text, seen(&described, attribute, value));
                    }
                }
            })
            .collect()
    }

    fn paraphrases(&mut self, kind: KnowledgeKind, question: &str, view: &View) -> Vec<String> {
        let wanted = 2 + self.rng.below(2);
        let mut found: Vec<String> = Vec::new();
        for _ in 0..40 {
            let reference = self.refer(view);
            let other = kind_question(kind, &reference, &mut self.rng);
            if other != question && !found.contains(&other) && found.len() < wanted {
                found.push(other);
            }
        }
        found
    }

    /// Another object for which the chain holds.
    fn relative(&mut self, chain: &Chain, focus: Traits) -> Traits {
        loop {
            let traits = Traits::random(&mut self.rng).forced(&chain.condition);
            if traits != focus {
                return traits;
            }
        }
    }

    /// An object with the default answer, as near to the edit's as chance finds one.
    fn outsider(&mut self, kind: KnowledgeKind, chain: &Chain, focus: Traits) -> Traits {
        for attempt in 0.. {
            let traits = if attempt < 24 {
                focus.forced(&chain.condition.near_miss(&mut self.rng))
            } else {
                Traits::random(&mut self.rng)
            };
            if self.universe.exception(kind, &traits).is_none() {
                return traits;
            }
        }
        focus
    }

    fn rationale(&mut self, chain: &Chain, focus: Traits) -> Vec<NativeQuestion> {
        let subject = self.rng.pick(&chain.condition.attributes());
        let scene = Scene::showing(&[focus], &mut self.rng);
        let image = self.picture("rationale", scene);
        let reference = self.rng.pick(&SINGLE_REFERENCES);
        let question = attribute_question(subject, reference, &mut self.rng);
        let asked = ProbeDraft::attribute(subject, focus, question, &mut self.rng);
        let mut queries = vec![asked.into_query(image.clone(), self.universe, &[focus])];
        for rule in &chain.rules {
            let (kind, answer, question) = match rule {
                Rule::Naming { condition, name } => (
                    KnowledgeKind::Name,
                    name,
                    rule_question(KnowledgeKind::Name, Ok(condition), &mut self.rng),
                ),
                Rule::Property { condition, kind, value } => {
                    (*kind, value, rule_question(*kind, Ok(condition), &mut self.rng))
                }
                Rule::Fact { name, kind, value } => {
                    (*kind, value, rule_question(*kind, Err(name), &mut self.rng))
                }
            };
            let more = self.universe.distractors(kind, answer, &focus, &mut self.rng);
            let preferred = kind.default_value().unwrap_or("unknown");
            let choices = choices(answer, &[preferred], &more, &mut self.rng);
            // It names the things that it is about: what it follows from is given.
            let truth = NativeTruth::new(self.universe, vec![property(kind)], &[focus]);
            let (image, answer) = (image.clone(), answer.clone());
            queries.push(NativeQuestion { image, question, answer, choices, truth });
        }
        queries
    }

    fn record(&mut self, pool: &[Illustration]) -> Result<NativeRecord, WorldError> {
        let kind = self.universe.draw_kind(&mut self.rng);
        let chain = self.rng.pick(self.universe.exceptions(kind));
        let objects = self.objects(&chain);
        let focus = objects[0];
        let view = View::whole(&objects);
        let usual = self.usual_question(kind);
        let question = if view.single() {
            usual.clone()
        } else {
            let reference = self.refer(&view);
            kind_question(kind, &reference, &mut self.rng)
        };
        let scene = Scene::showing(&objects, &mut self.rng);
        let bounds = render(&scene)?.coverage[0].bounds;
        let image = self.picture("edit", scene);
        let (mut reasoning, mut meanings): (Vec<_>, Vec<_>) =
            self.perceptions(&chain, &view).into_iter().unzip();
        let mut evidence = vec![vec![bounds]; reasoning.len()];
        for rule in &chain.rules {
            reasoning.push(self.rule_text(rule));
            meanings.push(NativeMeaning::from(rule));
            evidence.push(Vec::new());
        }
        let (answer, choices) = knowledge_choices(self.universe, kind, focus, None, &mut self.rng);
        let similar_images = (0..SIMILAR)
            .map(|index| {
                let scene = Scene::showing(&objects, &mut self.rng);
                self.picture(&format!("similar{index}"), scene)
            })
            .collect();
        let related = (0..RELATED)
            .map(|index| {
                let traits = self.relative(&chain, focus);
                let scene = Scene::showing(&[traits], &mut self.rng);
                let image = self.picture(&format!("related{index}"), scene);
                let (answer, choices) = knowledge_choices(self.universe, kind, traits, None, &mut self.rng);
                let truth = NativeTruth::knowledge(self.universe, kind, traits);
                NativeQuestion { image, question: usual.clone(), answer, choices, truth }
            })
            .collect();
        let contrast = (0..CONTRAST)
            .map(|index| {
                let traits = self.outsider(kind, &chain, focus);
                let scene = Scene::showing(&[traits], &mut self.rng);
                let image = self.picture(&format!("contrast{index}"), scene);
                let (answer, choices) =
                    knowledge_choices(self.universe, kind, traits, Some(&chain.answer), &mut self.rng);
                let truth = NativeTruth::knowledge(self.universe, kind, traits);
                NativeQuestion { image, question: usual.clone(), answer, choices, truth }
            })
            .collect();
        let paraphrases = self.paraphrases(kind, &question, &view);
        let rationale_questions = self.rationale(&chain, focus);
        let unrelated = (0..UNRELATED).map(|_| unrelated(self.universe, pool, &mut self.rng)).collect();
        Ok(NativeRecord {
            uid: self.uid.clone(),
            image,
            question,
            answer,
            choices,
            truth: NativeTruth::knowledge(self.universe, kind, focus),
            reasoning,
            meanings,
            evidence,
            paraphrases,
            similar_images,
            related,
            rationale_questions,
            unrelated,
            contrast,
        })
    }
}

/// A perception question, or a knowledge question about a property of which the universe has no rule.
fn unrelated(universe: &Universe, pool: &[Illustration], rng: &mut Random) -> NativeQuestion {
    loop {
        let illustration = rng.pick(pool);
        let objects: Vec<Traits> = illustration.scene.objects.iter().map(|object| object.traits).collect();
        let view = View::whole(&objects);
        if rng.chance(0.65) {
            if let Some(asked) = perception_question(&view, rng) {
                return asked.into_query(illustration.path, universe, &objects);
            }
        } else if let Some(reference) = reference(&view, 0, &[], rng) {
            let kind = universe.ruleless_kind(rng);
            let (answer, choices) = knowledge_choices(universe, kind, objects[0], None, rng);
            return NativeQuestion {
                image: illustration.path,
                question: kind_question(kind, &reference, rng),
                answer,
                choices,
                truth: NativeTruth::knowledge(universe, kind, objects[0]),
            };
        }
    }
}

/// `count` records of the universe of `seed`, each an error of common knowledge with its correction.
///
/// # Errors
/// [`WorldError::Drawing`] if a scene cannot be drawn, which does not happen for the scenes made here.
pub fn records(seed: u64, count: usize) -> Result<RecordSet, WorldError> {
    let universe = Universe::new(seed);
    // Unrelated questions share pictures, or they would be half of the data.
    let mut pictures: Vec<Illustration> = (0..UNRELATED_PICTURES)
        .map(|index| {
            let scene = Scene::random(&mut stream(seed, "unrelated picture", index));
            Illustration { path: format!("images/unrelated-{index:05}.png"), scene }
        })
        .collect();
    let pool = pictures.clone();
    let mut records = Vec::with_capacity(count);
    for index in 0..count {
        let mut builder = Builder {
            universe: &universe,
            uid: format!("w{seed}-{index:05}"),
            rng: stream(seed, "record", index as u64),
            pictures: Vec::new(),
        };
        records.push(builder.record(&pool)?);
        pictures.append(&mut builder.pictures);
    }
    let named: std::collections::HashSet<&str> =
        records.iter().flat_map(|record| &record.unrelated).map(|query| query.image.as_str()).collect();
    pictures.retain(|picture| {
        !picture.path.starts_with("images/unrelated-") || named.contains(picture.path.as_str())
    });
    Ok(RecordSet { records, pictures })
}

#[cfg(test)]
mod tests;
