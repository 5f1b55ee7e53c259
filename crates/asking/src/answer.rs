//! Answers of the model, with or without facts in front (method section 5).

use std::sync::LazyLock;

use reasonedit_codebook::Opinion;
use reasonedit_inference::constrain::CompiledForm;
use reasonedit_inference::prompt::FormatFault;
use reasonedit_inference::{
    Answered, CallOptions, Conversation, EngineHandle, FinishReason, GenerateEvent, GenerateRequest,
    ReplyPiece, StopFilter, Want,
};

use crate::error::EditorError;
use crate::stream::EventSender;
use crate::thinking::{AnswerPieces, ThinkingBudget, Thought, think};
use crate::types::{ChoiceScore, Decoding, QueryEvent, ThinkingOutcome, Usage};

/// How a generated reply is made.
#[derive(Clone, Copy)]
pub struct ReplySettings<'a> {
    /// Most tokens of the answer.
    pub max_tokens: usize,
    /// Tokens that a reasoning model may think before.
    pub thinking: usize,
    /// Most tokens of thinking and answer together.
    pub total: Option<usize>,
    /// How tokens are chosen.
    pub decoding: &'a Decoding,
    /// What it must look like.
    pub form: Option<&'a CompiledForm>,
}

impl ReplySettings<'static> {
    /// The most probable reply of at most so many tokens, behind at most so many of `thinking`.
    pub fn plain(max_tokens: usize, thinking: usize) -> Self {
        static GREEDY: LazyLock<Decoding> = LazyLock::new(Decoding::default);
        Self { max_tokens, thinking, total: None, decoding: &GREEDY, form: None }
    }
}

impl ReplySettings<'_> {
    /// What a reasoning model may think before this reply.
    fn budget(&self) -> ThinkingBudget {
        // The answer keeps at least half of what both have together.
        let most = self.total.map_or(usize::MAX, |total| total / 2);
        ThinkingBudget { tokens: self.thinking.min(most), answer: self.max_tokens }
    }

    /// Most tokens of the answer behind a thought.
    fn left(&self, thought: Option<&Thought>) -> usize {
        let spent = thought.map_or(0, |thought| thought.tokens);
        self.total.map_or(self.max_tokens, |total| self.max_tokens.min(total.saturating_sub(spent)))
    }
}

/// What the model said to one prompt.
#[derive(Clone, Debug, Default)]
pub struct ModelAnswer {
    /// What it said, or the choice that it holds for the most probable.
    pub text: String,
    /// Every choice with what the model makes of it, where there are choices.
    pub choices: Option<Vec<ChoiceScore>>,
    /// How probable it holds what it said.
    pub probability: f64,
    /// Tokens.
    pub usage: Usage,
    /// Why it ended; `None` where a choice was taken.
    pub finish: Option<FinishReason>,
    /// What a reasoning model thought before.
    pub reasoning: Option<ThinkingOutcome>,
    /// Milliseconds that it waited for the engine.
    pub queue_ms: f64,
}

impl ModelAnswer {
    /// What is kept of it.
    pub fn opinion(&self) -> Opinion {
        Opinion { answer: self.text.clone(), probability: self.probability }
    }
}

/// Several prompts on the same pictures, each with the same choices, in one request: the pictures are looked
/// at once, and the tokens of all prompts count as the request's. A reasoning model thinks about each before,
/// by `reply`, and `events` are told what it thinks about the first; the choices stand behind that.
///
/// # Errors
/// A busy or failing engine, a prompt that its context has no room for.
pub async fn choose(
    engine: &EngineHandle,
    mut prompts: Vec<Conversation>,
    choices: &[String],
    reply: ReplySettings<'_>,
    events: Option<&EventSender>,
    options: CallOptions,
) -> Result<Vec<ModelAnswer>, EditorError> {
    let mut longest = 0;
    let tokenizer = engine.tokenizer().await?;
    if tokenizer.thinking().is_some() {
        for choice in choices {
            longest = longest.max(tokenizer.encode_answer(choice.trim())?.len());
        }
    }
    let budget = ThinkingBudget { tokens: reply.thinking, answer: longest };
    let mut thoughts = Vec::with_capacity(prompts.len());
    for (at, prompt) in prompts.iter_mut().enumerate() {
        let events = events.filter(|_| at == 0);
        thoughts.push(think(engine, prompt, budget, reply.decoding, events, options).await?);
    }
    let asked: Option<usize> = thoughts.iter().map(|thought| thought.as_ref()?.prompt_tokens).sum();
    let want = Want::Replies(choices.iter().map(|c| c.trim().to_owned()).collect());
    let asks = prompts.into_iter().map(|prompt| (prompt, want.clone())).collect();
    let (answers, times) = engine.ask_conversations(asks, options).await?;
    answers
        .into_iter()
        .zip(thoughts)
        .map(|(answer, thought)| {
            let Answered::Replies(scores) = answer else { return Err(EditorError::unexpected_answer()) };
            let likelihoods: Vec<f64> = scores.iter().map(|s| s.log_likelihood).collect();
            let probabilities = softmax(&likelihoods);
            let scored: Vec<ChoiceScore> = choices
                .iter()
                .zip(likelihoods.iter().zip(&probabilities))
                .map(|(text, (l, p))| ChoiceScore {
                    text: text.clone(),
                    log_probability: *l,
                    probability: *p,
                })
                .collect();
            // The first of equals wins.
            let best = (0..scored.len()).reduce(|best, c| {
                if scored[c].log_probability > scored[best].log_probability { c } else { best }
            });
            let Some(best) = best else { return Err(EditorError::unexpected_answer()) };
            let thinking = thought.as_ref().map_or(0, |thought| thought.tokens);
            let waited = thought.as_ref().map_or(0.0, |thought| thought.queue_ms);
            Ok(ModelAnswer {
                text: scored[best].text.clone(),
                probability: scored[best].probability,
                usage: Usage {
                    prompt_tokens: asked.unwrap_or(times.prompt_tokens),
                    completion_tokens: thinking + scores[best].tokens,
                },
                choices: Some(scored),
                finish: None,
                reasoning: thought.map(|thought| {
                    let fault = thought.unclosed.then_some(FormatFault::UnclosedThinking);
                    thought.told(fault, "")
                }),
                queue_ms: waited + times.queue_ms,
            })
        })
        .collect()
}

