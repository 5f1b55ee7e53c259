//! A scripted world and scripted editors, for tests: what comes out is known beforehand.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use reasonedit_dataset::{Dataset, Record, Sample};
use reasonedit_editor::ImageSource;

use crate::baseline::{
    BaselineEditor, EditOutcome, EditorCorrection, EditorFactory, EditorFuture, EditorQuestion, EditorReply,
    MemoryFootprint, Profile, RetrievalSetting, SentenceInFront, TunableFactory,
};
use crate::settings::{EditorSettings, TuningSpace, unlabelled};
use crate::{Bootstrap, EvaluationError, EvaluationPlan};

/// A question that edits change: the model says the first choice, and the second is right.
pub(crate) fn sample(image: &str) -> Sample {
    Sample {
        image: image.to_owned(),
        question: "What is it?".into(),
        answer: "special".into(),
        choices: vec!["plain".into(), "special".into()],
        truth: None,
    }
}

/// A record with one question of every kind. Pictures of unrelated questions begin with `u`, those of
/// contrast questions with `c`.
pub(crate) fn record(number: usize) -> Record {
    let kept = |image: String, question: &str| Sample {
        answer: "plain".into(),
        question: question.to_owned(),
        ..sample(&image)
    };
    Record {
        uid: format!("r{number}"),
        meanings: Vec::new(),
        sample: sample(&format!("{number}.png")),
        reasoning: vec![format!("It is number {number}.")],
        evidence: Vec::new(),
        paraphrases: vec!["Say, what is it?".into()],
        similar_images: vec![format!("s{number}.png")],
        related: vec![sample(&format!("e{number}.png"))],
        rationale_questions: vec![Sample {
            question: "Which number?".into(),
            ..sample(&format!("q{number}.png"))
        }],
        unrelated: vec![kept(format!("u{number}.png"), "What colour is it?")],
        contrast: vec![kept(format!("c{number}.png"), "What is it?")],
    }
}

/// Records and their pictures in a folder. The bytes of a picture are its name.
pub(crate) fn world(folder: &Path, records: &[Record]) -> Dataset {
    let mut lines = String::new();
    for record in records {
        let others = [&record.related, &record.rationale_questions, &record.unrelated, &record.contrast];
        let images = others.into_iter().flatten().map(|sample| &sample.image);
        for image in images.chain(&record.similar_images).chain([&record.sample.image]) {
            let file = folder.join(image);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, image).unwrap();
        }
        lines += &(serde_json::to_string(record).unwrap() + "\n");
    }
    std::fs::write(folder.join("edits.jsonl"), lines).unwrap();
    Dataset::open(folder).unwrap()
}

pub(crate) fn plan(editors: &[&str], edits: usize) -> EvaluationPlan {
    EvaluationPlan {
        editors: editors.iter().map(|name| (*name).to_owned()).collect(),
        edits,
        given_boxes: false,
        all_at_once: true,
        sizes: Vec::new(),
        single: false,
        sequential: None,
        noise: Vec::new(),
        sweeps: Vec::new(),
        seed: 7,
        save_every: 5,
        jobs: 1,
        bootstrap: Bootstrap { resamples: 200, seed: 1 },
        out: None,
    }
}

/// How a scripted editor behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Behaviour {
    /// As the unedited model: the first choice.
    Unedited,
    /// Puts the first edit's sentence in front of everything, and says what edits say.
    Always,
    /// Keeps everything back.
    Never,
    /// Both by chance.
    Random,
    /// Puts everything that the right edit says in front, whatever is asked.
    Oracle,
    /// Puts any statement of any edit in front, whatever is asked.
    Injector,
    /// Right everywhere, with the right edit in front of what edits should change.
    Perfect,
    /// Remembers the last ten edits.
    Forgetful,
    /// Right where the reasoning says which number it is.
    Reader,
    /// Finds the right edit as its third sentence, if so many are asked for.
    Third,
    /// Right where the edit was made; every third can't be.
    Fragile,
    /// Right where the edit was made, and its state can be written and read.
    Weights,
    /// Right on so many of ten edits as its setting says, and none can be made with 7.
    Tunable,
}

/// Makes scripted editors, and counts what they do.
#[derive(Default)]
pub(crate) struct Scripts {
    /// Questions asked of editors with edits.
    pub(crate) asked: AtomicUsize,
    /// After so many of them everything fails.
    pub(crate) fails_after: Option<usize>,
    /// They fail by no fault of the editor's.
    pub(crate) gone: bool,
    /// Edits made by editors that write their state.
    pub(crate) made: AtomicUsize,
    /// Editors that there are, and the most that there were.
    pub(crate) alive: AtomicUsize,
    pub(crate) most_alive: AtomicUsize,
    pub(crate) settings: Mutex<HashMap<String, EditorSettings>>,
}

