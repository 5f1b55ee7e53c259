//! What can be asked of the engine, and what comes back.

use std::sync::Arc;
use std::time::Instant;

use reasonedit_imaging::{PixelBox, RgbImage};
use reasonedit_models::prompt::{ChatMessage, ContentPart, Role, Thinking};

use crate::constrain::CompiledForm;

/// Identity of a picture's features in the cache: the picture, and the part of it that is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FeatureKey {
    /// BLAKE3 of the uploaded bytes.
    pub image: [u8; 32],
    /// The crop, or `None` for the whole picture.
    pub area: Option<PixelBox>,
}

/// A picture, or a crop of it, to be looked at. Cheap to clone. Cropping and preprocessing happen on the
/// caller's side, and only when the features are not cached.
#[derive(Clone, Debug)]
pub struct KeyedImage {
    /// Its identity.
    pub key: FeatureKey,
    /// The whole upright picture; `key.area` says which part of it is meant.
    pub picture: Arc<RgbImage>,
}

/// Urgency: background work (layer selection, re-embedding) waits for interactive work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Someone waits for it.
    #[default]
    Interactive,
    /// A job.
    Background,
}

/// Whose a request is: those who have requests waiting share the engine equally, however many each has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flow(pub u64);

/// How a call is treated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallOptions {
    /// Urgency.
    pub priority: Priority,
    /// When the caller stops waiting: a request that has not been answered by then is an error, and one that
    /// has not been begun by then costs nothing.
    pub deadline: Option<Instant>,
    /// Whose it is.
    pub flow: Flow,
}

impl CallOptions {
    /// Background work without a deadline, of nobody in particular.
    pub const fn background() -> Self {
        Self { priority: Priority::Background, deadline: None, flow: Flow(0) }
    }
}

/// One question put to one picture, and what is wanted of the reply.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Index into the request's pictures.
    pub image: usize,
    /// The user turn's text, without the picture.
    pub prompt: String,
    /// What is wanted.
    pub want: Want,
}

/// What is wanted of the reply to a prompt.
#[derive(Clone, Debug)]
pub enum Want {
    /// Log-likelihood of each text as the reply (end of turn not counted).
    Replies(Vec<String>),
    /// Probability of each group of words as the first token of the reply: a group's probability is the sum
    /// over the distinct first tokens of its words, from the softmax over the whole vocabulary.
    FirstToken(Vec<Vec<String>>),
}

/// Log-likelihood of one reply.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReplyScore {
    /// Sum over its tokens of the natural log-probability.
    pub log_likelihood: f64,
    /// Tokens of the reply.
    pub tokens: usize,
}

/// The answer to one [`Ask`], in the same order as its texts or groups.
#[derive(Clone, Debug, PartialEq)]
pub enum Answered {
    /// For [`Want::Replies`].
    Replies(Vec<ReplyScore>),
    /// For [`Want::FirstToken`].
    FirstToken(Vec<f64>),
}

/// How the next token is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Sampling {
    /// The most probable token: the same request gives the same answer.
    #[default]
    Greedy,
    /// Temperature and nucleus sampling with a seed.
    TopP {
        /// Above 0.
        temperature: f64,
        /// In (0, 1].
        top_p: f64,
        /// Seed of the draw.
        seed: u64,
    },
}

/// What is done to the logits before a token is chosen; the default is nothing. `top_k` and `min_p` only
/// where tokens are drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct LogitRules {
    /// Logits of tokens of the prompt and of the reply so far are divided by it where they are above 0, else
    /// multiplied; above 0, 1 is none.
    pub repetition_penalty: f32,
    /// Taken from a token's logit for every time that it was said in the reply.
    pub frequency_penalty: f32,
    /// Taken from a token's logit if it was said in the reply.
    pub presence_penalty: f32,
    /// Added to the logits of tokens.
    pub bias: Arc<[(u32, f32)]>,
    /// So many tokens are said before one that ends the reply.
    pub min_tokens: usize,
    /// The model's own end is a token like others: the reply goes on to its greatest length.
    pub ignore_end: bool,
    /// More tokens that end the reply and are no part of it.
    pub stop_tokens: Arc<[u32]>,
    /// Draw from so many of the most probable tokens.
    pub top_k: Option<usize>,
    /// Draw from tokens that are at least this much as probable as the most probable one; in [0, 1].
    pub min_p: f64,
}

impl Default for LogitRules {
    fn default() -> Self {
        Self {
            repetition_penalty: 1.0,
            frequency_penalty: 0.0,
            presence_penalty: 0.0,
            bias: Arc::default(),
            min_tokens: 0,
            ignore_end: false,
            stop_tokens: Arc::default(),
            top_k: None,
            min_p: 0.0,
        }
    }
}

