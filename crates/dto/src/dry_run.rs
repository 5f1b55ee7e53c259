//! What an edit would change.

use std::collections::BTreeMap;
use std::fmt;

use reasonedit_access::CodebookScope;
use reasonedit_api::image::{ImageInput, ImageSchema};
use reasonedit_api::{KindDto, WarningDto, resolve, rounded};
use reasonedit_editor::{
    AnswerThere, BrokenCanary, ComparedQuestion, DryRunOutcome, DryRunQuestions, EditId, Editor, Effect,
    Fact, QuestionEffect,
};
use reasonedit_http::fetch::Fetcher;
use reasonedit_http::problem::Result;
use serde::de::value::SeqAccessDeserializer;
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::canary::BrokenCanaryDto;
use crate::conflict::ConflictDto;
use crate::edit_input::EditInput;

/// An edit, and the questions that it is tried on.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DryRunInput {
    /// The edit, as `POST /edits` takes it.
    pub edit: EditInput,
    /// Questions; or `log`: those of the log, where one is kept (for editors). Canaries are looked at in any
    /// case.
    #[serde(default)]
    #[schema(value_type = Option<DryRunQuestionsSchema>)]
    pub questions: Option<QuestionsInput>,
}

/// The questions of a dry run.
#[derive(Clone, Debug)]
pub enum QuestionsInput {
    /// Those of the log.
    Log,
    /// These.
    Given(Vec<QuestionInput>),
}

/// A question about a picture.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DryRunQuestion)]
pub struct QuestionInput {
    /// The picture.
    #[schema(value_type = ImageSchema)]
    pub image: ImageInput,
    /// The question.
    #[schema(min_length = 1, example = "Is this lesion benign or malignant?")]
    pub question: String,
    /// Answers to choose from; without them the answer is generated.
    pub choices: Option<Vec<String>>,
}

/// The questions of a dry run: a list, or `log`.
#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
#[schema(as = DryRunQuestions)]
#[allow(dead_code, reason = "describes `QuestionsInput` in the contract")]
pub enum DryRunQuestionsSchema {
    /// Those of the log.
    Log(LogSchema),
    /// These.
    Given(Vec<QuestionInput>),
}

/// The log of what was asked.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = DryRunLog)]
#[allow(dead_code, reason = "describes `QuestionsInput` in the contract")]
pub enum LogSchema {
    /// Its questions.
    Log,
}

impl<'de> Deserialize<'de> for QuestionsInput {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;

        impl<'de> Visitor<'de> for Read {
            type Value = QuestionsInput;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of questions, or \"log\"")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                if text == "log" {
                    return Ok(QuestionsInput::Log);
                }
                Err(E::custom("this is a list of questions, or \"log\""))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(list)).map(QuestionsInput::Given)
            }
        }

        deserializer.deserialize_any(Read)
    }
}

impl QuestionsInput {
    /// The questions with their pictures at hand.
    ///
    /// # Errors
    /// 422 and what fetching says for pictures that can't be had, with their places.
    pub async fn into_questions(
        self,
        fetcher: &Fetcher,
        scope: &CodebookScope,
        editor: &Editor,
    ) -> Result<DryRunQuestions> {
        let Self::Given(given) = self else { return Ok(DryRunQuestions::Log) };
        let mut questions = Vec::with_capacity(given.len());
        for (at, QuestionInput { image, question, choices }) in given.into_iter().enumerate() {
            let image = resolve(image, fetcher, scope, editor).await;
            let image = image
                .map_err(|problem| problem.relocated(|pointer| Some(format!("/questions/{at}{pointer}"))))?;
            let choices = choices.unwrap_or_default();
            questions.push(ComparedQuestion { image, question, choices, key: None });
        }
        Ok(DryRunQuestions::Given(questions))
    }
}

/// What an edit would change.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = DryRun)]
pub struct DryRunDto {
    /// The state of the codebook that it was tried on: how many events of its history led to it.
    #[schema(example = 412)]
    pub revision: u64,
    /// How many questions there were.
    pub questions: usize,
    /// How many of them would be told the same as before, so that the model was not asked.
    pub unchanged: usize,
    /// How many answers would be others.
    pub flipped: usize,
    /// How many would have to be looked at again, and their pictures are not kept.
    pub unknown: usize,
    /// The questions that would be told something else than before, in their order.
    pub changes: Vec<ChangeDto>,
    /// Canaries that the edit would break.
    pub broken_canaries: Vec<BrokenCanaryDto>,
    /// Live edits about the same picture and question that are older and answer otherwise: they would stand
    /// back. Behind them those that would contradict it, with `contradiction`.
    pub conflicts: Vec<ConflictDto>,
    /// The edit that would stand in its place; `null` if it would stand.
    pub superseded_by: Option<ConflictDto>,
    /// What of the edit would not be taken as it came.
    pub warnings: Vec<WarningDto>,
    /// Milliseconds: `edit`, what making it took; `compare`.
    pub timings_ms: BTreeMap<String, f64>,
}