struct Scripted<'a> {
    profile: Profile,
    behaviour: Behaviour,
    scripts: &'a Scripts,
    settings: EditorSettings,
    /// Whether the reasoning of an edit says its number.
    edits: Mutex<HashMap<usize, bool>>,
    /// The reasoning by edit.
    said: Mutex<BTreeMap<usize, Vec<String>>>,
}

impl Drop for Scripted<'_> {
    fn drop(&mut self) {
        self.scripts.alive.fetch_sub(1, Ordering::Relaxed);
    }
}

impl TunableFactory for &'static Scripts {
    fn space(&self, name: &str) -> Result<TuningSpace, EvaluationError> {
        if name != "tunable" {
            return Err(EvaluationError::Variant { name: name.into(), what: "nothing to tune".into() });
        }
        let strengths = (0..10).map(f64::from).collect();
        Ok(TuningSpace {
            published: EditorSettings::new([("strength", 2.0)]),
            grid: vec![("strength".into(), strengths)],
        })
    }

    fn with_settings(self, name: &str, settings: EditorSettings) -> Result<Self, EvaluationError> {
        self.settings.lock().insert(name.to_owned(), settings);
        Ok(self)
    }
}

impl EditorFactory for &'static Scripts {
    fn settings(&self, name: &str) -> EditorSettings {
        self.settings.lock().get(name).cloned().unwrap_or_default()
    }

    fn editor<'a>(&'a self, name: &'a str, _: &'a str) -> EditorFuture<'a, Box<dyn BaselineEditor>> {
        let settings = EditorFactory::settings(self, name);
        if settings.get("strength") == Some(7.0) {
            return Box::pin(async { Err(EvaluationError::Data("7 is too strong".into())) });
        }
        let name = unlabelled(name);
        let behaviour = match name {
            "unedited" => Behaviour::Unedited,
            "always" => Behaviour::Always,
            "never" => Behaviour::Never,
            "random" => Behaviour::Random,
            "oracle" => Behaviour::Oracle,
            "injector" => Behaviour::Injector,
            "reasonedit" => Behaviour::Perfect,
            "forgetful" => Behaviour::Forgetful,
            "reader" => Behaviour::Reader,
            "third" => Behaviour::Third,
            "fragile" => Behaviour::Fragile,
            "weights" => Behaviour::Weights,
            "tunable" => Behaviour::Tunable,
            other => panic!("no script for {other}"),
        };
        let profile = Profile {
            name: name.to_owned(),
            about: format!("{behaviour:?}."),
            retrieves: behaviour != Behaviour::Unedited,
            gated: behaviour == Behaviour::Never,
            uses_reasoning: behaviour == Behaviour::Reader,
            retrieval_settings: if behaviour == Behaviour::Third {
                vec![RetrievalSetting::K]
            } else {
                Vec::new()
            },
        };
        let alive = self.alive.fetch_add(1, Ordering::Relaxed) + 1;
        self.most_alive.fetch_max(alive, Ordering::Relaxed);
        let (edits, said) = (Mutex::default(), Mutex::default());
        let scripted = Scripted { profile, behaviour, scripts: self, settings, edits, said };
        Box::pin(async { Ok(Box::new(scripted) as Box<dyn BaselineEditor>) })
    }
}