/// What is put to the model: turns with pictures among them, of which the last is the user's.
#[derive(Clone, Debug, Default)]
pub struct Conversation {
    /// Pictures in order of appearance.
    pub images: Vec<KeyedImage>,
    /// Turns, oldest first; they show as many pictures as there are.
    pub messages: Vec<ChatMessage>,
    /// What a reasoning model has thought before the reply begins; nothing unless it is said.
    pub thinking: Thinking,
    /// How the reply begins; the model goes on behind it. Empty: it begins by itself.
    pub begun: String,
}

impl Conversation {
    /// One turn of the user: a picture, if any, and a text.
    pub fn question(image: Option<KeyedImage>, text: impl Into<String>) -> Self {
        let mut content = vec![ContentPart::Image; usize::from(image.is_some())];
        content.push(ContentPart::Text(text.into()));
        let messages = vec![ChatMessage { role: Role::User, content }];
        let images = image.into_iter().collect();
        Self { images, messages, ..Self::default() }
    }
}

/// A reply to be generated.
#[derive(Clone, Debug)]
pub struct GenerateRequest {
    /// What is replied to.
    pub prompt: Conversation,
    /// At most this many tokens.
    pub max_tokens: usize,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// What is done to their logits before.
    pub rules: LogitRules,
    /// What the reply must look like.
    pub form: Option<CompiledForm>,
    /// Say every token by itself, each with as many of the most probable ones at its place; `None`: texts
    /// alone.
    pub alternatives: Option<usize>,
}

impl GenerateRequest {
    /// The most probable tokens, texts alone.
    pub fn greedy(prompt: Conversation, max_tokens: usize) -> Self {
        Self {
            prompt,
            max_tokens,
            sampling: Sampling::Greedy,
            rules: LogitRules::default(),
            form: None,
            alternatives: None,
        }
    }
}

/// A token and how probable it was.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoredToken {
    /// What it adds to the text: a replacement character (U+FFFD) where it is only a part of a character, the
    /// token's name where it steers the model and adds nothing.
    pub text: String,
    /// Natural log-probability, from the softmax over the whole vocabulary whatever the sampling.
    pub log_probability: f64,
}

/// A token of a reply, and what else could have stood in its place.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenChoice {
    /// The token that was chosen.
    pub chosen: ScoredToken,
    /// The most probable tokens, best first.
    pub alternatives: Vec<ScoredToken>,
}

/// Why a generation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishReason {
    /// The model ended its turn, or said all that the reply's form has.
    Stop,
    /// `max_tokens` was reached.
    Length,
}

/// What a generation sends, in order: texts, then one end.
#[derive(Clone, Debug, PartialEq)]
pub enum GenerateEvent {
    /// The next piece of text (whole characters only).
    Text {
        /// The piece.
        text: String,
        /// Sum of the natural log-probabilities of the tokens that it is made of.
        log_likelihood: f64,
        /// How many tokens it is made of.
        tokens: usize,
        /// Each of them; empty unless asked for.
        choices: Vec<TokenChoice>,
    },
    /// The end.
    Done {
        /// Why.
        reason: FinishReason,
        /// Tokens of the prompt, picture included.
        prompt_tokens: usize,
        /// Tokens generated, end of turn not counted.
        completion_tokens: usize,
        /// Sum of the natural log-probabilities of the generated tokens, end of turn included.
        log_likelihood: f64,
    },
}

/// A finished generation.
#[derive(Clone, Debug, PartialEq)]
pub struct Generated {
    /// The reply.
    pub text: String,
    /// Why it ended.
    pub reason: FinishReason,
    /// Tokens of the prompt, picture included.
    pub prompt_tokens: usize,
    /// Tokens generated, end of turn not counted.
    pub completion_tokens: usize,
    /// Sum of the natural log-probabilities of the generated tokens, end of turn included.
    pub log_likelihood: f64,
}

/// What the sentence encoder says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentenceInfo {
    /// BLAKE3 (hex) over configuration, tokenizer and weights.
    pub fingerprint: String,
    /// Components of an embedding.
    pub width: usize,
}

/// Where a request's time went, and what it was charged for.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct EngineTimes {
    /// Milliseconds between submission and answer in which it was not computed on.
    pub queue_ms: f64,
    /// Milliseconds on the device (shared with the other requests of its batches).
    pub compute_ms: f64,
    /// Tokens of all prompts, pictures included, each counted once however many replies it has; 0 for
    /// embeddings.
    pub prompt_tokens: usize,
}

impl std::ops::AddAssign for EngineTimes {
    fn add_assign(&mut self, other: Self) {
        self.queue_ms += other.queue_ms;
        self.compute_ms += other.compute_ms;
        self.prompt_tokens += other.prompt_tokens;
    }
}