/// What would become of questions and canaries.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = QuestionEffects)]
pub struct EffectsDto {
    /// How many questions there were.
    pub questions: usize,
    /// How many of them would be told the same as before, so that the model was not asked.
    pub unchanged: usize,
    /// How many answers would be others.
    pub flipped: usize,
    /// How many would have to be looked at again, and their pictures are not kept.
    pub unknown: usize,
    /// The questions that would be told something else than before, in their order.
    pub changes: Vec<ChangeDto>,
    /// Canaries that would break.
    pub broken_canaries: Vec<BrokenCanaryDto>,
}

impl EffectsDto {
    /// `tried` stands for an edit that isn't made, among those of facts.
    pub(crate) fn of(questions: &[QuestionEffect], broken: &[BrokenCanary], tried: Option<EditId>) -> Self {
        let count = |counted: fn(&Effect) -> bool| {
            questions.iter().filter(|question| counted(&question.effect)).count()
        };
        let changes = questions.iter().enumerate();
        Self {
            questions: questions.len(),
            unchanged: count(|effect| *effect == Effect::None),
            flipped: count(Effect::flips),
            unknown: count(|effect| *effect == Effect::Unknown),
            changes: changes.filter_map(|(at, question)| change(at, question, tried)).collect(),
            broken_canaries: broken.iter().map(Into::into).collect(),
        }
    }
}

/// A question that would be told something else.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = DryRunChange)]
pub struct ChangeDto {
    /// Its place among the questions, from 0.
    pub index: usize,
    /// The picture.
    pub image_id: String,
    /// The question.
    pub question: String,
    /// Whether the answer would be another.
    pub flips: bool,
    /// As it is.
    pub before: AnswerThereDto,
    /// As it would be.
    pub after: AnswerThereDto,
}

/// An answer, and what stands in front of the question.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = DryRunAnswer)]
pub struct AnswerThereDto {
    /// The answer.
    pub answer: String,
    /// Its probability.
    #[schema(minimum = 0, maximum = 1)]
    pub probability: f64,
    /// The statements in front, nearest first.
    pub facts: Vec<FactThereDto>,
}

/// A statement in front of a question.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = DryRunFact)]
pub struct FactThereDto {
    /// What it stands for.
    pub kind: KindDto,
    /// The statement.
    pub value: String,
    /// ULIDs of the edits that it comes from.
    pub edit_ids: Vec<String>,
    /// Whether the edit that is tried says it.
    pub tried: bool,
}

impl From<&DryRunOutcome> for DryRunDto {
    fn from(outcome: &DryRunOutcome) -> Self {
        let (questions, broken) = (&outcome.questions, &outcome.broken_canaries);
        let EffectsDto { questions, unchanged, flipped, unknown, changes, broken_canaries } =
            EffectsDto::of(questions, broken, Some(outcome.tried));
        Self {
            revision: outcome.revision,
            questions,
            unchanged,
            flipped,
            unknown,
            changes,
            broken_canaries,
            conflicts: outcome.conflicts.iter().map(Into::into).collect(),
            superseded_by: outcome.superseded_by.as_ref().map(Into::into),
            warnings: outcome.warnings.iter().map(Into::into).collect(),
            timings_ms: rounded(&outcome.timings_ms),
        }
    }
}

fn change(index: usize, question: &QuestionEffect, tried: Option<EditId>) -> Option<ChangeDto> {
    let Effect::Asked(there) = &question.effect else { return None };
    Some(ChangeDto {
        index,
        image_id: question.image.to_string(),
        question: question.question.clone(),
        flips: question.effect.flips(),
        before: there_of(&there.0, tried),
        after: there_of(&there.1, tried),
    })
}

fn there_of(there: &AnswerThere, tried: Option<EditId>) -> AnswerThereDto {
    let fact = |fact: &Fact| FactThereDto {
        kind: fact.kind.into(),
        value: fact.value.clone(),
        // The edit that is tried has no id that anyone could ask for.
        edit_ids: fact.edit_ids.iter().filter(|id| Some(**id) != tried).map(ToString::to_string).collect(),
        tried: tried.is_some_and(|tried| fact.edit_ids.contains(&tried)),
    };
    AnswerThereDto {
        answer: there.opinion.answer.clone(),
        probability: there.opinion.probability,
        facts: there.facts.iter().map(fact).collect(),
    }
}
