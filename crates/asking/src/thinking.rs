//! What a reasoning model thinks before it answers: generated first, within a budget, and then closed, by the
//! model or by force. Answers and choices stand behind it, never in it.

use reasonedit_inference::prompt::{
    FormatFault, PromptTokenizer, ReplyPart, ReplySplitter, Thinking, ThinkingForm,
};
use reasonedit_inference::{
    CallOptions, Conversation, EngineHandle, FinishReason, GenerateEvent, GenerateRequest, LogitRules,
    ReplyPiece,
};

use crate::error::EditorError;
use crate::stream::EventSender;
use crate::types::{Decoding, QueryEvent, ThinkingOutcome};

/// Tokens that are kept free beside thinking and answer for the tags between them, of a tokenizer that spells
/// them letter by letter too.
const TAGS: usize = 32;

/// What a model may think.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ThinkingBudget {
    /// Tokens of thinking.
    pub(crate) tokens: usize,
    /// Tokens that are left for the answer.
    pub(crate) answer: usize,
}

/// What a reasoning model thought of a prompt.
#[derive(Clone, Debug)]
pub(crate) struct Thought {
    pub(crate) form: ThinkingForm,
    pub(crate) text: String,
    /// Why it ended: by itself, or because the budget was used up; `None` where it was not to think.
    finish: Option<FinishReason>,
    pub(crate) tokens: usize,
    /// Of the prompt before it; `None` where that was not run.
    pub(crate) prompt_tokens: Option<usize>,
    /// The model ended its turn in it.
    pub(crate) unclosed: bool,
    pub(crate) queue_ms: f64,
    /// All that stands before the answer, as it was written.
    written: String,
}

impl Thought {
    fn none(form: ThinkingForm) -> Self {
        Self {
            form,
            text: String::new(),
            finish: None,
            tokens: 0,
            prompt_tokens: None,
            unclosed: false,
            queue_ms: 0.0,
            written: String::new(),
        }
    }

    /// What is told of it; `reply` is what came behind it, told where the whole has no known form.
    pub(crate) fn told(self, fault: Option<FormatFault>, reply: &str) -> ThinkingOutcome {
        ThinkingOutcome {
            thinking: self.text,
            finish: self.finish,
            tokens: self.tokens,
            fault,
            raw: fault.map(|_| format!("{}{reply}", self.written)),
        }
    }
}

/// Lets a reasoning model think about a prompt, and puts what it thought into it; `None` of a model that
/// doesn't think, whose prompt stays as it is. A reply that was begun by the client, and one without a
/// budget, is not thought about.
pub(crate) async fn think(
    engine: &EngineHandle,
    prompt: &mut Conversation,
    budget: ThinkingBudget,
    decoding: &Decoding,
    events: Option<&EventSender>,
    options: CallOptions,
) -> Result<Option<Thought>, EditorError> {
    let tokenizer = engine.tokenizer().await?;
    let Some(form) = tokenizer.thinking() else { return Ok(None) };
    prompt.thinking = Thinking::Skipped;
    let mut thought = Thought::none(form);
    if budget.tokens == 0 || !prompt.begun.is_empty() {
        thought.written = tokenizer.written_thinking(&prompt.thinking);
        return Ok(Some(thought));
    }
    let most = budget.tokens.min(room(engine, prompt, budget.answer).await?);
    thought.finish = Some(FinishReason::Length);
    if most > 0 {
        prompt.thinking = Thinking::Begun;
        let request = GenerateRequest {
            prompt: prompt.clone(),
            max_tokens: most,
            sampling: decoding.sampling,
            // What is asked of the answer's length and end is not asked of the thinking's.
            rules: LogitRules { min_tokens: 0, ignore_end: false, ..decoding.rules.clone() },
            form: None,
            alternatives: None,
        };
        run(engine, request, &mut thought, events, options).await?;
    }
    close(&tokenizer, prompt, &mut thought);
    Ok(Some(thought))
}

