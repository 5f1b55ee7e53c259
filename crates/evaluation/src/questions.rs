//! The questions that an evaluation asks, by what they measure (method section 7; paper section 4.1).

use std::collections::{HashMap, HashSet};

use reasonedit_dataset::{Record, Sample};
use serde::{Deserialize, Serialize};

/// Unrelated questions that each edit contributes to hard locality.
const HARD_PER_EDIT: usize = 2;

/// What a question measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// The edited question itself.
    Reliability,
    /// The edited question in other words.
    TextGenerality,
    /// The edited question on similar pictures.
    ImageGenerality,
    /// Questions about the statements of the reasoning.
    RationaleGenerality,
    /// Another scene for which the same reasoning gives the answer.
    CoeGenerality,
    /// Questions that share neither picture nor question with an edit.
    Locality,
    /// Of those of the whole data the ones whose words are nearest to an edit's.
    HardLocality,
    /// The edited question on pictures for which the reasoning does not hold.
    Contrast,
}

impl Metric {
    /// All, in the order of the tables.
    pub const ALL: [Self; 8] = [
        Self::Reliability,
        Self::TextGenerality,
        Self::ImageGenerality,
        Self::RationaleGenerality,
        Self::CoeGenerality,
        Self::Locality,
        Self::HardLocality,
        Self::Contrast,
    ];

    /// Those of the paper (section 4.1), in the order of its table 1.
    pub const PAPER: [Self; 6] = [
        Self::Reliability,
        Self::TextGenerality,
        Self::ImageGenerality,
        Self::CoeGenerality,
        Self::RationaleGenerality,
        Self::Locality,
    ];

    /// As it is named in `report.json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reliability => "reliability",
            Self::TextGenerality => "text_generality",
            Self::ImageGenerality => "image_generality",
            Self::RationaleGenerality => "rationale_generality",
            Self::CoeGenerality => "coe_generality",
            Self::Locality => "locality",
            Self::HardLocality => "hard_locality",
            Self::Contrast => "contrast",
        }
    }

    /// Head of a column.
    pub fn title(self) -> &'static str {
        match self {
            Self::Reliability => "reliability",
            Self::TextGenerality => "text",
            Self::ImageGenerality => "image",
            Self::RationaleGenerality => "rationale",
            Self::CoeGenerality => "chain of error",
            Self::Locality => "locality",
            Self::HardLocality => "hard locality",
            Self::Contrast => "contrast",
        }
    }

    /// What its figure is a share of, in a sentence.
    pub fn about(self) -> &'static str {
        match self {
            Self::Reliability => "the edited questions, each on its own picture, that are answered rightly.",
            Self::TextGenerality => {
                "the edited questions in other words, on their own pictures, that are answered rightly."
            }
            Self::ImageGenerality => {
                "the edited questions on other pictures of the same objects that are answered rightly."
            }
            Self::RationaleGenerality => {
                "the questions about the statements of the reasoning that are answered rightly."
            }
            Self::CoeGenerality => {
                "the questions about other scenes, for which the same reasoning gives the answer, that are answered rightly \
                 (chain-of-error generality)."
            }
            Self::Locality => {
                "the questions that share neither picture nor question with an edit, and that the unedited model answers rightly, that \
                 still are."
            }
            Self::HardLocality => {
                "the same for the unrelated questions of the whole data whose words are nearest to an edited question's (Jaccard \
                 overlap of the words)."
            }
            Self::Contrast => {
                "the edited questions on pictures for which the reasoning does not hold, and that the unedited model answers rightly, \
                 that still are. No paper measures it; an answer that is repeated for every similar question fails it."
            }
        }
    }

    /// Whether it measures what is kept: then only questions that the unedited model answers rightly count,
    /// and facts in front are not wanted.
    pub fn keeps(self) -> bool {
        matches!(self, Self::Locality | Self::HardLocality | Self::Contrast)
    }

    /// Whether the questions have nothing to do with any edit, so that a fact in front is injected falsely.
    pub fn is_unrelated(self) -> bool {
        matches!(self, Self::Locality | Self::HardLocality)
    }
}

