//! Pairs of edits that differ in one detail which decides the answer: the side on which a thing lies, whether
//! it has a rim, how many there are, how large it is. Both are true, each of its own pictures; a service that
//! takes one for the other answers with the opposite of what is right.

use std::collections::HashSet;

use crate::WorldError;
use crate::language::{SINGLE_REFERENCES, fact, kind_question, noun_phrase};
use crate::random::{Random, RandomExt, stream};
use crate::record::{Illustration, NativeRecord, RecordSet};
use crate::render::render;
use crate::scene::{Attribute, Condition, Object, REACH, Scene, Traits};
use crate::truth::{NativeMeaning, NativeTruth, properties, property};
use crate::universe::KnowledgeKind;
use crate::vocabulary::{CLASSES, Split, kind_name, value, with_article};

/// What the two of a pair differ in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PairDetail {
    /// The half of the picture in which the thing lies.
    Side,
    /// Whether the thing has a dark rim.
    Negation,
    /// How many things there are.
    Count,
    /// How large the thing is, as a length.
    Length,
}

impl PairDetail {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Side, Self::Negation, Self::Count, Self::Length];

    /// Name used in records and tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Side => "side",
            Self::Negation => "negation",
            Self::Count => "count",
            Self::Length => "length",
        }
    }

    /// Its values, as the truth of records calls them.
    fn values(self) -> [&'static str; 2] {
        match self {
            Self::Side => ["left", "right"],
            Self::Negation => Attribute::Rim.values().try_into().unwrap_or(["none", "dark"]),
            Self::Count => ["1", "2"],
            Self::Length => ["3 mm", "30 mm"],
        }
    }

    /// The same things with one value of the detail.
    fn of(self, traits: Traits, which: usize) -> Traits {
        let attribute = match self {
            Self::Negation => Attribute::Rim,
            Self::Length => Attribute::Size,
            Self::Side | Self::Count => return traits,
        };
        traits.forced(&Condition::default().and(attribute, which as u8))
    }

    /// A picture of things with one value of the detail; everything else is left to chance.
    fn scene(self, traits: Traits, which: usize, rng: &mut Random) -> Scene {
        let traits = self.of(traits, which);
        if self == Self::Count && which == 1 {
            return Scene::showing(&[traits, traits], rng);
        }
        let mut scene = Scene::showing(&[traits], rng);
        if self == Self::Side {
            for object in &mut scene.objects {
                put_aside(object, scene.width as f32, which == 1, rng);
            }
        }
        scene
    }

    /// What is seen, as people put it, and the same as the condition of a rule.
    fn told(self, which: usize, wording: usize) -> (&'static str, &'static str) {
        let by_wording: [[(&str, &str); 2]; 3] = match self {
            Self::Side => [
                [("is on the left", "on the left"), ("is on the right", "on the right")],
                [
                    ("lies in the left half of the picture", "in the left half"),
                    ("lies in the right half of the picture", "in the right half"),
                ],
                [("is left-sided", "that is left-sided"), ("is right-sided", "that is right-sided")],
            ],
            Self::Negation => [
                [("has no dark rim", "without a dark rim"), ("has a dark rim", "with a dark rim")],
                [("is without a rim", "that has no rim"), ("has a rim", "that has a rim")],
                [("shows no rim", "that shows no rim"), ("shows a dark rim", "that shows a dark rim")],
            ],
            Self::Count => [
                [("is the only one", "that stands alone"), ("is one of two", "that is one of two")],
                [("is single", "that is single"), ("is there twice", "that is there twice")],
                [
                    ("makes one in all", "that makes one in all"),
                    ("makes two in all", "that makes two in all"),
                ],
            ],
            Self::Length => [
                [("is 3 mm wide", "of 3 mm"), ("is 30 mm wide", "of 30 mm")],
                [("measures 3 mm", "that measures 3 mm"), ("measures 30 mm", "that measures 30 mm")],
                [("has a width of 0.3 cm", "of 0.3 cm"), ("has a width of 3 cm", "of 3 cm")],
            ],
        };
        by_wording[wording % by_wording.len()][which]
    }
}

/// Puts an object into one half of a picture, clear of the middle where there is room for that.
fn put_aside(object: &mut Object, width: f32, right: bool, rng: &mut Random) {
    let room = object.radius * REACH;
    let most = room.max(0.38 * width);
    let x = room + rng.between(0.0, 1.0) as f32 * (most - room);
    object.x = if right { width - x } else { x };
}

const SIMILAR: usize = 2;

