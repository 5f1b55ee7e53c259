//! Probes: plain questions and statements by which perception and verification are measured through the
//! service.

use reasonedit_imaging::PixelBox;
use serde::{Deserialize, Serialize};

use crate::WorldError;
use crate::language::{attribute_question, count_question, lower_first, without_stop};
use crate::perception::{Claim, claim, reference, yes_no};
use crate::random::{Random, RandomExt, stream};
use crate::record::{Illustration, NativeQuestion};
use crate::render::render;
use crate::scene::{Attribute, Scene, Traits};
use crate::truth::{COUNT, NativeTruth};
use crate::universe::Universe;
use crate::view::{View, thirds};

/// What a probe measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorldProbeKind {
    /// A question about the whole picture.
    Perception,
    /// A statement about the whole picture.
    VerifyWhole,
    /// A statement about one cell of the 3×3 grid.
    VerifyCrop,
}

/// A question or statement with its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorldProbe {
    /// Path of the picture, relative to the probe file.
    pub image: String,
    /// The part to look at; `None` for the whole picture.
    pub crop: Option<PixelBox>,
    /// What is measured.
    pub kind: WorldProbeKind,
    /// The question of a perception probe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<String>,
    /// The statement of a verification probe, a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement: Option<String>,
    /// The true answer; "yes" or "no" for statements.
    pub answer: String,
    /// Distinct answers, the true one among them.
    pub choices: Vec<String>,
}

/// Probes with the pictures they name.
#[derive(Clone, Debug, PartialEq)]
pub struct ProbeSet {
    /// The probes.
    pub probes: Vec<WorldProbe>,
    /// Every picture named by them, once.
    pub pictures: Vec<Illustration>,
}

/// A question that is not yet tied to a picture file.
pub(crate) struct ProbeDraft {
    question: String,
    answer: String,
    choices: Vec<String>,
    /// The properties that it asks about.
    about: Vec<String>,
    /// The object that it asks about, by its place in the view; else any.
    object: Option<usize>,
}

impl ProbeDraft {
    /// An attribute question; the choices are values of the attribute, filled up with other words to make
    /// four.
    pub(crate) fn attribute(
        attribute: Attribute,
        traits: Traits,
        question: String,
        rng: &mut Random,
    ) -> Self {
        let answer = traits.word(attribute).to_owned();
        let mut values: Vec<&str> =
            attribute.values().iter().copied().filter(|value| *value != answer).collect();
        rng.mix(&mut values);
        let mut others: Vec<&str> = Attribute::ALL
            .iter()
            .filter(|other| **other != attribute)
            .flat_map(|other| other.values())
            .copied()
            // "dark" and "none" are answers about the rim only in a question about it.
            .filter(|word| !matches!(*word, "none" | "dark"))
            .collect();
        rng.mix(&mut others);
        let mut choices: Vec<String> =
            std::iter::once(answer.as_str()).chain(values).chain(others).take(4).map(str::to_owned).collect();
        rng.mix(&mut choices);
        Self { question, answer, choices, about: vec![attribute.name().to_owned()], object: None }
    }

    /// Of a picture that shows these objects.
    pub(crate) fn into_query(self, image: String, universe: &Universe, objects: &[Traits]) -> NativeQuestion {
        let Self { question, answer, choices, about, object } = self;
        let subjects = object.map_or(objects, |place| &objects[place..=place]);
        let truth = NativeTruth::new(universe, about, subjects);
        NativeQuestion { image, question, answer, choices, truth }
    }
}

fn yes_no_choices() -> Vec<String> {
    vec!["yes".to_owned(), "no".to_owned()]
}

/// A question that the picture alone answers: an attribute, a count, or whether a statement holds.
pub(crate) fn perception_question(view: &View, rng: &mut Random) -> Option<ProbeDraft> {
    match rng.weighted(&[0.65, 0.1, 0.25]) {
        0 => {
            let index = rng.below(view.seen.len());
            let attribute = rng.pick(&Attribute::ALL);
            let reference = reference(view, index, &[attribute], rng)?;
            let question = attribute_question(attribute, &reference, rng);
            let draft = ProbeDraft::attribute(attribute, view.seen[index].traits, question, rng);
            Some(ProbeDraft { object: Some(index), ..draft })
        }
        1 => {
            let mut choices = ["one", "two", "three", "four"].map(str::to_owned).to_vec();
            let answer = choices.get(view.seen.len().checked_sub(1)?)?.clone();
            rng.mix(&mut choices);
            let (question, about) = (count_question(rng).to_owned(), vec![COUNT.to_owned()]);
            Some(ProbeDraft { question, answer, choices, about, object: None })
        }
        _ => {
            let Claim { statement, yes, attributes } = claim(view, rng)?;
            let question = format!("Is it true that {}?", lower_first(without_stop(&statement)));
            let about = attributes.iter().map(|attribute| attribute.name().to_owned()).collect();
            let (answer, choices) = (yes_no(yes).to_owned(), yes_no_choices());
            Some(ProbeDraft { question, answer, choices, about, object: None })
        }
    }
}

