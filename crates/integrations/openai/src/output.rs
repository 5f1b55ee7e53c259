//! What a client is answered: `OpenAI`'s shapes with a key of our own beside them.

use std::collections::BTreeMap;

use reasonedit_api::query::{ChoiceDto, FinishReasonDto, FormatDto, FormatFaultDto};
use reasonedit_api::retrieval::RetrievalDto;
use reasonedit_api::{OpinionDto, WarningDto, rounded};
use reasonedit_editor::{
    FinishReason, QueryOutcome, Retrieval, ScoredToken, ThinkingOutcome, TokenChoice, Usage, Verification,
};
use serde::Serialize;
use utoipa::ToSchema;

/// The least log-probability that is told: what is less probable has no number in JSON.
const LEAST: f64 = -9999.0;

/// What all chunks of an answer have in common.
#[derive(Clone, Debug)]
pub(super) struct Head {
    pub(super) id: String,
    /// Seconds since 1970.
    pub(super) created: i64,
    pub(super) model: String,
    pub(super) fingerprint: String,
}

/// An answer.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ChatCompletion)]
pub(crate) struct CompletionDto {
    /// Its id.
    pub(super) id: String,
    /// Always `chat.completion`.
    pub(super) object: &'static str,
    /// When it was asked for, in seconds since 1970.
    pub(super) created: i64,
    /// As asked for.
    pub(super) model: String,
    /// One choice.
    pub(super) choices: Vec<CompletionChoice>,
    /// Tokens counted.
    pub(super) usage: CompletionUsageDto,
    /// Changes with the model's weights, tokenizer and configuration.
    pub(super) system_fingerprint: String,
    /// What the answer rests on.
    pub(super) reasonedit: ProvenanceDto,
}

/// The answer itself.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ChatCompletionChoice)]
pub(crate) struct CompletionChoice {
    /// Always 0.
    pub(super) index: u32,
    /// What the model says.
    pub(super) message: ReplyDto,
    /// Log-probabilities of its tokens; `null` unless asked for.
    pub(super) logprobs: Option<LogprobsDto>,
    /// Why it ended.
    pub(super) finish_reason: FinishDto,
}

/// What the model says.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ChatCompletionMessage)]
pub(crate) struct ReplyDto {
    /// Always `assistant`.
    pub(super) role: &'static str,
    /// The text; empty where `reasonedit.format` is `broken`, unless it was chosen.
    pub(super) content: String,
    /// What a reasoning model thought before it, as `DeepSeek` and vLLM tell it; absent of other models.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) reasoning_content: Option<String>,
    /// Always `null`.
    #[schema(value_type = Option<String>)]
    pub(super) refusal: (),
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ChatCompletionFinishReason)]
pub(crate) enum FinishDto {
    /// The model ended its turn, or a stop text came.
    Stop,
    /// As many tokens as were allowed.
    Length,
}

impl From<Option<FinishReason>> for FinishDto {
    /// An answer by choice is whole.
    fn from(reason: Option<FinishReason>) -> Self {
        match reason {
            None | Some(FinishReason::Stop) => Self::Stop,
            Some(FinishReason::Length) => Self::Length,
        }
    }
}

/// Tokens counted.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[schema(as = ChatCompletionUsage)]
#[allow(clippy::struct_field_names, reason = "the names are OpenAI's")]
pub(crate) struct CompletionUsageDto {
    /// Of the prompt, pictures included.
    prompt_tokens: usize,
    /// Generated.
    completion_tokens: usize,
    /// Both.
    total_tokens: usize,
    /// What was generated, one by one; absent of models that don't think.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    completion_tokens_details: Option<CompletionDetailsDto>,
}

/// What was generated, one by one.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[schema(as = ChatCompletionUsageDetails)]
pub(crate) struct CompletionDetailsDto {
    /// What a reasoning model thought.
    reasoning_tokens: usize,
}

impl CompletionUsageDto {
    pub(super) fn new(usage: Usage, reasoning: Option<&ThinkingOutcome>) -> Self {
        let Usage { prompt_tokens, completion_tokens } = usage;
        Self {
            prompt_tokens,
            completion_tokens,
            total_tokens: prompt_tokens + completion_tokens,
            completion_tokens_details: reasoning
                .map(|reasoning| CompletionDetailsDto { reasoning_tokens: reasoning.tokens }),
        }
    }
}

/// Log-probabilities of an answer's tokens.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ChatCompletionLogprobs)]
pub(crate) struct LogprobsDto {
    /// Token by token.
    pub(super) content: Vec<TokenDto>,
    /// Always `null`.
    #[schema(value_type = Option<Vec<TokenDto>>)]
    pub(super) refusal: (),
}

impl LogprobsDto {
    pub(super) fn new(tokens: &[TokenChoice]) -> Self {
        Self { content: tokens.iter().map(TokenDto::new).collect(), refusal: () }
    }
}

