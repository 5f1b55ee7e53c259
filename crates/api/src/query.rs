//! Queries and their answers.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use reasonedit_editor::{ChoiceScore, FinishReason, FormatFault, Moment, QueryOutcome, RetrievalOverride};
use reasonedit_http::multipart::{Field, FilePart, FormBody};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::image::{IMAGE_PART, ImageInput, ImageSchema};
use crate::retrieval::RetrievalDto;
use crate::{EditIdInput, OpinionDto, WarningDto, rounded};

/// A question about a picture.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct QueryInput {
    /// The picture.
    #[schema(value_type = ImageSchema)]
    pub image: ImageInput,
    /// The question.
    #[schema(min_length = 1, example = "Is this lesion benign or malignant?")]
    pub question: String,
    /// Answers to choose from; without them the answer is generated.
    #[schema(example = json!(["benign", "malignant"]))]
    pub choices: Option<Vec<String>>,
    /// Most tokens to generate.
    #[schema(minimum = 1, example = 64)]
    pub max_tokens: Option<usize>,
    /// Most tokens that a reasoning model may think before it answers; then its thinking is closed, and it
    /// answers. 0: it answers at once. Of no effect on other models.
    #[schema(minimum = 0, example = 1024)]
    pub max_thinking_tokens: Option<usize>,
    /// Answer as server-sent events: `retrieval`, of a reasoning model `thinking`…, `token`…, `done`.
    pub stream: Option<bool>,
    /// Settings of retrieval.
    pub retrieval: Option<RetrievalInput>,
    /// Answer without the codebook too.
    pub compare: Option<bool>,
    /// Give the prompt as the model got it.
    pub explain: Option<bool>,
}

impl FormBody for QueryInput {
    const FILE: FilePart = IMAGE_PART;
    const FIELDS: &'static [(&'static str, Field)] = &[
        ("question", Field::Text),
        ("choices", Field::Texts),
        ("max_tokens", Field::Json),
        ("max_thinking_tokens", Field::Json),
        ("stream", Field::Json),
        ("retrieval", Field::Json),
        ("compare", Field::Json),
        ("explain", Field::Json),
    ];

    fn set_file(&mut self, bytes: Bytes) {
        self.image = ImageInput::Bytes(bytes);
    }
}

/// Settings of retrieval; what is left out is as configured.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RetrievalInput {
    /// Whether to retrieve at all.
    pub enabled: Option<bool>,
    /// How many keys.
    #[schema(minimum = 1, example = 5)]
    pub k: Option<usize>,
    /// Percentile of pairwise key distances beyond which nothing is retrieved.
    #[schema(minimum = 0, maximum = 100, example = 30.0)]
    pub reject_percentile: Option<f64>,
    /// Whether a statement is put in front only where the model says that this picture bears it out.
    pub verify: Option<bool>,
    /// Answer by the codebook as it stood then: a revision, which answers name, or an RFC 3339 time.
    #[schema(value_type = Option<MomentSchema>)]
    pub as_of: Option<MomentInput>,
    /// Answer as if these edits had not been made: their ULIDs.
    #[schema(value_type = Option<Vec<String>>, example = json!([]))]
    pub without: Option<Vec<EditIdInput>>,
    /// Answer as if these proposals had been approved: their ULIDs.
    #[schema(value_type = Option<Vec<String>>, example = json!([]))]
    pub as_if: Option<Vec<EditIdInput>>,
}

/// A revision of the codebook, or an RFC 3339 time.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = Moment)]
#[allow(dead_code, reason = "describes `MomentInput` in the contract")]
pub enum MomentSchema {
    /// After so many events of its history.
    Revision(u64),
    /// After the last event up to then.
    #[schema(format = DateTime)]
    Time(String),
}

/// A state that a codebook was in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MomentInput(pub Moment);

impl<'de> Deserialize<'de> for MomentInput {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;