/// Probes of each kind made from one picture.
const PER_PICTURE: usize = 3;

/// `count` probes, a third of each kind, on pictures of the seed.
///
/// # Errors
/// [`WorldError::Drawing`] if a scene cannot be drawn, which does not happen for the scenes made here.
pub fn probes(seed: u64, count: usize) -> Result<ProbeSet, WorldError> {
    let mut set = ProbeSet { probes: Vec::with_capacity(count), pictures: Vec::new() };
    let mut index = 0;
    while set.probes.len() < count {
        let mut rng = stream(seed, "probe", index);
        let scene = Scene::random(&mut rng);
        let image = format!("images/probe-{index:05}.png");
        let mut found = probes_of(&image, &scene, &mut rng)?;
        found.truncate(count - set.probes.len());
        set.probes.append(&mut found);
        set.pictures.push(Illustration { path: image, scene });
        index += 1;
    }
    Ok(set)
}

fn probes_of(image: &str, scene: &Scene, rng: &mut Random) -> Result<Vec<WorldProbe>, WorldError> {
    let picture = render(scene)?;
    let objects: Vec<Traits> = scene.objects.iter().map(|object| object.traits).collect();
    let whole = View::whole(&objects);
    let mut probes = Vec::new();
    let verify = |view: &View, crop: Option<PixelBox>, rng: &mut Random| {
        let Claim { statement, yes, .. } = claim(view, rng)?;
        Some(WorldProbe {
            image: image.to_owned(),
            crop,
            kind: if crop.is_some() { WorldProbeKind::VerifyCrop } else { WorldProbeKind::VerifyWhole },
            question: None,
            statement: Some(statement),
            answer: yes_no(yes).to_owned(),
            choices: yes_no_choices(),
        })
    };
    for _ in 0..PER_PICTURE {
        probes.extend(perception_question(&whole, rng).map(|asked| WorldProbe {
            image: image.to_owned(),
            crop: None,
            kind: WorldProbeKind::Perception,
            question: Some(asked.question),
            statement: None,
            answer: asked.answer,
            choices: asked.choices,
        }));
        probes.extend(verify(&whole, None, rng));
        let (xs, ys) = (thirds(scene.width), thirds(scene.height));
        let (column, row) = (rng.below(3), rng.below(3));
        let cell = PixelBox {
            x: xs[column],
            y: ys[row],
            width: xs[column + 1] - xs[column],
            height: ys[row + 1] - ys[row],
        };
        let view = View::cut(scene, &picture, cell);
        // A cell with a sliver of something has no clear answer.
        if view.doubtful.is_empty() {
            probes.extend(verify(&view, Some(cell), rng));
        }
    }
    Ok(probes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn probes_are_many_of_each_kind_and_well_formed() {
        let set = probes(5, 300).unwrap();
        assert_eq!(set.probes.len(), 300);
        let mut counts: HashMap<String, usize> = HashMap::new();
        let mut yes = 0;
        for probe in &set.probes {
            *counts.entry(format!("{:?}", probe.kind)).or_default() += 1;
            assert!(probe.choices.contains(&probe.answer));
            assert_eq!(probe.question.is_some(), probe.kind == WorldProbeKind::Perception);
            assert_eq!(probe.statement.is_some(), probe.kind != WorldProbeKind::Perception);
            assert_eq!(probe.crop.is_some(), probe.kind == WorldProbeKind::VerifyCrop);
            let scene = &set.pictures.iter().find(|picture| picture.path == probe.image).unwrap().scene;
            assert!(probe.crop.is_none_or(|crop| crop.validate(scene.width, scene.height).is_ok()));
            yes += usize::from(probe.kind == WorldProbeKind::VerifyWhole && probe.answer == "yes");
        }
        assert!(counts.len() == 3 && counts.values().all(|count| *count > 50), "{counts:?}");
        let whole = counts["VerifyWhole"];
        assert!(yes * 10 > whole * 3 && yes * 10 < whole * 7, "{yes} of {whole}");
    }

    #[test]
    fn probes_follow_from_the_seed() {
        assert_eq!(probes(6, 30).unwrap(), probes(6, 30).unwrap());
        assert_ne!(probes(6, 30).unwrap().probes, probes(7, 30).unwrap().probes);
    }

    #[test]
    fn a_statement_probe_reads_as_documented() {
        let probe = WorldProbe {
            image: "images/a.png".to_owned(),
            crop: None,
            kind: WorldProbeKind::VerifyWhole,
            question: None,
            statement: Some("It is red.".to_owned()),
            answer: "yes".to_owned(),
            choices: yes_no_choices(),
        };
        let text = serde_json::to_string(&probe).unwrap();
        assert_eq!(
            text,
            r#"{"image":"images/a.png","crop":null,"kind":"verify_whole","statement":"It is red.","answer":"yes","choices":["yes","no"]}"#
        );
        assert_eq!(serde_json::from_str::<WorldProbe>(&text).unwrap(), probe);
    }
}
