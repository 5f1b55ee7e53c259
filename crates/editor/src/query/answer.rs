//! Answers of the model, with or without facts in front (method section 5).

use std::sync::LazyLock;

use reasonedit_codebook::Opinion;
use reasonedit_inference::constrain::CompiledForm;
use reasonedit_inference::{
    Answered, CallOptions, Conversation, EngineHandle, FinishReason, GenerateEvent, GenerateRequest,
    ReplyPiece, StopFilter, Want,
};

use crate::error::EditorError;
use crate::stream::Events;
use crate::types::{ChoiceScore, Decoding, QueryEvent, Usage};

/// How a generated reply is made.
#[derive(Clone, Copy)]
pub(super) struct ReplySettings<'a> {
    pub(super) max_tokens: usize,
    pub(super) decoding: &'a Decoding,
    /// What it must look like.
    pub(super) form: Option<&'a CompiledForm>,
}

impl ReplySettings<'static> {
    /// The most probable reply of at most so many tokens.
    pub(super) fn plain(max_tokens: usize) -> Self {
        static GREEDY: LazyLock<Decoding> = LazyLock::new(Decoding::default);
        Self { max_tokens, decoding: &GREEDY, form: None }
    }
}

/// What the model said to one prompt.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) text: String,
    pub(crate) choices: Option<Vec<ChoiceScore>>,
    pub(crate) probability: f64,
    pub(crate) usage: Usage,
    pub(crate) finish: Option<FinishReason>,
    pub(crate) queue_ms: f64,
}

impl Answer {
    pub(crate) fn opinion(&self) -> Opinion {
        Opinion { answer: self.text.clone(), probability: self.probability }
    }
}

/// Several prompts on the same pictures, each with the same choices, in one request: the pictures are looked
/// at once, and the tokens of all prompts count as the request's.
pub(crate) async fn choose(
    engine: &EngineHandle,
    prompts: Vec<Conversation>,
    choices: &[String],
    options: CallOptions,
) -> Result<Vec<Answer>, EditorError> {
    let want = Want::Replies(choices.iter().map(|c| c.trim().to_owned()).collect());
    let asks = prompts.into_iter().map(|prompt| (prompt, want.clone())).collect();
    let (answers, times) = engine.ask_conversations(asks, options).await?;
    answers
        .into_iter()
        .map(|answer| {
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
            Ok(Answer {
                text: scored[best].text.clone(),
                probability: scored[best].probability,
                usage: Usage { prompt_tokens: times.prompt_tokens, completion_tokens: scores[best].tokens },
                choices: Some(scored),
                finish: None,
                queue_ms: times.queue_ms,
            })
        })
        .collect()
}

/// Generates one reply, of a form if one is given, sending its pieces to `events` as they come. A receiver
/// that has gone ends it, and so does a stop text.
pub(crate) async fn generate(
    engine: &EngineHandle,
    prompt: Conversation,
    reply: ReplySettings<'_>,
    events: Option<&Events>,
    options: CallOptions,
) -> Result<Answer, EditorError> {
    let ReplySettings { max_tokens, decoding, form } = reply;
    let Decoding { sampling, rules, stop, alternatives } = decoding;
    let request = GenerateRequest {
        prompt,
        max_tokens,
        sampling: *sampling,
        rules: rules.clone(),
        form: form.cloned(),
        alternatives: *alternatives,
    };
    let mut stream = engine.generate(request, options).await?;
    let mut answer = Answer::default();
    let mut filter = StopFilter::new(stop);
    let (mut shown_likelihood, mut tokens_so_far) = (0.0, 0);
    while let Some(event) = stream.next().await {
        let (pieces, stopped) = match event? {
            GenerateEvent::Text { text, log_likelihood, tokens, choices } => {
                tokens_so_far += tokens;
                let piece = ReplyPiece { text, log_likelihood, choices };
                // A text ends nothing as long as the reply may not end.
                if tokens_so_far <= rules.min_tokens { (vec![piece], false) } else { filter.push(piece) }
            }
            GenerateEvent::Done { reason, prompt_tokens, completion_tokens, log_likelihood } => {
                answer.finish = Some(reason);
                answer.usage = Usage { prompt_tokens, completion_tokens };
                answer.probability = log_likelihood.exp();
                (filter.finish(), false)
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
            break;
        }
    }
    if answer.finish.is_none() {
        return Err(EditorError::Cancelled);
    }
    answer.text = answer.text.trim().to_owned();
    Ok(answer)
}

/// Softmax, stable.
pub(crate) fn softmax(values: &[f64]) -> Vec<f64> {
    let top = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = values.iter().map(|v| (v - top).exp()).collect();
    let sum: f64 = weights.iter().sum();
    weights.iter().map(|w| w / sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn softmax_sums_to_one_even_far_below_zero() {
        let p = softmax(&[-1000.0, -1001.0, -1000.0]);
        assert!((p.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        assert_eq!(p[0], p[2]);
        assert!(p[0] > p[1]);
    }
}
