//! What a question is asked for, and what is answered.

use std::collections::BTreeMap;

use reasonedit_codebook::{EditId, Fact, GenerationId, Moment, Opinion, Retrieval};
use reasonedit_inference::prompt::FormatFault;
use reasonedit_inference::{FinishReason, TokenChoice};
use reasonedit_text::Warning;
use serde::{Deserialize, Serialize};
use ulid::Ulid;

use crate::ImageSource;

/// Per-request settings of retrieval; `None` means the configured default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RetrievalOverride {
    /// Whether to retrieve at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// How many keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub k: Option<usize>,
    /// Percentile of pairwise key distances beyond which nothing is retrieved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reject_percentile: Option<f64>,
    /// Whether what was retrieved is judged on the query's picture before it is put in front.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<bool>,
    /// The state of the codebook that is asked; none: the present one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<Moment>,
    /// Edits of it that are taken as never made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub without: Vec<EditId>,
    /// Proposals that are taken as approved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub as_if: Vec<Ulid>,
}

/// What the model said of retrieved sentences when it was shown the query's picture.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Verification {
    /// Probability (0 to 1) that the picture bears a sentence out, by sentence; of an answer the mean over
    /// its edit's statements. A sentence that is not here was said of this very picture, or rests on nothing
    /// that can be judged.
    pub support: BTreeMap<String, f64>,
    /// Retrieved, and not put in front.
    pub withheld: Vec<Withheld>,
}

/// A retrieved sentence that was not put in front of the model.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Withheld {
    /// The sentence.
    pub fact: Fact,
    /// Why not.
    pub reason: WithheldReason,
}

/// Why a retrieved sentence was not put in front of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WithheldReason {
    /// The model says that the picture doesn't show it.
    NotShown,
    /// Another answer to the same question fits the picture better, or what this says is at odds with it.
    Contradicted,
    /// Another answer to the same question fits the picture as well, so that neither is put in front.
    Undecided,
    /// Nothing that it rests on can be judged, and the question is outside of the radius of its key.
    OutOfReach,
}

/// A question about a picture.
#[derive(Clone, Debug)]
pub struct QueryRequest {
    /// The picture.
    pub image: ImageSource,
    /// The question.
    pub question: String,
    /// Answers to choose from; empty: the answer is generated.
    pub choices: Vec<String>,
    /// Most tokens to generate.
    pub max_tokens: Option<usize>,
    /// Most tokens that a reasoning model may think before it answers; 0: it answers at once.
    pub max_thinking_tokens: Option<usize>,
    /// Settings of retrieval.
    pub retrieval: RetrievalOverride,
    /// Answer without the codebook too.
    pub compare: bool,
    /// What was not taken as it came before the editor saw it; what the editor finds is added.
    pub warnings: Vec<Warning>,
}

impl QueryRequest {
    /// A question whose answer is generated, everything else as configured.
    pub fn new(image: ImageSource, question: impl Into<String>) -> Self {
        Self {
            image,
            question: question.into(),
            choices: Vec::new(),
            max_tokens: None,
            max_thinking_tokens: None,
            retrieval: RetrievalOverride::default(),
            compare: false,
            warnings: Vec::new(),
        }
    }
}

/// One choice and how probable it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChoiceScore {
    /// The choice.
    pub text: String,
    /// Summed log-likelihood of its tokens as the reply.
    pub log_probability: f64,
    /// Softmax over the choices.
    pub probability: f64,
}

/// Tokens counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Of the prompt, picture included.
    pub prompt_tokens: usize,
    /// Generated.
    pub completion_tokens: usize,
}

/// The answer to a query.
#[derive(Clone, Debug)]
pub struct QueryOutcome {
    /// The answer.
    pub answer: String,
    /// Its probability: of a generated answer that of all its tokens, its end included; of a choice over the
    /// choices.
    pub probability: f64,
    /// Every choice, in the order asked, when asked with choices.
    pub choices: Option<Vec<ChoiceScore>>,
    /// What was put in front of the model, and what was left out for want of room or because it does not
    /// stand any more.
    pub retrieval: Retrieval,
    /// What was judged on the picture first; `None` where nothing was.
    pub verification: Option<Verification>,
    /// The generation of keys that was asked; `None` if none was (retrieval off, a codebook without edits).
    pub generation: Option<GenerationId>,
    /// How many events of the codebook's history led to the state that was asked; of one without some of its
    /// edits, to the one with them. `None` if none was asked.
    pub revision: Option<u64>,
    /// The model's answer without the codebook, when asked to compare.
    pub unedited: Option<Opinion>,
    /// The prompt as the model got it: of a query facts and question, of a conversation everything, as the
    /// chat template has it.
    pub prompt: String,
    /// Why generation ended; `None` with choices.
    pub finish: Option<FinishReason>,
    /// What a reasoning model thought before; `None` of other models.
    pub reasoning: Option<ThinkingOutcome>,
    /// Tokens counted.
    pub usage: Usage,
    /// Milliseconds by stage: queue, embed, retrieve, verify, answer, total.
    pub timings_ms: BTreeMap<String, f64>,
    /// What of the request was not taken as it came.
    pub warnings: Vec<Warning>,
}

/// What a reasoning model thought before its answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ThinkingOutcome {
    /// The text; empty where it was not to think.
    pub thinking: String,
    /// Why it ended: the model closed it, or it was closed because the budget was used up; `None` where the
    /// model was not to think.
    pub finish: Option<FinishReason>,
    /// Tokens of it.
    pub tokens: usize,
    /// What is wrong with the reply; its answer is empty then, unless it was chosen.
    pub fault: Option<FormatFault>,
    /// The whole reply, tags and all, where something is wrong with it.
    pub raw: Option<String>,
}

/// What a streamed query sends, in order: one retrieval, what is thought, texts, one done.
#[derive(Clone, Debug)]
pub enum QueryEvent {
    /// What was retrieved and fits in front of the question, and what was judged on the picture.
    Retrieval(Box<Retrieval>, Option<Verification>),
    /// A piece of what a reasoning model thinks before it answers.
    Thinking(String),
    /// A piece of the answer.
    Token {
        /// The piece.
        text: String,
        /// Of its tokens, given what stands before them; of a choice, over the choices.
        probability: f64,
        /// Its tokens one by one, where they were asked for.
        tokens: Vec<TokenChoice>,
    },
    /// The whole outcome.
    Done(Box<QueryOutcome>),
}
