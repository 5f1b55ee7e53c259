//! What records say of which texts belong together.
//!
//! A topic is a property: what a question asks for, what a statement says something of. Records that know it
//! say so (`truth` and `meanings`, method section 7.4); of others a topic is all that belongs to the edits of
//! one question, which is coarser: a question is then taken to be about every statement of its edit.

use std::collections::{BTreeMap, BTreeSet};

use reasonedit_dataset::{Record, Sample};

/// Place of a text among the [`Examples`]'.
pub(crate) type TextAt = usize;
/// A topic.
pub(crate) type Topic = usize;

/// A question, and what it is about.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) text: TextAt,
    /// What it asks for; `None` where nothing is known of it but that no edit concerns it.
    pub(crate) asked: Option<Topic>,
    /// All that its answer follows from, what it asks for included.
    pub(crate) about: BTreeSet<Topic>,
    /// Whether no edit concerns it.
    pub(crate) unrelated: bool,
}

/// Something said: a statement, or the question that an edit answers.
#[derive(Clone, Debug)]
pub(crate) struct Fact {
    pub(crate) text: TextAt,
    pub(crate) topic: Topic,
    /// Whether it is an edit's question.
    pub(crate) of_edit: bool,
}

/// Texts, and what belongs together.
#[derive(Clone, Debug, Default)]
pub struct Examples {
    /// Each once.
    pub(crate) texts: Vec<String>,
    pub(crate) questions: Vec<Question>,
    pub(crate) facts: Vec<Fact>,
    places: BTreeMap<String, TextAt>,
    topics: BTreeMap<String, Topic>,
    edited: BTreeSet<Topic>,
    /// Topics of statements.
    stated: BTreeSet<Topic>,
    /// Those of statements that have evidence: what pictures show.
    shown: BTreeSet<Topic>,
}