/// A token of the answer.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ChatCompletionToken)]
pub(crate) struct TokenDto {
    /// Its text.
    token: String,
    /// Natural log-probability, whatever the temperature.
    logprob: f64,
    /// Its bytes; `null` where it is only a part of a character.
    bytes: Option<Vec<u8>>,
    /// The most probable tokens at its place, best first.
    top_logprobs: Vec<AlternativeDto>,
}

/// A token that could have stood there.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ChatCompletionAlternative)]
pub(crate) struct AlternativeDto {
    /// Its text.
    token: String,
    /// Natural log-probability.
    logprob: f64,
    /// Its bytes; `null` where it is only a part of a character.
    bytes: Option<Vec<u8>>,
}

impl TokenDto {
    fn new(choice: &TokenChoice) -> Self {
        let AlternativeDto { token, logprob, bytes } = AlternativeDto::new(&choice.chosen);
        let top_logprobs = choice.alternatives.iter().map(AlternativeDto::new).collect();
        Self { token, logprob, bytes, top_logprobs }
    }
}

impl AlternativeDto {
    fn new(token: &ScoredToken) -> Self {
        Self {
            token: token.text.clone(),
            logprob: token.log_probability.max(LEAST),
            bytes: (!token.text.contains('\u{FFFD}')).then(|| token.text.as_bytes().to_vec()),
        }
    }
}

/// A piece of an answer that is streamed.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ChatCompletionChunk)]
pub(crate) struct ChunkDto {
    /// Id of the answer.
    pub(super) id: String,
    /// Always `chat.completion.chunk`.
    pub(super) object: &'static str,
    /// When it was asked for, in seconds since 1970.
    pub(super) created: i64,
    /// As asked for.
    pub(super) model: String,
    /// One choice; none in the chunk that counts tokens.
    pub(super) choices: Vec<ChunkChoice>,
    /// Tokens counted, in a chunk of its own behind all others where that was asked for.
    pub(super) usage: Option<CompletionUsageDto>,
    /// Changes with the model's weights, tokenizer and configuration.
    pub(super) system_fingerprint: String,
    /// What the answer rests on in the first chunk, what became of it in the one that ends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) reasonedit: Option<ProvenanceDto>,
}

/// The piece itself.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ChatCompletionChunkChoice)]
pub(crate) struct ChunkChoice {
    /// Always 0.
    pub(super) index: u32,
    /// What comes.
    pub(super) delta: DeltaDto,
    /// Log-probabilities of its tokens; `null` unless asked for.
    pub(super) logprobs: Option<LogprobsDto>,
    /// Why the answer ended; `null` until it has.
    pub(super) finish_reason: Option<FinishDto>,
}

/// What comes.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = ChatCompletionDelta)]
pub(crate) struct DeltaDto {
    /// In the first chunk: `assistant`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) role: Option<&'static str>,
    /// The next piece of text.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) content: Option<String>,
    /// The next piece of what a reasoning model thinks; all of them come before the answer's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(super) reasoning_content: Option<String>,
}

impl ChunkDto {
    /// A chunk without choices.
    pub(super) fn new(head: &Head) -> Self {
        Self {
            id: head.id.clone(),
            object: "chat.completion.chunk",
            created: head.created,
            model: head.model.clone(),
            choices: Vec::new(),
            usage: None,
            system_fingerprint: head.fingerprint.clone(),
            reasonedit: None,
        }
    }

    /// A chunk that brings something.
    pub(super) fn of(head: &Head, delta: DeltaDto, finish_reason: Option<FinishDto>) -> Self {
        let choice = ChunkChoice { index: 0, delta, logprobs: None, finish_reason };
        Self { choices: vec![choice], ..Self::new(head) }
    }
}