/// Generates the thinking up to its end.
async fn run(
    engine: &EngineHandle,
    request: GenerateRequest,
    thought: &mut Thought,
    events: Option<&EventSender>,
    options: CallOptions,
) -> Result<(), EditorError> {
    let mut splitter = ReplySplitter::new(thought.form);
    let mut stream = engine.generate(request, options).await?;
    let mut ended = None;
    while splitter.thinks()
        && let Some(event) = stream.next().await
    {
        let parts = match event? {
            GenerateEvent::Text { text, tokens, .. } => {
                thought.tokens += tokens;
                splitter.push(&text)
            }
            GenerateEvent::Done { reason, completion_tokens, .. } => {
                thought.tokens = completion_tokens;
                ended = Some(reason);
                break;
            }
        };
        tell(parts, thought, events).await?;
    }
    thought.prompt_tokens = Some(stream.times().prompt_tokens);
    thought.queue_ms = stream.times().queue_ms;
    match ended {
        None if splitter.thinks() => return Err(EditorError::Cancelled),
        None => thought.finish = Some(FinishReason::Stop),
        Some(reason) => {
            // A closing tag that the budget cut in two is written whole.
            if reason == FinishReason::Stop || !splitter.closes() {
                let (last, _) = splitter.finish(true);
                tell(last, thought, events).await?;
            }
            thought.finish = Some(reason);
            thought.unclosed = reason == FinishReason::Stop;
        }
    }
    Ok(())
}

/// Takes what was thought; what a token brought of the answer behind the closing tag is made again.
async fn tell(
    parts: impl IntoIterator<Item = ReplyPart>,
    thought: &mut Thought,
    events: Option<&EventSender>,
) -> Result<(), EditorError> {
    for part in parts {
        let ReplyPart::Thinking(text) = part else { continue };
        thought.text.push_str(&text);
        if let Some(events) = events
            && events.send(Ok(QueryEvent::Thinking(text))).await.is_err()
        {
            return Err(EditorError::Cancelled);
        }
    }
    Ok(())
}

/// Puts what was thought into the prompt, closed.
fn close(tokenizer: &PromptTokenizer, prompt: &mut Conversation, thought: &mut Thought) {
    let done = Thinking::Done(thought.text.clone());
    let closed = tokenizer.written_thinking(&done);
    thought.written = if thought.unclosed {
        format!("{}{}", tokenizer.written_thinking(&Thinking::Begun), thought.text)
    } else {
        closed
    };
    prompt.thinking = done;
}

/// Tokens that the model's context has for thinking, beside what is asked and its answer.
async fn room(engine: &EngineHandle, prompt: &Conversation, answer: usize) -> Result<usize, EditorError> {
    let limit = engine.info().await?.max_positions;
    let asked: usize = engine.prompt_tokens(vec![prompt.clone()]).await?.into_iter().sum();
    let left = limit.saturating_sub(asked + TAGS);
    Ok(left - answer.min(left / 2))
}

/// The answer of a reasoning model among the pieces of its reply.
pub(crate) struct AnswerPieces {
    splitter: ReplySplitter,
    /// Everything that came.
    raw: String,
    /// Of tokens whose text is still held back.
    unsent: ReplyPiece,
}

impl AnswerPieces {
    /// Behind a closed thinking.
    pub(crate) fn behind(thought: &Thought) -> Self {
        let splitter = ReplySplitter::behind_thinking(thought.form);
        Self { splitter, raw: String::new(), unsent: ReplyPiece::default() }
    }

    /// Takes a piece of the reply, gives what it brings of the answer.
    pub(crate) fn push(&mut self, piece: ReplyPiece) -> Option<ReplyPiece> {
        self.raw.push_str(&piece.text);
        self.unsent.log_likelihood += piece.log_likelihood;
        self.unsent.choices.extend(piece.choices);
        let parts = self.splitter.push(&piece.text);
        let text: String = parts.into_iter().map(text_of).collect();
        if text.is_empty() {
            return None;
        }
        Some(ReplyPiece { text, ..std::mem::take(&mut self.unsent) })
    }

    /// The reply has ended; gives what is left of the answer, everything that came, and what is wrong with
    /// it.
    pub(crate) fn finish(self, cut: bool) -> (Option<ReplyPiece>, String, Option<FormatFault>) {
        let (last, fault) = self.splitter.finish(cut);
        let piece = last.map(|part| ReplyPiece { text: text_of(part), ..self.unsent });
        (piece, self.raw, fault)
    }
}

fn text_of(part: ReplyPart) -> String {
    match part {
        ReplyPart::Thinking(text) | ReplyPart::Answer(text) => text,
    }
}
