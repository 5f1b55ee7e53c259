//! Requests that passed the checks, their pictures at hand: one form for questions and for conversations.

use std::time::Instant;

use reasonedit_codebook::CodebookName;
use reasonedit_inference::constrain::CompiledForm;
use reasonedit_inference::{EngineError, Flow};
use reasonedit_text::Warning;

use crate::answer::ReplySettings;
use crate::config::EditorConfig;
use crate::core::Core;
use crate::error::EditorError;
use crate::pictures::blocking;
use crate::prepared_chat::{PreparedChat, check_template};
use crate::types::{AskedForm, ChatPart, ChatRequest, Decoding, QueryRequest, RetrievalOverride};
use crate::validate;

/// A valid request, its pictures at hand.
pub(crate) struct PreparedQuery {
    pub(super) began: Instant,
    pub(super) chat: PreparedChat,
    /// Empty: the answer is generated.
    pub(super) choices: Vec<String>,
    pub(super) max_tokens: usize,
    /// Tokens that a reasoning model may think before.
    pub(super) thinking: usize,
    /// Most tokens of thinking and answer together.
    total: Option<usize>,
    decoding: Decoding,
    /// What a generated answer must look like.
    form: Option<CompiledForm>,
    pub(super) retrieval: RetrievalOverride,
    pub(super) compare: bool,
    /// Whether it came as turns.
    pub(super) is_conversation: bool,
    /// What of the request was not taken as it came.
    pub(super) warnings: Vec<Warning>,
}

/// Repairs and checks a question.
///
/// # Errors
/// `Invalid` with every fault.
pub(crate) fn check_query(
    config: &EditorConfig,
    mut request: QueryRequest,
) -> Result<QueryRequest, EditorError> {
    validate::repair::query(&mut request);
    validate::query(&request, &config.limits, &config.answer, &config.retrieval)?;
    Ok(request)
}

/// Repairs and checks a conversation, all but its pictures.
///
/// # Errors
/// `Invalid` with every fault.
pub(crate) fn check_chat(
    config: &EditorConfig,
    mut request: ChatRequest,
) -> Result<ChatRequest, EditorError> {
    validate::repair::chat(&mut request);
    validate::chat(&request, &config.limits, &config.retrieval)?;
    Ok(request)
}

impl PreparedQuery {
    /// Decodes the picture of a checked question.
    ///
    /// # Errors
    /// An unknown or unusable picture.
    pub(crate) async fn question(
        core: &Core,
        codebook: &CodebookName,
        request: QueryRequest,
        flow: Flow,
    ) -> Result<Self, EditorError> {
        let began = Instant::now();
        let rules = core.pixel_rules(codebook)?;
        let picture = core.pictures().resolve_for(flow, &request.image, rules).await?;
        let mut warnings: Vec<Warning> = request.warnings;
        warnings.extend(picture.warnings("/image"));
        if request.max_thinking_tokens.is_some() && core.engine().tokenizer().await?.thinking().is_none() {
            let detail = "It has no effect: this model answers without thinking before.";
            warnings.push(Warning::new("no_effect", "/max_thinking_tokens", detail));
        }
        let config = &core.config().answer;
        Ok(Self {
            began,
            chat: PreparedChat::question(picture, &request.question),
            choices: request.choices,
            max_tokens: request.max_tokens.unwrap_or(config.max_tokens),
            thinking: request.max_thinking_tokens.unwrap_or(config.max_thinking_tokens),
            total: None,
            decoding: Decoding::default(),
            form: None,
            retrieval: request.retrieval,
            compare: request.compare,
            is_conversation: false,
            warnings,
        })
    }

    /// Decodes the pictures of a checked conversation, sees whether the model takes it, and compiles the form
    /// of its reply.
    ///
    /// # Errors
    /// An unknown or unusable picture, turns or a form that the model can't be told.
    pub(crate) async fn conversation(
        core: &Core,
        codebook: &CodebookName,
        request: ChatRequest,
        flow: Flow,
    ) -> Result<Self, EditorError> {
        let began = Instant::now();
        let (chat, noted) = prepare_chat(core, codebook, &request, flow).await?;
        let begun = !chat.begun.is_empty() || core.engine().tokenizer().await?.thinking().is_some();
        let form = compile(core, request.form.as_ref(), begun).await?;
        let config = &core.config().answer;
        let limit = config.max_tokens_limit;
        Ok(Self {
            began,
            chat,
            form,
            choices: request.choices,
            max_tokens: request.max_tokens.map_or(limit, |tokens| tokens.min(limit)),
            thinking: request.max_thinking_tokens.unwrap_or(config.max_thinking_tokens),
            // As OpenAI counts them; without a bound each has its own.
            total: request.max_tokens,
            decoding: request.decoding,
            retrieval: request.retrieval,
            compare: request.compare,
            is_conversation: true,
            warnings: request.warnings.into_iter().chain(noted).collect(),
        })
    }

    /// Where the request has the question.
    pub(super) fn place(&self) -> &'static str {
        if self.is_conversation { "/messages" } else { "/question" }
    }

    /// How a generated answer is made.
    pub(super) fn reply(&self) -> ReplySettings<'_> {
        ReplySettings {
            max_tokens: self.max_tokens,
            thinking: self.thinking,
            total: self.total,
            decoding: &self.decoding,
            form: self.form.as_ref(),
        }
    }
}

/// Looks at the pictures of a valid request and sees whether the model takes the conversation. Gives also
/// what of the pictures was not taken as it came.
async fn prepare_chat(
    core: &Core,
    codebook: &CodebookName,
    request: &ChatRequest,
    flow: Flow,
) -> Result<(PreparedChat, Vec<Warning>), EditorError> {
    let (mut pictures, mut warnings) = (Vec::new(), Vec::new());
    let rules = core.pixel_rules(codebook)?;
    for (t, turn) in request.turns.iter().enumerate() {
        for (p, part) in turn.content.iter().enumerate() {
            let ChatPart::Image(source) = part else { continue };
            let picture =
                core.pictures().resolve_for(flow, source, rules).await.map_err(|error| match error {
                    EditorError::Image(error) => {
                        EditorError::ImageAt { pointer: validate::part(t, p), error }
                    }
                    other => other,
                })?;
            warnings.extend(picture.warnings(&validate::part(t, p)));
            pictures.push(picture);
        }
    }
    let chat = PreparedChat::new(&request.turns, request.continues, pictures)?;
    let tokenizer = core.engine().tokenizer().await?;
    let (limit, plain) = (core.engine().info().await?.max_positions, chat.with([]));
    blocking(move || check_template(&plain, &tokenizer, limit)).await?;
    Ok((chat, warnings))
}

/// Compiles the form of a reply; `begun` says whether it goes on behind a beginning.
async fn compile(
    core: &Core,
    asked: Option<&AskedForm>,
    begun: bool,
) -> Result<Option<CompiledForm>, EditorError> {
    let Some(AskedForm { form, place }) = asked else { return Ok(None) };
    let compiled = core.engine().form(form.clone(), begun).await.map_err(|error| match error {
        EngineError::Form { pointer, detail } => {
            EngineError::Form { pointer: format!("{place}{pointer}"), detail }
        }
        other => other,
    })?;
    Ok(Some(compiled))
}
