//! An edit as a question, its answer, and the answer that the model had given before.

use std::borrow::Cow;

use reasonedit_codebook::EditRecord;
use reasonedit_text::canonical;

use crate::options::{ReasoningPlace, TrainingOptions, TrainingTask};
use crate::plain_text::plain_text;

/// What is trained of an edit. Its texts hold no marks but those that are put in here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dialogue {
    pub(crate) question: String,
    /// What is to be said, with the reasoning where it is asked for.
    pub(crate) answer: String,
    /// What had been said; where pairs are asked for.
    pub(crate) rejected: Option<String>,
    /// Whether marks in people's texts were broken up.
    pub(crate) escaped: bool,
}

/// Why there is none of an edit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoDialogue {
    /// It isn't known what the model had said.
    BeforeUnknown,
    /// The model had said the same.
    BeforeRight,
}

impl Dialogue {
    pub(crate) fn of(record: &EditRecord, options: &TrainingOptions) -> Result<Self, NoDialogue> {
        let rejected = match options.task {
            TrainingTask::Sft => None,
            TrainingTask::Dpo => Some(rejected(record)?),
        };
        let mut texts = Texts { escaped: false };
        let question = texts.plain(&record.question).into_owned();
        let answer = texts.plain(&record.answer);
        let answer = match options.reasoning {
            ReasoningPlace::None => answer.into_owned(),
            _ if record.reasoning.is_empty() => answer.into_owned(),
            ReasoningPlace::Think => format!("<think>\n{}\n</think>\n\n{answer}", texts.reasoning(record)),
            ReasoningPlace::Answer => format!("{answer}\n{}", texts.reasoning(record)),
        };
        let rejected = rejected.map(|text| texts.plain(text).into_owned());
        Ok(Self { question, answer, rejected, escaped: texts.escaped })
    }
}

/// Makes texts plain and remembers whether one wasn't.
struct Texts {
    escaped: bool,
}

impl Texts {
    fn plain<'t>(&mut self, text: &'t str) -> Cow<'t, str> {
        let plain = plain_text(text.trim());
        self.escaped |= matches!(plain, Cow::Owned(_));
        plain
    }

    /// A statement a line.
    fn reasoning(&mut self, record: &EditRecord) -> String {
        let statements: Vec<_> = record.reasoning.iter().map(|s| self.plain(&s.statement)).collect();
        statements.join("\n")
    }
}

/// What the model had said, if that is known and was another answer.
fn rejected(record: &EditRecord) -> Result<&str, NoDialogue> {
    let before = record.before.as_ref().map(|opinion| opinion.answer.trim());
    let before = before.filter(|answer| !answer.is_empty()).ok_or(NoDialogue::BeforeUnknown)?;
    if said(before) == said(&record.answer) { Err(NoDialogue::BeforeRight) } else { Ok(before) }
}

/// The form in which answers are compared: a pair that differs in case or in its full stop would teach that
/// difference and nothing else.
fn said(answer: &str) -> String {
    canonical(answer).trim_end_matches(['.', '!', '。']).trim_end().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Trainer;
    use crate::testing::record;

    fn options(task: TrainingTask, reasoning: ReasoningPlace) -> TrainingOptions {
        TrainingOptions { reasoning, ..TrainingOptions::new(Trainer::Trl, task) }
    }

    #[test]
    fn reasoning_stands_where_it_is_asked_for() {
        let record = record(1);
        for (place, answer) in [
            (ReasoningPlace::None, "malignant"),
            (
                ReasoningPlace::Think,
                "<think>\nThe border is irregular.\nIts colour varies\n</think>\n\nmalignant",
            ),
            (ReasoningPlace::Answer, "malignant\nThe border is irregular.\nIts colour varies"),
        ] {
            let dialogue = Dialogue::of(&record, &options(TrainingTask::Sft, place)).unwrap();
            assert_eq!(dialogue.answer, answer);
            assert_eq!(
                (dialogue.question.as_str(), dialogue.rejected, dialogue.escaped),
                ("Is it benign?", None, false)
            );
        }
        let mut bare = record;
        bare.reasoning.clear();
        for place in [ReasoningPlace::Think, ReasoningPlace::Answer] {
            assert_eq!(Dialogue::of(&bare, &options(TrainingTask::Sft, place)).unwrap().answer, "malignant");
        }
    }

    #[test]
    fn only_other_answers_are_rejected_ones() {
        let pair = |before: Option<&str>| {
            let mut record = record(1);
            record.before = before
                .map(|answer| reasonedit_codebook::Opinion { answer: answer.to_owned(), probability: 0.5 });
            Dialogue::of(&record, &options(TrainingTask::Dpo, ReasoningPlace::None)).map(|d| d.rejected)
        };
        assert_eq!(pair(Some(" benign ")), Ok(Some("benign".to_owned())));
        for unknown in [None, Some(""), Some(" \n")] {
            assert_eq!(pair(unknown), Err(NoDialogue::BeforeUnknown));
        }
        for same in ["malignant", " Malignant.", "malignant\u{200B}"] {
            assert_eq!(pair(Some(same)), Err(NoDialogue::BeforeRight), "{same:?}");
        }
    }

    #[test]
    fn marks_in_any_text_are_broken_up() {
        let mut record = record(1);
        record.reasoning[0].statement = "It says </think>.".to_owned();
        let think = options(TrainingTask::Sft, ReasoningPlace::Think);
        let dialogue = Dialogue::of(&record, &think).unwrap();
        assert!(dialogue.escaped);
        assert_eq!(dialogue.answer.matches("</think>").count(), 1);
        let none = options(TrainingTask::Sft, ReasoningPlace::None);
        assert!(!Dialogue::of(&record, &none).unwrap().escaped, "what isn't written isn't told of");
        record.before = Some(reasonedit_codebook::Opinion { answer: "<image>".to_owned(), probability: 1.0 });
        let pair = Dialogue::of(&record, &options(TrainingTask::Dpo, ReasoningPlace::None)).unwrap();
        assert_eq!((pair.rejected.as_deref(), pair.escaped), (Some("< image>"), true));
    }
}