        impl Visitor<'_> for Read {
            type Value = MomentInput;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a revision (a whole number from 0) or an RFC 3339 time, as 2026-11-20T08:00:00Z")
            }

            fn visit_u64<E: Error>(self, revision: u64) -> Result<Self::Value, E> {
                Ok(MomentInput(Moment::Revision(revision)))
            }

            fn visit_i64<E: Error>(self, revision: i64) -> Result<Self::Value, E> {
                let revision = u64::try_from(revision);
                let unexpected = |_| E::custom("a revision is a whole number from 0");
                revision.map(|revision| MomentInput(Moment::Revision(revision))).map_err(unexpected)
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                text.parse().map(MomentInput).map_err(E::custom)
            }
        }

        deserializer.deserialize_any(Read)
    }
}

impl From<RetrievalInput> for RetrievalOverride {
    fn from(input: RetrievalInput) -> Self {
        Self {
            enabled: input.enabled,
            k: input.k,
            reject_percentile: input.reject_percentile,
            verify: input.verify,
            as_of: input.as_of.map(|moment| moment.0),
            without: input.without.unwrap_or_default().into_iter().map(|id| id.0).collect(),
            as_if: input.as_if.unwrap_or_default().into_iter().map(|id| id.0.0).collect(),
        }
    }
}

/// `POST /query` as a form.
#[derive(ToSchema)]
#[allow(dead_code, reason = "describes the form in the contract")]
pub struct QueryForm {
    /// The picture file; or as a text what `image` of the JSON body has.
    #[schema(value_type = String, format = Binary)]
    image: Vec<u8>,
    /// The question.
    question: String,
    /// One choice each (also as `choices[]`), or one JSON list.
    #[schema(nullable = false)]
    choices: Option<Vec<String>>,
    /// Most tokens to generate.
    #[schema(nullable = false)]
    max_tokens: Option<usize>,
    /// Most tokens that a reasoning model may think before it answers.
    #[schema(nullable = false)]
    max_thinking_tokens: Option<usize>,
    /// `true` or `false`.
    #[schema(nullable = false)]
    stream: Option<bool>,
    /// A JSON object.
    #[schema(nullable = false)]
    retrieval: Option<String>,
    /// `true` or `false`.
    #[schema(nullable = false)]
    compare: Option<bool>,
    /// `true` or `false`.
    #[schema(nullable = false)]
    explain: Option<bool>,
}

/// The answer to a query.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Answer)]
pub struct AnswerDto {
    /// The answer; empty where `format` is `broken`, unless it was chosen.
    #[schema(example = "malignant")]
    pub answer: String,
    /// What a reasoning model thought before it; empty if it was not to think. Absent of other models.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub thinking: Option<String>,
    /// Why the thinking ended: `stop`, the model closed it or ended its turn; `length`, it was closed because
    /// `max_thinking_tokens` were used up. Absent where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub thinking_finish_reason: Option<FinishReasonDto>,
    /// Whether a reasoning model's reply is thinking and one answer. Absent of other models.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub format: Option<FormatDto>,
    /// What is wrong with a reply whose `format` is `broken`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub format_fault: Option<FormatFaultDto>,
    /// The whole reply with its tags, where `format` is `broken`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub raw_reply: Option<String>,
    /// Its probability: of a generated answer that of all its tokens, its end included, given what was
    /// thought; of a choice over the choices.
    #[schema(minimum = 0, maximum = 1, example = 0.98)]
    pub probability: f64,
    /// Every choice, in the order asked; present when asked with choices.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub choices: Option<Vec<ChoiceDto>>,
    /// What was put in front of the model, and why or why not.
    pub retrieval: RetrievalDto,
    /// The answer without the codebook; present when asked to compare.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub unedited: Option<OpinionDto>,
    /// The prompt as the model got it; present when asked to explain.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub prompt: Option<String>,
    /// ULID of the generation of keys that was asked; `null` if none was.
    pub generation: Option<String>,
    /// The state of the codebook that was asked: how many events of its history led to it. `as_of` asks it
    /// again. `null` if none was.
    #[schema(example = 412)]
    pub revision: Option<u64>,
    /// Why generation ended; present when the answer was generated.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub finish_reason: Option<FinishReasonDto>,
    /// Tokens counted.
    pub usage: UsageDto,
    /// Milliseconds by stage: queue, embed, retrieve, verify, answer, total.
    pub timings_ms: BTreeMap<String, f64>,
    /// What of the request was not taken as it came, such as a picture whose greys were scaled.
    pub warnings: Vec<WarningDto>,
}