impl Scripted<'_> {
    fn reply(&self, question: &EditorQuestion) -> EditorReply {
        let ImageSource::Bytes(bytes) = &question.image else { panic!("scripted pictures are bytes") };
        let keeps = bytes.starts_with(b"u") || bytes.starts_with(b"c");
        let edits = self.edits.lock();
        let right_edit = vec![SentenceInFront::answer(vec![question.of_edit])];
        let coin = || blake3::hash(&[bytes, question.question.as_bytes()].concat());
        let (special, in_front) = match self.behaviour {
            Behaviour::Unedited | Behaviour::Never => (false, Vec::new()),
            Behaviour::Always => (true, vec![SentenceInFront::answer(vec![0])]),
            Behaviour::Random => {
                let coin = coin().as_bytes()[0];
                (coin & 1 == 0, if coin & 2 == 0 { Vec::new() } else { right_edit })
            }
            Behaviour::Oracle => {
                let said = self.said.lock()[&question.of_edit].clone();
                let of = |text| SentenceInFront::statement(vec![question.of_edit], text);
                (false, right_edit.into_iter().chain(said.into_iter().map(of)).collect())
            }
            Behaviour::Injector => {
                let said = self.said.lock();
                let all: Vec<(usize, &String)> =
                    said.iter().flat_map(|(edit, own)| own.iter().map(|text| (*edit, text))).collect();
                let drawn = u32::from_le_bytes(coin().as_bytes()[..4].try_into().unwrap()) as usize;
                let (edit, text) = all[drawn % all.len()];
                (false, vec![SentenceInFront::statement(vec![edit], text)])
            }
            Behaviour::Perfect if keeps => (false, Vec::new()),
            Behaviour::Perfect => (true, right_edit),
            Behaviour::Forgetful => {
                let latest = edits.keys().max().copied().unwrap_or_default();
                (
                    !keeps && edits.contains_key(&question.of_edit) && question.of_edit + 10 > latest,
                    Vec::new(),
                )
            }
            Behaviour::Reader => (!keeps && edits[&question.of_edit], Vec::new()),
            Behaviour::Fragile | Behaviour::Weights => {
                (!keeps && edits.contains_key(&question.of_edit), Vec::new())
            }
            Behaviour::Tunable => {
                let strength = self.settings.or("strength", 5.0);
                (!keeps && ((question.of_edit % 10) as f64) < strength, Vec::new())
            }
            Behaviour::Third => {
                let k = question.retrieval.k.unwrap_or(5);
                let others = [usize::MAX, usize::MAX, question.of_edit];
                let others = others.map(|edit| SentenceInFront::answer(vec![edit]));
                (!keeps && k >= 3, others.into_iter().take(k).collect())
            }
        };
        let rejected = self.behaviour == Behaviour::Never;
        EditorReply { answer: question.choices[usize::from(special)].clone(), in_front, rejected }
    }
}

impl BaselineEditor for Scripted<'_> {
    fn profile(&self) -> &Profile {
        &self.profile
    }

    fn edit<'a>(&'a self, number: usize, correction: &'a EditorCorrection) -> EditorFuture<'a, EditOutcome> {
        if self.behaviour == Behaviour::Fragile && number % 3 == 1 {
            return Box::pin(async { Ok(EditOutcome::Failed("the loss was no number".into())) });
        }
        if self.behaviour == Behaviour::Weights {
            self.scripts.made.fetch_add(1, Ordering::Relaxed);
        }
        let says = correction.reasoning.iter().any(|s| s.statement == format!("It is number {number}."));
        let before = self.edits.lock().insert(number, says);
        assert_eq!(before, None, "edit {number} was made twice");
        let said = correction.reasoning.iter().map(|s| s.statement.clone()).collect();
        self.said.lock().insert(number, said);
        Box::pin(async { Ok(EditOutcome::Made(Some(2.0))) })
    }

    fn ask<'a>(&'a self, question: &'a EditorQuestion) -> EditorFuture<'a, EditorReply> {
        Box::pin(async {
            if self.behaviour != Behaviour::Unedited {
                let before = self.scripts.asked.fetch_add(1, Ordering::Relaxed);
                if self.scripts.fails_after.is_some_and(|most| before >= most) {
                    let why = "the power went".to_owned();
                    return Err(if self.scripts.gone {
                        EvaluationError::Service(why)
                    } else {
                        EvaluationError::Data(why)
                    });
                }
            }
            Ok(self.reply(question))
        })
    }

    fn kept(&self) -> EditorFuture<'_, Option<MemoryFootprint>> {
        let edits = self.edits.lock().len() as u64;
        let kept = (self.behaviour != Behaviour::Unedited)
            .then_some(MemoryFootprint { merged: 500 * edits, unmerged: 1000 * edits });
        Box::pin(async move { Ok(kept) })
    }

    fn save<'a>(&'a self, folder: &'a Path) -> EditorFuture<'a, bool> {
        Box::pin(async move {
            if self.behaviour != Behaviour::Weights {
                return Ok(false);
            }
            let state = serde_json::to_string(&*self.edits.lock()).unwrap();
            std::fs::write(folder.join("state.json"), state).unwrap();
            Ok(true)
        })
    }

    fn restore<'a>(&'a self, folder: &'a Path) -> EditorFuture<'a, bool> {
        Box::pin(async move {
            assert!(self.edits.lock().is_empty(), "a state belongs into an editor without edits");
            let state = std::fs::read_to_string(folder.join("state.json")).unwrap();
            *self.edits.lock() = serde_json::from_str(&state).unwrap();
            Ok(true)
        })
    }
}