/// A question to be asked of every editor.
#[derive(Clone, Debug, PartialEq)]
pub struct EvaluationQuestion {
    /// What it measures.
    pub metric: Metric,
    /// The edit that it is counted with, by its number.
    pub edit: usize,
    /// Picture, question, right answer, choices.
    pub sample: Sample,
}

/// The questions whose answers the edits should change, edit by edit.
pub(crate) fn changing(edits: &[&Record]) -> Vec<EvaluationQuestion> {
    let mut questions = Vec::new();
    for (edit, record) in edits.iter().enumerate() {
        let mut add = |metric, sample: Sample| questions.push(EvaluationQuestion { metric, edit, sample });
        add(Metric::Reliability, record.sample.clone());
        for question in &record.paraphrases {
            add(Metric::TextGenerality, Sample { question: question.clone(), ..record.sample.clone() });
        }
        for image in &record.similar_images {
            add(Metric::ImageGenerality, Sample { image: image.clone(), ..record.sample.clone() });
        }
        for sample in &record.rationale_questions {
            add(Metric::RationaleGenerality, sample.clone());
        }
        for sample in &record.related {
            add(Metric::CoeGenerality, sample.clone());
        }
    }
    questions
}

/// The questions whose answers the edits should not change, before it is known which of them the unedited
/// model answers rightly. `all` are the records of the whole data, edited or not.
pub(crate) fn keeping(edits: &[&Record], all: &[Record]) -> Vec<EvaluationQuestion> {
    let edited: HashSet<&str> = edits.iter().map(|record| record.sample.question.trim()).collect();
    let images: HashSet<&str> = edits.iter().map(|record| record.sample.image.as_str()).collect();
    let unrelated = |sample: &&Sample| {
        !edited.contains(sample.question.trim()) && !images.contains(sample.image.as_str())
    };
    let mut questions = Vec::new();
    for (edit, record) in edits.iter().enumerate() {
        let mut add = |metric, sample: &Sample| {
            questions.push(EvaluationQuestion { metric, edit, sample: sample.clone() });
        };
        record.unrelated.iter().filter(unrelated).for_each(|sample| add(Metric::Locality, sample));
        record.contrast.iter().for_each(|sample| add(Metric::Contrast, sample));
    }
    let mut seen = HashSet::new();
    let pool: Vec<&Sample> = all
        .iter()
        .flat_map(|record| &record.unrelated)
        .filter(unrelated)
        .filter(|sample| seen.insert((sample.image.as_str(), sample.question.trim())))
        .collect();
    questions.extend(hardest(edits, &pool));
    questions
}

/// For each edit the questions of the pool with the most words in common with its own that no edit before it
/// has taken.
fn hardest(edits: &[&Record], pool: &[&Sample]) -> Vec<EvaluationQuestion> {
    let pool_words: Vec<HashSet<String>> = pool.iter().map(|sample| words(&sample.question)).collect();
    // Many edits share a question: each is compared with the pool once, and a cursor passes over what was
    // taken.
    let mut rankings: HashMap<&str, (Vec<usize>, usize)> = HashMap::new();
    let mut taken = vec![false; pool.len()];
    let mut questions = Vec::new();
    for (edit, record) in edits.iter().enumerate() {
        let (ranking, next) = rankings.entry(record.sample.question.trim()).or_insert_with(|| {
            let own = words(&record.sample.question);
            let mut scored: Vec<(f64, usize)> =
                pool_words.iter().enumerate().map(|(at, other)| (overlap(&own, other), at)).collect();
            scored.retain(|(overlap, _)| *overlap > 0.0);
            scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
            (scored.into_iter().map(|(_, at)| at).collect(), 0)
        });
        let mut found = 0;
        while found < HARD_PER_EDIT && *next < ranking.len() {
            let at = ranking[*next];
            *next += 1;
            if !std::mem::replace(&mut taken[at], true) {
                questions.push(EvaluationQuestion {
                    metric: Metric::HardLocality,
                    edit,
                    sample: pool[at].clone(),
                });
                found += 1;
            }
        }
    }
    questions
}

