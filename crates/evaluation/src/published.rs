//! Records of A-OKVQA and FVQA as the authors publish them: `uid`, `image_path`, `question`, `answer`, `rationale`,
//! `choices` ("a; b; c; d"), `cot`.

use reasonedit_editor::split_sentences;
use serde::Deserialize;

use crate::dataset::{Record, Sample};

/// One line of a published file. Other fields are passed over.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct PublishedRecord {
    uid: Id,
    image_path: String,
    question: String,
    answer: String,
    #[serde(default)]
    rationale: Option<OneOrMany>,
    #[serde(default)]
    choices: Option<OneOrMany>,
    #[serde(default)]
    cot: Option<OneOrMany>,
}

/// Some files number their records.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Id {
    Text(String),
    Number(u64),
}

/// One text, or a list of them.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    /// Not empty, without outer space; one text is cut by `cut`.
    fn parts(self, cut: impl Fn(&str) -> Vec<String>) -> Vec<String> {
        let parts = match self {
            Self::One(text) => cut(&text),
            Self::Many(texts) => texts,
        };
        parts.iter().map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
    }
}

impl From<PublishedRecord> for Record {
    fn from(published: PublishedRecord) -> Self {
        // Statement: sentence of cot, else of rationale (method section 7).
        let sentences =
            |given: Option<OneOrMany>| given.map(|given| given.parts(split_sentences)).unwrap_or_default();
        let mut reasoning = sentences(published.cot);
        if reasoning.is_empty() {
            reasoning = sentences(published.rationale);
        }
        let split = |text: &str| text.split(';').map(str::to_owned).collect();
        Self {
            uid: match published.uid {
                Id::Text(text) => text,
                Id::Number(number) => number.to_string(),
            },
            sample: Sample {
                image: published.image_path,
                question: published.question,
                answer: published.answer.trim().to_owned(),
                choices: published.choices.map(|choices| choices.parts(split)).unwrap_or_default(),
            },
            reasoning,
            evidence: Vec::new(),
            paraphrases: Vec::new(),
            similar_images: Vec::new(),
            related: Vec::new(),
            rationale_questions: Vec::new(),
            unrelated: Vec::new(),
            contrast: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(json: &str) -> Record {
        serde_json::from_str::<PublishedRecord>(json).unwrap().into()
    }

    #[test]
    fn choices_are_cut_and_statements_come_from_cot_first() {
        let read = record(
            r#"{"uid": "a1", "image_path": "images/1.jpg", "question": "What is it?", "answer": "cat ", "rationale": "It has fur.",
                "choices": "cat; dog;bird ;fish", "cot": "It has whiskers. So it is a cat."}"#,
        );
        assert_eq!(read.sample.choices, ["cat", "dog", "bird", "fish"]);
        assert_eq!(read.sample.answer, "cat");
        assert_eq!(read.reasoning, ["It has whiskers.", "So it is a cat."]);
    }

    #[test]
    fn without_cot_the_rationale_is_taken() {
        let read = record(
            r#"{"uid": 7, "image_path": "1.jpg", "question": "Q?", "answer": "a", "rationale": ["One.", " "], "cot": "", "split": "val"}"#,
        );
        assert_eq!((read.uid.as_str(), read.reasoning.as_slice()), ("7", &["One.".to_owned()][..]));
        assert!(read.sample.choices.is_empty());
    }
}