impl Examples {
    /// What these records say; each number is a source of theirs, so that properties of one name in two are
    /// the same.
    pub fn of<'a>(records: impl IntoIterator<Item = &'a Record>) -> Self {
        let mut examples = Self::default();
        for record in records {
            if record.knows_truth() { examples.add(record) } else { examples.add_coarsely(record) }
        }
        examples
    }

    /// Every text once: what has to be embedded.
    pub fn texts(&self) -> &[String] {
        &self.texts
    }

    fn add(&mut self, record: &Record) {
        self.ask(&record.sample, &record.sample.question, false);
        for other in &record.paraphrases {
            self.ask(&record.sample, other, false);
        }
        for sample in record.related.iter().chain(&record.rationale_questions).chain(&record.contrast) {
            self.ask(sample, &sample.question, false);
        }
        for sample in &record.unrelated {
            self.ask(sample, &sample.question, true);
        }
        if let Some(asked) = record.sample.truth.as_ref().and_then(|truth| truth.about.first()) {
            let topic = self.topic(asked);
            self.edited.insert(topic);
            self.state(&record.sample.question, topic, true);
        }
        for (at, (statement, meaning)) in record.reasoning.iter().zip(&record.meanings).enumerate() {
            let topic = self.topic(&meaning.property);
            self.state(statement, topic, false);
            self.stated.insert(topic);
            if record.evidence.get(at).is_some_and(|boxes| !boxes.is_empty()) {
                self.shown.insert(topic);
            }
        }
    }

    fn add_coarsely(&mut self, record: &Record) {
        let topic = self.topic(&format!("questions as: {}", record.sample.question.to_lowercase()));
        self.edited.insert(topic);
        let own = [&record.sample.question].into_iter().chain(&record.paraphrases);
        let samples = record.related.iter().chain(&record.rationale_questions).chain(&record.contrast);
        for question in own.chain(samples.map(|sample| &sample.question)) {
            let text = self.text(question);
            let about = BTreeSet::from([topic]);
            self.questions.push(Question { text, asked: Some(topic), about, unrelated: false });
        }
        for sample in &record.unrelated {
            let text = self.text(&sample.question);
            self.questions.push(Question { text, asked: None, about: BTreeSet::new(), unrelated: true });
        }
        self.state(&record.sample.question, topic, true);
        for statement in &record.reasoning {
            self.state(statement, topic, false);
        }
    }

    fn ask(&mut self, sample: &Sample, question: &str, unrelated: bool) {
        let Some(truth) = &sample.truth else { return };
        let about: Vec<Topic> = truth.about.iter().map(|property| self.topic(property)).collect();
        let text = self.text(question);
        let asked = about.first().copied();
        self.questions.push(Question { text, asked, about: about.into_iter().collect(), unrelated });
    }

    fn state(&mut self, text: &str, topic: Topic, of_edit: bool) {
        let text = self.text(text);
        self.facts.push(Fact { text, topic, of_edit });
    }

    fn text(&mut self, text: &str) -> TextAt {
        if let Some(at) = self.places.get(text) {
            return *at;
        }
        let at = self.texts.len();
        self.places.insert(text.to_owned(), at);
        self.texts.push(text.to_owned());
        at
    }

    fn topic(&mut self, name: &str) -> Topic {
        let next = self.topics.len();
        *self.topics.entry(name.to_owned()).or_insert(next)
    }

    /// Whether a fact bears on a question: an edit's question if it asks for the same, a statement if it says
    /// something of what the question is about.
    pub(crate) fn bears(question: &Question, fact: &Fact) -> bool {
        if fact.of_edit { question.asked == Some(fact.topic) } else { question.about.contains(&fact.topic) }
    }

    /// Questions that no edit concerns, of what no edit asks for and nobody states but of what a picture
    /// shows: what one codebook leaves alone another may be about, and a question that asks for what its
    /// edits tell is no measure of what is unrelated there.
    pub(crate) fn unrelated(&self) -> impl Iterator<Item = &Question> {
        let kept = |topic: Topic| {
            !self.edited.contains(&topic) && (self.shown.contains(&topic) || !self.stated.contains(&topic))
        };
        self.questions.iter().filter(move |question| question.unrelated && question.asked.is_none_or(kept))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(json: &str) -> Record {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn topics_are_properties_where_they_are_known_and_edits_of_one_question_elsewhere() {
        let told = record(
            r#"{"uid": "a", "image": "a.png", "question": "What is it called?", "answer": "zorb",
                "truth": {"about": ["name", "shape"], "subjects": []},
                "reasoning": ["It is a star.", "It is red.", "Stars are called zorbs."],
                "meanings": [{"property": "shape", "value": "star"}, {"property": "color", "value": "red"},
                             {"if": {"shape": "star"}, "property": "name", "value": "zorb"}],
                "evidence": [[], [{"x": 0, "y": 0, "width": 2, "height": 2}], []],
                "unrelated": [
                    {"image": "b.png", "question": "What color is it?", "answer": "red",
                     "truth": {"about": ["color"], "subjects": []}},
                    {"image": "b.png", "question": "What shape is it?", "answer": "a star",
                     "truth": {"about": ["shape"], "subjects": []}},
                    {"image": "b.png", "question": "How many are there?", "answer": "two",
                     "truth": {"about": ["count"], "subjects": []}},
                    {"image": "b.png", "question": "What is its name?", "answer": "star",
                     "truth": {"about": ["name"], "subjects": []}}]}"#,
        );
        let examples = Examples::of([&told]);
        let asked = |text: &str| {
            let at = examples.texts.iter().position(|own| own == text).unwrap();
            examples.questions.iter().find(|question| question.text == at).unwrap()
        };
        let bearing = |text: &str| {
            let bears = |fact: &&Fact| Examples::bears(asked(text), fact);
            let text = |fact: &Fact| examples.texts[fact.text].as_str();
            examples.facts.iter().filter(bears).map(text).collect::<Vec<_>>()
        };
        assert_eq!(
            bearing("What is it called?"),
            ["What is it called?", "It is a star.", "Stars are called zorbs."]
        );
        assert_eq!(bearing("What color is it?"), ["It is red."]);
        // A name is what the edit tells, and of the shape nobody saw where it is.
        let unrelated: Vec<&str> = examples.unrelated().map(|q| examples.texts[q.text].as_str()).collect();
        assert_eq!(unrelated, ["What color is it?", "How many are there?"]);

        let untold = record(
            r#"{"uid": "b", "image": "a.png", "question": "Is it benign?", "answer": "no",
                "reasoning": ["Its border is blurred."], "paraphrases": ["Benign?"],
                "unrelated": [{"image": "b.png", "question": "Who took it?", "answer": "nobody"}]}"#,
        );
        let examples = Examples::of([&untold]);
        let bears =
            |question: &Question| examples.facts.iter().filter(|f| Examples::bears(question, f)).count();
        assert_eq!(examples.questions.iter().map(bears).collect::<Vec<_>>(), [2, 2, 0]);
        assert_eq!(examples.unrelated().count(), 1);
    }
}