/// Generates one reply, of a form if one is given, sending its pieces to `events` as they come. A receiver
/// that has gone ends it, and so does a stop text. A reasoning model thinks before.
///
/// # Errors
/// A busy or failing engine, a prompt that its context has no room for; `Cancelled` if the receiver has gone.
pub async fn generate(
    engine: &EngineHandle,
    mut prompt: Conversation,
    reply: ReplySettings<'_>,
    events: Option<&EventSender>,
    options: CallOptions,
) -> Result<ModelAnswer, EditorError> {
    let thought = think(engine, &mut prompt, reply.budget(), reply.decoding, events, options).await?;
    if let Some(thought) = thought.as_ref().filter(|thought| thought.unclosed) {
        return Ok(unanswered(thought.clone()));
    }
    let Decoding { sampling, rules, stop, alternatives } = reply.decoding;
    let request = GenerateRequest {
        prompt,
        max_tokens: reply.left(thought.as_ref()),
        sampling: *sampling,
        rules: rules.clone(),
        form: reply.form.cloned(),
        alternatives: *alternatives,
    };
    let mut stream = engine.generate(request, options).await?;
    let mut answer = ModelAnswer::default();
    let mut inside = thought.as_ref().map(AnswerPieces::behind);
    let mut filter = StopFilter::new(stop);
    let (mut shown_likelihood, mut tokens_so_far) = (0.0, 0);
    let (mut raw, mut fault) = (String::new(), None);
    while let Some(event) = stream.next().await {
        let (pieces, stopped) = match event? {
            GenerateEvent::Text { text, log_likelihood, tokens, choices } => {
                tokens_so_far += tokens;
                let piece = ReplyPiece { text, log_likelihood, choices };
                let piece = match inside.as_mut() {
                    Some(inside) => inside.push(piece),
                    None => Some(piece),
                };
                match piece {
                    None => (Vec::new(), false),
                    // A text ends nothing as long as the reply may not end.
                    Some(piece) if tokens_so_far <= rules.min_tokens => (vec![piece], false),
                    Some(piece) => filter.push(piece),
                }
            }
            GenerateEvent::Done { reason, prompt_tokens, completion_tokens, log_likelihood } => {
                answer.finish = Some(reason);
                answer.usage = Usage { prompt_tokens, completion_tokens };
                answer.probability = log_likelihood.exp();
                let cut = reason == FinishReason::Length || reply.form.is_some();
                let last = inside.take().map(|inside| inside.finish(cut));
                let (mut pieces, mut stopped) = (Vec::new(), false);
                if let Some((last, whole, wrong)) = last {
                    (raw, fault) = (whole, wrong);
                    if let Some(last) = last {
                        (pieces, stopped) = filter.push(last);
                    }
                }
                pieces.extend(filter.finish());
                (pieces, stopped)
            }
        };
        for ReplyPiece { text, log_likelihood, choices: tokens } in pieces {
            answer.text.push_str(&text);
            shown_likelihood += log_likelihood;
            let token = QueryEvent::Token { text, probability: log_likelihood.exp(), tokens };
            if let Some(events) = events
                && events.send(Ok(token)).await.is_err()
            {
                return Err(EditorError::Cancelled);
            }
        }
        if stopped {
            answer.finish = Some(FinishReason::Stop);
            answer.usage =
                Usage { prompt_tokens: stream.times().prompt_tokens, completion_tokens: tokens_so_far };
            answer.probability = f64::exp(shown_likelihood);
            // What was cut off is not the model's end.
            fault = None;
            break;
        }
    }
    if answer.finish.is_none() {
        return Err(EditorError::Cancelled);
    }
    answer.text = if fault.is_some() { String::new() } else { answer.text.trim().to_owned() };
    if let Some(thought) = thought {
        count(&mut answer, &thought);
        answer.reasoning = Some(thought.told(fault, &raw));
    }
    Ok(answer)
}

/// Of a model that ended its turn while it was thinking.
fn unanswered(thought: Thought) -> ModelAnswer {
    let mut answer = ModelAnswer { finish: Some(FinishReason::Stop), ..ModelAnswer::default() };
    count(&mut answer, &thought);
    answer.reasoning = Some(thought.told(Some(FormatFault::UnclosedThinking), ""));
    answer
}

/// Counts what was thought before an answer: the prompt is what stood before both.
fn count(answer: &mut ModelAnswer, thought: &Thought) {
    answer.queue_ms += thought.queue_ms;
    answer.usage.prompt_tokens = thought.prompt_tokens.unwrap_or(answer.usage.prompt_tokens);
    answer.usage.completion_tokens += thought.tokens;
}

/// Softmax, stable.
pub fn softmax(values: &[f64]) -> Vec<f64> {
    let top = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = values.iter().map(|v| (v - top).exp()).collect();
    let sum: f64 = weights.iter().sum();
    weights.iter().map(|w| w / sum).collect()
}

#[cfg(test)]
mod tests;