/// What an answer rests on. A stream tells the first part (up to `retrieval`) in its first chunk, the rest in
/// the chunk that ends the answer.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = ReasonEditProvenance)]
pub(crate) struct ProvenanceDto {
    /// As in `X-Request-Id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    request_id: Option<String>,
    /// The codebook that was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    codebook: Option<String>,
    /// The picture that retrieval was about, as a JSON pointer into the request: the last of the last turn,
    /// else the last before it. Absent in a conversation without pictures: then nothing is retrieved, since
    /// keys are of picture and text.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "/messages/0/content/1")]
    image: Option<String>,
    /// Older pictures that the model was not shown, as JSON pointers into the request; absent if it was shown
    /// all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false, example = json!(["/messages/0/content/0"]))]
    omitted_pictures: Vec<String>,
    /// Why nothing was looked up; absent where it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    skipped: Option<SkippedRetrievalDto>,
    /// What was put in front of the last turn's text, and why or why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    retrieval: Option<RetrievalDto>,
    /// ULID of the generation of keys that was asked; absent if none was.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    generation: Option<String>,
    /// The state of the codebook that was asked: how many events of its history led to it; absent if none
    /// was.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = 412)]
    revision: Option<u64>,
    /// Probability of the answer: of a generated one that of all its tokens, its end included unless a stop
    /// text came; of a choice over the choices.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 0, maximum = 1)]
    probability: Option<f64>,
    /// Why the thinking of a reasoning model ended: `stop`, the model closed it or ended its turn; `length`,
    /// it was closed because its budget was used up. Absent where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    thinking_finish_reason: Option<FinishReasonDto>,
    /// Whether a reasoning model's reply is thinking and one answer; absent of other models.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    format: Option<FormatDto>,
    /// What is wrong with a reply whose `format` is `broken`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    format_fault: Option<FormatFaultDto>,
    /// The whole reply with its tags, where `format` is `broken`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    raw_reply: Option<String>,
    /// Every choice, in the order asked; present when asked with choices.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    choices: Option<Vec<ChoiceDto>>,
    /// The answer without the codebook; present when asked to compare.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    unedited: Option<OpinionDto>,
    /// The prompt as the model got it, in its own chat template; present when asked to explain.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    prompt: Option<String>,
    /// Milliseconds by stage: queue, embed, retrieve, verify, answer, total.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    timings_ms: Option<BTreeMap<String, f64>>,
    /// What of the request was not taken as it came; absent if all was.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    warnings: Option<Vec<WarningDto>>,
}

/// Why nothing was looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ReasonEditSkipped)]
pub(crate) enum SkippedRetrievalDto {
    /// The conversation has no picture.
    NoImage,
    /// The user has said nothing.
    NoText,
    /// Retrieval is off.
    // `off` alone is a boolean to many who read the contract's YAML.
    RetrievalOff,
}

/// Whose answer it is, and what it is about.
#[derive(Clone, Debug)]
pub(super) struct RequestSummary {
    pub(super) request_id: String,
    pub(super) codebook: String,
    /// JSON pointer to the picture that retrieval is about.
    pub(super) image: Option<String>,
    /// JSON pointers to pictures that were left out.
    pub(super) omitted_pictures: Vec<String>,
    /// Whether there is a text that retrieval is about.
    pub(super) says: bool,
    /// Whether retrieval is on.
    pub(super) retrieves: bool,
    pub(super) explain: bool,
}

impl RequestSummary {
    /// What is known before the answer.
    pub(super) fn grounds(&self, report: &Retrieval, verification: Option<&Verification>) -> ProvenanceDto {
        let skipped = match (&self.image, self.retrieves) {
            (_, false) => Some(SkippedRetrievalDto::RetrievalOff),
            (None, true) => Some(SkippedRetrievalDto::NoImage),
            (Some(_), true) if !self.says => Some(SkippedRetrievalDto::NoText),
            (Some(_), true) => None,
        };
        ProvenanceDto {
            request_id: Some(self.request_id.clone()),
            codebook: Some(self.codebook.clone()),
            image: self.image.clone(),
            omitted_pictures: self.omitted_pictures.clone(),
            skipped,
            retrieval: Some(RetrievalDto::new(report, verification)),
            ..ProvenanceDto::default()
        }
    }

    /// What is known after it, beside `grounds`.
    pub(super) fn figures(&self, outcome: QueryOutcome, grounds: ProvenanceDto) -> ProvenanceDto {
        let fault = outcome.reasoning.as_ref().and_then(|reasoning| reasoning.fault);
        ProvenanceDto {
            thinking_finish_reason: outcome
                .reasoning
                .as_ref()
                .and_then(|reasoning| reasoning.finish)
                .map(Into::into),
            format: outcome.reasoning.as_ref().map(|_| fault.into()),
            format_fault: fault.map(Into::into),
            raw_reply: outcome.reasoning.and_then(|reasoning| reasoning.raw),
            generation: outcome.generation.map(|id| id.to_string()),
            revision: outcome.revision,
            probability: Some(outcome.probability),
            choices: outcome.choices.map(|scores| scores.iter().map(Into::into).collect()),
            unedited: outcome.unedited.as_ref().map(Into::into),
            prompt: self.explain.then_some(outcome.prompt),
            timings_ms: Some(rounded(&outcome.timings_ms)),
            warnings: (!outcome.warnings.is_empty())
                .then(|| outcome.warnings.iter().map(Into::into).collect()),
            ..grounds
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_without_a_number_or_bytes() {
        let scored = |text: &str, log_probability| ScoredToken { text: text.to_owned(), log_probability };
        let choice = TokenChoice {
            chosen: scored("é", -0.5),
            alternatives: vec![scored("é", -0.5), scored("\u{FFFD}", f64::NEG_INFINITY)],
        };
        insta::assert_json_snapshot!(LogprobsDto::new(&[choice]));
    }
}