/// Words of a text, lower-cased.
fn words(text: &str) -> HashSet<String> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect()
}

/// Jaccard overlap: words in both by words in either.
fn overlap(a: &HashSet<String>, b: &HashSet<String>) -> f64 {
    let both = a.intersection(b).count();
    both as f64 / (a.len() + b.len() - both).max(1) as f64
}

/// Whether an answer is the right one. With choices they are equal; a generated one may differ in case and
/// outer marks.
pub(crate) fn is_right(sample: &Sample, answer: &str) -> bool {
    let plain = |text: &str| {
        let text = text.trim();
        if sample.choices.is_empty() {
            text.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase()
        } else {
            text.to_owned()
        }
    };
    plain(&sample.answer) == plain(answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{record, sample};

    #[test]
    fn every_list_of_a_record_becomes_questions_of_its_own_metric() {
        let edits = [record(0), record(1)];
        let edits: Vec<&Record> = edits.iter().collect();
        let count = |questions: &[EvaluationQuestion], metric| {
            questions.iter().filter(|t| t.metric == metric).count()
        };
        let changing = changing(&edits);
        for metric in Metric::ALL.into_iter().filter(|metric| !metric.keeps()) {
            assert_eq!(count(&changing, metric), 2, "{}", metric.name());
        }
        let text = changing.iter().find(|t| t.metric == Metric::TextGenerality).unwrap();
        assert_eq!(
            (text.sample.question.as_str(), text.sample.image.as_str()),
            ("Say, what is it?", "0.png")
        );
    }

    #[test]
    fn what_shares_a_picture_or_a_question_with_any_edit_is_not_unrelated() {
        let mut records = vec![record(0), record(1)];
        let fine = records[0].unrelated[0].clone();
        let edited = records[1].sample.clone();
        records[0].unrelated.push(Sample { image: edited.image, ..fine.clone() });
        records[0].unrelated.push(Sample { question: format!(" {}", edited.question), ..fine });
        let edits: Vec<&Record> = records.iter().collect();
        let locality: Vec<_> =
            keeping(&edits, &records).into_iter().filter(|t| t.metric == Metric::Locality).collect();
        assert_eq!(locality.len(), 2);
    }

    #[test]
    fn hard_questions_come_from_the_whole_data_nearest_first_and_each_once() {
        let mut records = vec![record(0), record(1), record(2)];
        for (at, text) in ["What colour is it?", "What is its colour?", "Where?"].into_iter().enumerate() {
            records[at].unrelated = vec![Sample { question: text.into(), ..sample(&format!("u{at}.png")) }];
        }
        records[0].sample.question = "What is it?".into();
        // Only the first is edited; its neighbours in words stand in other records.
        let hard: Vec<String> = keeping(&[&records[0]], &records)
            .into_iter()
            .filter(|t| t.metric == Metric::HardLocality)
            .map(|t| t.sample.question)
            .collect();
        assert_eq!(hard, ["What colour is it?", "What is its colour?"]);
        // "Where?" has no word in common with anything: it is no hard question for the second edit either.
        let edits = [&records[0], &records[0]];
        let hard = keeping(&edits, &records).into_iter().filter(|t| t.metric == Metric::HardLocality);
        assert_eq!(hard.map(|t| t.edit).collect::<Vec<_>>(), [0, 0]);
    }

    #[test]
    fn choices_are_compared_as_they_are_and_generated_answers_leniently() {
        let chosen = Sample { answer: "A b".into(), ..sample("x.png") };
        assert!(is_right(&chosen, " A b") && !is_right(&chosen, "a b"));
        let free = Sample { choices: Vec::new(), ..chosen };
        assert!(is_right(&free, "a B.") && !is_right(&free, "a"));
    }
}
