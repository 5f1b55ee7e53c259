//! Records and probes as they stand in native files (method section 7).

use reasonedit_imaging::PixelBox;
use serde::{Deserialize, Serialize};

use crate::truth::{Properties, QuestionTruth, StatementMeaning};

/// A question about a picture, with its right answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Picture: its path relative to the data folder, or its name within a file.
    pub image: String,
    /// The question.
    pub question: String,
    /// The right answer, one of the choices if there are any.
    pub answer: String,
    /// What can be answered; empty: the answer is generated.
    #[serde(default)]
    pub choices: Vec<String>,
    /// What it is about, in symbols, where the data know it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truth: Option<QuestionTruth>,
}

/// An edit with everything that tests it. Lists may be empty.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Name of the record.
    pub uid: String,
    /// The edited question on its picture.
    #[serde(flatten)]
    pub sample: Sample,
    /// The reasoning, statement by statement.
    #[serde(default)]
    pub reasoning: Vec<String>,
    /// What each statement says, in symbols, where the data know it; else empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub meanings: Vec<StatementMeaning>,
    /// Boxes for each statement.
    #[serde(default)]
    pub evidence: Vec<Vec<PixelBox>>,
    /// The question in other words.
    #[serde(default)]
    pub paraphrases: Vec<String>,
    /// Other pictures with the same question and answer.
    #[serde(default)]
    pub similar_images: Vec<String>,
    /// Other scenes for which the same reasoning gives the answer.
    #[serde(default)]
    pub related: Vec<Sample>,
    /// Questions about the statements.
    #[serde(default)]
    pub rationale_questions: Vec<Sample>,
    /// Questions that have nothing to do with any edit.
    #[serde(default)]
    pub unrelated: Vec<Sample>,
    /// The edited question on pictures for which the reasoning does not hold.
    #[serde(default)]
    pub contrast: Vec<Sample>,
}

impl Record {
    /// Whether it says of everything in it what it says.
    pub fn knows_truth(&self) -> bool {
        self.sample.truth.is_some() && self.meanings.len() == self.reasoning.len()
    }

    /// What one of its statements says; `None` for one that it has not, or does not know.
    pub fn meaning_of(&self, statement: &str) -> Option<&StatementMeaning> {
        let same = |own: &&String| own.trim() == statement.trim();
        let at = self.reasoning.iter().position(|own| same(&own))?;
        self.meanings.get(at)
    }

    /// What its answer says: that what the edited question asks for has this value.
    pub fn answer_meaning(&self) -> Option<StatementMeaning> {
        let Sample { answer, truth, .. } = &self.sample;
        let property = truth.as_ref()?.about.first()?.clone();
        Some(StatementMeaning { condition: Properties::new(), property, value: answer.clone() })
    }

    /// What of its truth can't be meant.
    pub(crate) fn fault(&self) -> Option<String> {
        let (meanings, statements) = (self.meanings.len(), self.reasoning.len());
        if meanings > 0 && meanings != statements {
            return Some(format!("`meanings` has {meanings} entries for {statements} statements"));
        }
        let lists = [&self.related, &self.rationale_questions, &self.unrelated, &self.contrast];
        let samples = lists.into_iter().flatten().chain([&self.sample]);
        let empty = |sample: &Sample| sample.truth.as_ref().is_some_and(|truth| truth.about.is_empty());
        samples.into_iter().any(empty).then(|| "a `truth` is `about` no property".to_owned())
    }
}

/// What a probe measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProbeKind {
    /// A perception question with choices.
    Perception,
    /// Whether the whole picture shows a statement.
    VerifyWhole,
    /// Whether a crop shows a statement.
    VerifyCrop,
}

/// A question to the unedited model alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    /// What it measures.
    pub kind: ProbeKind,
    /// Picture, relative to the data folder.
    pub image: String,
    /// The part that is looked at.
    #[serde(default)]
    pub crop: Option<PixelBox>,
    /// The question, for perception.
    #[serde(default)]
    pub question: Option<String>,
    /// The statement, for verification.
    #[serde(default)]
    pub statement: Option<String>,
    /// The right answer: one of the choices, or `yes` or `no`.
    pub answer: String,
    /// What can be answered.
    #[serde(default)]
    pub choices: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meaning(json: &str) -> StatementMeaning {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn an_answer_says_what_is_asked_for_and_a_statement_is_found_by_its_text() {
        let record: Record = serde_json::from_str(
            r#"{"uid": "1", "image": "a.png", "question": "Q?", "answer": "zorb", "reasoning": ["It is red.", "It is big."],
                "meanings": [{"property": "color", "value": "red"}, {"property": "size", "value": "large"}],
                "truth": {"about": ["name", "color"], "subjects": []}}"#,
        )
        .unwrap();
        assert!(record.knows_truth() && record.fault().is_none());
        assert_eq!(record.answer_meaning(), Some(meaning(r#"{"property": "name", "value": "zorb"}"#)));
        assert_eq!(record.meaning_of(" It is big.").unwrap().property, "size");
        assert_eq!(record.meaning_of("Milk is white."), None);
        let fewer = Record { meanings: record.meanings[..1].to_vec(), ..record.clone() };
        assert!(!fewer.knows_truth() && fewer.fault().unwrap().contains("1 entries for 2"));
        let older = Record { meanings: Vec::new(), ..record };
        assert!(!older.knows_truth() && older.fault().is_none());
    }
}
