//! A scripted world and scripted editors, for tests: what comes out is known beforehand.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use reasonedit_editor::ImageSource;

use crate::baseline::{
    BaselineEditor, EditorCorrection, EditorFactory, EditorFuture, EditorQuestion, EditorReply,
    MemoryFootprint, Profile, RetrievalSetting,
};
use crate::{Bootstrap, Dataset, EvaluationError, EvaluationPlan, Record, Sample};

/// A question that edits change: the model says the first choice, and the second is right.
pub(crate) fn sample(image: &str) -> Sample {
    Sample {
        image: image.to_owned(),
        question: "What is it?".into(),
        answer: "special".into(),
        choices: vec!["plain".into(), "special".into()],
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
            std::fs::write(folder.join(image), image).unwrap();
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
        sequential: None,
        noise: Vec::new(),
        sweeps: Vec::new(),
        seed: 7,
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
    /// Right everywhere, with the right edit in front of what edits should change.
    Perfect,
    /// Remembers the last ten edits.
    Forgetful,
    /// Right where the reasoning says which number it is.
    Reader,
    /// Finds the right edit as its third sentence, if so many are asked for.
    Third,
}

/// Makes scripted editors, and counts what they do.
#[derive(Default)]
pub(crate) struct Scripts {
    /// Questions asked of editors with edits.
    pub(crate) asked: AtomicUsize,
    /// After so many of them everything fails.
    pub(crate) fails_after: Option<usize>,
}

struct Scripted<'a> {
    profile: Profile,
    behaviour: Behaviour,
    scripts: &'a Scripts,
    /// Whether the reasoning of an edit says its number.
    edits: Mutex<HashMap<usize, bool>>,
}

impl EditorFactory for &'static Scripts {
    fn editor<'a>(&'a self, name: &'a str, _: &'a str) -> EditorFuture<'a, Box<dyn BaselineEditor>> {
        let behaviour = match name {
            "unedited" => Behaviour::Unedited,
            "always" => Behaviour::Always,
            "never" => Behaviour::Never,
            "random" => Behaviour::Random,
            "reasonedit" => Behaviour::Perfect,
            "forgetful" => Behaviour::Forgetful,
            "reader" => Behaviour::Reader,
            "third" => Behaviour::Third,
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
        let scripted = Scripted { profile, behaviour, scripts: self, edits: Mutex::default() };
        Box::pin(async { Ok(Box::new(scripted) as Box<dyn BaselineEditor>) })
    }
}

impl Scripted<'_> {
    fn reply(&self, question: &EditorQuestion) -> EditorReply {
        let ImageSource::Bytes(bytes) = &question.image else { panic!("scripted pictures are bytes") };
        let keeps = bytes.starts_with(b"u") || bytes.starts_with(b"c");
        let edits = self.edits.lock();
        let right_edit = vec![vec![question.of_edit]];
        let (special, in_front) = match self.behaviour {
            Behaviour::Unedited | Behaviour::Never => (false, Vec::new()),
            Behaviour::Always => (true, vec![vec![0]]),
            Behaviour::Random => {
                let coin = blake3::hash(&[bytes, question.question.as_bytes()].concat()).as_bytes()[0];
                (coin & 1 == 0, if coin & 2 == 0 { Vec::new() } else { right_edit })
            }
            Behaviour::Perfect if keeps => (false, Vec::new()),
            Behaviour::Perfect => (true, right_edit),
            Behaviour::Forgetful => (!keeps && question.of_edit + 10 >= edits.len(), Vec::new()),
            Behaviour::Reader => (!keeps && edits[&question.of_edit], Vec::new()),
            Behaviour::Third => {
                let k = question.retrieval.k.unwrap_or(5);
                let others = [vec![usize::MAX], vec![usize::MAX], vec![question.of_edit]];
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

    fn edit<'a>(&'a self, number: usize, correction: &'a EditorCorrection) -> EditorFuture<'a, Option<f64>> {
        let says = correction.reasoning.iter().any(|s| s.statement == format!("It is number {number}."));
        let before = self.edits.lock().insert(number, says);
        assert_eq!(before, None, "edit {number} was made twice");
        Box::pin(async { Ok(Some(2.0)) })
    }

    fn ask<'a>(&'a self, question: &'a EditorQuestion) -> EditorFuture<'a, EditorReply> {
        Box::pin(async {
            if self.behaviour != Behaviour::Unedited {
                let before = self.scripts.asked.fetch_add(1, Ordering::Relaxed);
                if self.scripts.fails_after.is_some_and(|most| before >= most) {
                    return Err(EvaluationError::Data("the power went".into()));
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
}