/// One pair and its pictures.
fn pair(
    uid: &str,
    detail: PairDetail,
    traits: Traits,
    rng: &mut Random,
) -> Result<(Vec<NativeRecord>, Vec<Illustration>), WorldError> {
    let kinds = KnowledgeKind::properties();
    let kind = if rng.chance(0.3) { KnowledgeKind::Name } else { rng.pick(&kinds) };
    let mut names: Vec<String> = Vec::new();
    while names.len() < 3 {
        let name = match kind {
            KnowledgeKind::Name => kind_name(Split::Evaluation, rng),
            KnowledgeKind::Class(index) if names.len() < 2 => {
                let class = CLASSES[index];
                [class.0, class.1][names.len()].to_owned()
            }
            _ => value(Split::Evaluation, rng),
        };
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let mut choices = names.clone();
    let default = kind.default_answer(&traits).to_owned();
    if !choices.contains(&default) {
        choices.push(default);
    }
    rng.mix(&mut choices);
    rng.mix(&mut names[..2]);
    let question = kind_question(kind, rng.pick(&SINGLE_REFERENCES), rng);
    let described = Condition::of(&traits, &[Attribute::Shape, Attribute::Color, Attribute::Texture]);
    let thing = with_article(&noun_phrase(&described, false, rng));
    let wording = rng.below(3);
    let (mut records, mut pictures) = (Vec::new(), Vec::new());
    for (which, answer) in names[..2].iter().enumerate() {
        let mut picture = |what: &str, scene: Scene| {
            let path = format!("images/{uid}-{which}-{what}.png");
            pictures.push(Illustration { path: path.clone(), scene });
            path
        };
        let scene = detail.scene(traits, which, rng);
        let bounds = render(&scene)?.coverage.iter().map(|coverage| coverage.bounds).collect();
        let image = picture("edit", scene);
        let similar_images =
            (0..SIMILAR).map(|n| picture(&format!("similar{n}"), detail.scene(traits, which, rng))).collect();
        let (seen, condition) = detail.told(which, wording);
        let rule = fact(&format!("{thing} {condition}"), kind, answer);
        let mut subject = properties(&Condition::of(&detail.of(traits, which), &Attribute::ALL));
        subject.insert(detail.name().to_owned(), detail.values()[which].to_owned());
        let mut conditions = properties(&described);
        conditions.insert(detail.name().to_owned(), detail.values()[which].to_owned());
        subject.insert(property(kind), answer.clone());
        let about = [property(kind)].into_iter().chain(conditions.keys().cloned()).collect();
        let sees = NativeMeaning {
            condition: std::collections::BTreeMap::new(),
            property: detail.name().to_owned(),
            value: detail.values()[which].to_owned(),
        };
        let follows =
            NativeMeaning { condition: conditions, property: property(kind), value: answer.clone() };
        records.push(NativeRecord {
            uid: format!("{uid}-{which}"),
            image,
            question: question.clone(),
            answer: answer.clone(),
            choices: choices.clone(),
            truth: NativeTruth { about, subjects: vec![subject] },
            reasoning: vec![format!("The thing {seen}."), rule],
            meanings: vec![sees, follows],
            evidence: vec![bounds, Vec::new()],
            paraphrases: Vec::new(),
            similar_images,
            related: Vec::new(),
            rationale_questions: Vec::new(),
            unrelated: Vec::new(),
            contrast: Vec::new(),
        });
    }
    Ok((records, pictures))
}

/// `count` pairs, two records each, the details in turn. No two pairs are of the same things.
///
/// # Errors
/// [`WorldError::Drawing`] if a scene cannot be drawn, which does not happen for the scenes made here.
pub fn pairs(seed: u64, count: usize) -> Result<RecordSet, WorldError> {
    let mut rng = stream(seed, "pairs", 0);
    let mut taken = HashSet::new();
    let mut set = RecordSet { records: Vec::new(), pictures: Vec::new() };
    for index in 0..count {
        let detail = PairDetail::ALL[index % PairDetail::ALL.len()];
        // There are 144 of them: where all are taken it begins anew.
        if taken.len() >= 140 {
            taken.clear();
        }
        let traits = loop {
            let traits = Traits::random(&mut rng);
            let described = Condition::of(&traits, &[Attribute::Shape, Attribute::Color, Attribute::Texture]);
            if taken.insert(described) {
                break traits;
            }
        };
        let uid = format!("p{seed}-{index:04}-{}", detail.name());
        let (records, pictures) = pair(&uid, detail, traits, &mut stream(seed, "pair", index as u64))?;
        set.records.extend(records);
        set.pictures.extend(pictures);
    }
    Ok(set)
}
