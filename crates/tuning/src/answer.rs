//! Answers under an adaptation.

use reasonedit_models::{Adaptation, DifferentiableSuffix, HiddenStates, Unadapted, VisionLanguageModel};

use crate::error::Result;
use crate::feed_forward::last_suffix;
use crate::loss::log_probabilities;
use crate::method::Question;
use crate::picture::ReplyStates;
use crate::prompt::{Prompt, ends_attention, nothing};

/// Tokens that a generated answer may have.
const LONGEST: usize = 32;

/// ln P of each of `replies` behind a prompt.
///
/// # Errors
/// Those of the model; a reply without tokens.
pub fn reply_log_likelihoods(
    model: &dyn VisionLanguageModel,
    suffix: &DifferentiableSuffix,
    prompt: &Prompt,
    replies: &[String],
    adaptation: &dyn Adaptation,
) -> Result<Vec<f64>> {
    log_likelihoods(suffix, &reply_states(model, prompt, replies)?, adaptation)
}

/// Replies behind a prompt.
fn reply_states(model: &dyn VisionLanguageModel, prompt: &Prompt, replies: &[String]) -> Result<ReplyStates> {
    let tokens: Vec<Vec<u32>> = replies
        .iter()
        .map(|reply| model.tokenizer().encode_reply(reply.trim()))
        .collect::<std::result::Result<_, _>>()?;
    if tokens.iter().any(Vec::is_empty) {
        return Err(nothing().into());
    }
    let slices: Vec<&[u32]> = tokens.iter().map(Vec::as_slice).collect();
    let states = prompt.states(model, &slices)?;
    Ok(ReplyStates { tokens, states })
}

/// ln P of each of these replies.
fn log_likelihoods(
    suffix: &DifferentiableSuffix,
    replies: &ReplyStates,
    adaptation: &dyn Adaptation,
) -> Result<Vec<f64>> {
    let logits = suffix.logits(&replies.states.iter().collect::<Vec<&HiddenStates>>(), adaptation)?;
    let all: Vec<f32> = log_probabilities(&logits, &replies.tokens.concat())?.flatten_all()?.to_vec1()?;
    let mut rest = all.as_slice();
    Ok(replies
        .tokens
        .iter()
        .map(|reply| {
            let (own, after) = rest.split_at(reply.len());
            rest = after;
            own.iter().map(|p| f64::from(*p)).sum()
        })
        .collect())
}

/// The likeliest of the choices, by its place; the first of equals.
///
/// # Errors
/// As [`reply_log_likelihoods`].
pub fn best_choice(
    model: &dyn VisionLanguageModel,
    suffix: &DifferentiableSuffix,
    prompt: &Prompt,
    choices: &[String],
    adaptation: &dyn Adaptation,
) -> Result<usize> {
    Ok(likeliest(&reply_log_likelihoods(model, suffix, prompt, choices, adaptation)?))
}

/// The place of the greatest; the first of equals.
fn likeliest(likelihoods: &[f64]) -> usize {
    let mut best = 0;
    for (at, likelihood) in likelihoods.iter().enumerate() {
        if *likelihood > likelihoods[best] {
            best = at;
        }
    }
    best
}

/// A greedy reply of at most `tokens` tokens; of equal logits the smaller token.
///
/// # Errors
/// Those of the model.
pub fn generate(
    model: &dyn VisionLanguageModel,
    suffix: &DifferentiableSuffix,
    prompt: &Prompt,
    tokens: usize,
    adaptation: &dyn Adaptation,
) -> Result<String> {
    let tokenizer = model.tokenizer();
    let mut reply: Vec<u32> = Vec::new();
    while reply.len() < tokens {
        // What is predicted next stands in the row of the last token: any token may stand in its place.
        let with_next: Vec<u32> = reply.iter().copied().chain([0]).collect();
        let states = prompt.states(model, &[&with_next])?;
        let logits = suffix.logits(&states.iter().collect::<Vec<&HiddenStates>>(), adaptation)?;
        let row: Vec<f32> = logits.get(logits.dim(0)? - 1)?.to_vec1()?;
        let mut best = 0;
        for (token, logit) in row.iter().enumerate() {
            if *logit > row[best] {
                best = token;
            }
        }
        if tokenizer.stop_tokens().contains(&(best as u32)) {
            break;
        }
        reply.push(best as u32);
    }
    Ok(tokenizer.decode(&reply)?)
}

/// A question's answer without any edit, by choice or generated; by choice it is looked for once.
///
/// # Errors
/// Those of the model.
pub fn unedited_answer(model: &dyn VisionLanguageModel, question: &Question) -> Result<String> {
    answer(model, &last_suffix(model)?, question, &Unadapted)
}

/// A question's answer, by choice or generated.
pub(crate) fn answer(
    model: &dyn VisionLanguageModel,
    suffix: &DifferentiableSuffix,
    question: &Question,
    adaptation: &dyn Adaptation,
) -> Result<String> {
    let Question { picture, text, choices } = question;
    if choices.is_empty() || !ends_attention(model, suffix.cut())? {
        let prompt = Prompt::new(model, picture, text, suffix.cut())?;
        return answer_prompt(model, suffix, &prompt, question, adaptation);
    }
    // What no edit changes is there from the last time the question was asked.
    let replies = picture.replies(model, text, choices, suffix.cut(), || {
        reply_states(model, &Prompt::new(model, picture, text, suffix.cut())?, choices)
    })?;
    let best = likeliest(&log_likelihoods(suffix, &replies, adaptation)?);
    Ok(choices[best].clone())
}

/// As [`answer`], of a question whose prompt was run.
pub(crate) fn answer_prompt(
    model: &dyn VisionLanguageModel,
    suffix: &DifferentiableSuffix,
    prompt: &Prompt,
    question: &Question,
    adaptation: &dyn Adaptation,
) -> Result<String> {
    if question.choices.is_empty() {
        return generate(model, suffix, prompt, LONGEST, adaptation);
    }
    let best = best_choice(model, suffix, prompt, &question.choices, adaptation)?;
    Ok(question.choices[best].clone())
}