/// Why generation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = FinishReason)]
pub enum FinishReasonDto {
    /// The model ended its turn.
    Stop,
    /// `max_tokens` was reached.
    Length,
}

impl From<FinishReason> for FinishReasonDto {
    fn from(reason: FinishReason) -> Self {
        match reason {
            FinishReason::Stop => Self::Stop,
            FinishReason::Length => Self::Length,
        }
    }
}

/// Whether a reasoning model's reply is thinking and one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ReplyFormat)]
pub enum FormatDto {
    /// It is.
    Ok,
    /// It is not, and no answer is guessed out of it.
    Broken,
}

impl From<Option<FormatFault>> for FormatDto {
    fn from(fault: Option<FormatFault>) -> Self {
        if fault.is_some() { Self::Broken } else { Self::Ok }
    }
}

/// What is wrong with a reasoning model's reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ReplyFormatFault)]
pub enum FormatFaultDto {
    /// The model ended its turn while it was thinking.
    UnclosedThinking,
    /// It ended its turn within its answer.
    UnclosedAnswer,
    /// Nothing stands where the answer should.
    NoAnswer,
    /// There is more than one answer.
    SeveralAnswers,
    /// Something stands neither in the thinking nor in the answer.
    TextOutside,
}

impl From<FormatFault> for FormatFaultDto {
    fn from(fault: FormatFault) -> Self {
        match fault {
            FormatFault::UnclosedThinking => Self::UnclosedThinking,
            FormatFault::UnclosedAnswer => Self::UnclosedAnswer,
            FormatFault::NoAnswer => Self::NoAnswer,
            FormatFault::SeveralAnswers => Self::SeveralAnswers,
            FormatFault::TextOutside => Self::TextOutside,
        }
    }
}

/// A choice and how probable it is.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Choice)]
pub struct ChoiceDto {
    /// The choice.
    pub text: String,
    /// Summed log-likelihood of its tokens as the reply.
    pub log_probability: f64,
    /// Softmax over the choices.
    #[schema(minimum = 0, maximum = 1)]
    pub probability: f64,
}

impl From<&ChoiceScore> for ChoiceDto {
    fn from(score: &ChoiceScore) -> Self {
        Self {
            text: score.text.clone(),
            log_probability: score.log_probability,
            probability: score.probability,
        }
    }
}

/// Tokens counted.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[schema(as = Usage)]
pub struct UsageDto {
    /// Of the prompt, picture included.
    pub prompt_tokens: usize,
    /// Generated, thinking included.
    pub completion_tokens: usize,
    /// Of these, what a reasoning model thought. Absent of other models.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub thinking_tokens: Option<usize>,
}

impl AnswerDto {
    /// The answer with, if `explain`, its prompt.
    pub fn new(outcome: QueryOutcome, explain: bool) -> Self {
        let reasoning = outcome.reasoning.as_ref();
        let fault = reasoning.and_then(|reasoning| reasoning.fault);
        Self {
            answer: outcome.answer,
            thinking_finish_reason: reasoning.and_then(|reasoning| reasoning.finish).map(Into::into),
            format: reasoning.map(|_| fault.into()),
            format_fault: fault.map(Into::into),
            raw_reply: reasoning.and_then(|reasoning| reasoning.raw.clone()),
            probability: outcome.probability,
            choices: outcome.choices.map(|scores| scores.iter().map(Into::into).collect()),
            retrieval: RetrievalDto::new(&outcome.retrieval, outcome.verification.as_ref()),
            unedited: outcome.unedited.as_ref().map(Into::into),
            prompt: explain.then_some(outcome.prompt),
            generation: outcome.generation.map(|id| id.to_string()),
            revision: outcome.revision,
            finish_reason: outcome.finish.map(Into::into),
            usage: UsageDto {
                prompt_tokens: outcome.usage.prompt_tokens,
                completion_tokens: outcome.usage.completion_tokens,
                thinking_tokens: reasoning.map(|reasoning| reasoning.tokens),
            },
            thinking: outcome.reasoning.map(|reasoning| reasoning.thinking),
            timings_ms: rounded(&outcome.timings_ms),
            warnings: outcome.warnings.iter().map(Into::into).collect(),
        }
    }
}
