//! Rephrasing a text while keeping its meaning, for the radius of a key (paper appendix A.5; method section
//! 3).

use reasonedit_inference::{CallOptions, Conversation, EngineError, EngineHandle, GenerateRequest, Sampling};

use crate::config::{Paraphrase, RadiusConfig};
use crate::error::EditorError;
use crate::prompts::Prompts;

/// `count` paraphrases of each text, reproducible from the seed of the text of an index and the draw.
///
/// # Errors
/// A busy or failing engine.
pub async fn paraphrases(
    engine: &EngineHandle,
    config: &RadiusConfig,
    prompts: &Prompts,
    texts: &[String],
    count: usize,
    seed: impl Fn(usize, usize) -> u64,
    options: CallOptions,
) -> Result<Vec<Vec<String>>, EditorError> {
    let mut all = Vec::with_capacity(texts.len());
    for (index, text) in texts.iter().enumerate() {
        let mut of_text = Vec::with_capacity(count);
        for draw in 0..count {
            let seed = seed(index, draw);
            let by_model = match config.paraphrase {
                Paraphrase::Model => by_model(engine, config, prompts, text, draw, seed, options).await?,
                Paraphrase::Rules => None,
            };
            of_text.push(by_model.unwrap_or_else(|| by_rule(text, draw)));
        }
        all.push(of_text);
    }
    Ok(all)
}

/// The model's paraphrase, if it is one. The first draw is greedy, later ones are sampled.
async fn by_model(
    engine: &EngineHandle,
    config: &RadiusConfig,
    prompts: &Prompts,
    text: &str,
    draw: usize,
    seed: u64,
    options: CallOptions,
) -> Result<Option<String>, EditorError> {
    let sampling =
        if draw == 0 { Sampling::Greedy } else { Sampling::TopP { temperature: 0.7, top_p: 0.9, seed } };
    let request = GenerateRequest {
        sampling,
        ..GenerateRequest::greedy(
            Conversation::question(None, prompts.rephrase(text)),
            config.paraphrase_tokens,
        )
    };
    let (generated, _) = match engine.generate_text(request, options).await {
        // A text that the model can be told, but not with what asks for it to be rephrased.
        Err(EngineError::TooLong { .. }) => return Ok(None),
        generated => generated?,
    };
    let candidate = generated.text.trim().trim_matches(['"', '“', '”']).trim();
    Ok(acceptable(text, candidate).then(|| candidate.to_owned()))
}

/// A reply counts as a paraphrase if it is one line, of similar length, in the same script and shares words
/// with the text, but not all in the same order.
fn acceptable(text: &str, candidate: &str) -> bool {
    let words = |s: &str| -> Vec<String> {
        s.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).map(str::to_lowercase).collect()
    };
    let (old, new) = (words(text), words(candidate));
    let ratio = candidate.chars().count() as f64 / text.chars().count().max(1) as f64;
    let shared = old.iter().filter(|w| new.contains(w)).count();
    !candidate.is_empty()
        && !candidate.contains('\n')
        && (0.4..=2.5).contains(&ratio)
        && text.is_ascii() == candidate.is_ascii()
        && old != new
        && shared * 3 >= old.len()
}

/// Lead-ins of questions.
const ASKING: [&str; 12] = [
    "Can you tell me: ",
    "In this image, ",
    "Looking at the picture, ",
    "Please say: ",
    "I would like to know: ",
    "Going by what is shown, ",
    "Here is a question: ",
    "In the picture, ",
    "Tell me, ",
    "From what you see, ",
    "Given this image, ",
    "Could you say: ",
];

/// Lead-ins of statements.
const TELLING: [&str; 12] = [
    "In this image, ",
    "One can see that ",
    "It is the case that ",
    "Here, ",
    "In the picture, ",
    "As can be seen, ",
    "Note that ",
    "It is true that ",
    "As the picture shows, ",
    "We see that ",
    "It can be said that ",
    "Evidently, ",
];

/// Light rewriting that leaves every content word in place: a lead-in, and from the thirteenth draw on a
/// closing word too.
pub fn by_rule(text: &str, draw: usize) -> String {
    let text = text.trim();
    let body = text.trim_end_matches(['.', '?', '!']);
    let asked = text.ends_with('?');
    let (leads, closings, end) = if asked {
        (&ASKING, ["", ", please", " exactly"], '?')
    } else {
        (&TELLING, ["", ", indeed", ", as shown"], '.')
    };
    let lead = leads[draw % leads.len()];
    let closing = closings[draw / leads.len() % closings.len()];
    format!("{lead}{}{closing}{end}", lower_first(body))
}

/// Lower-cases the first letter unless the word is an acronym or a single capital.
fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    match (chars.next(), chars.clone().next()) {
        (Some(first), Some(second)) if first.is_uppercase() && second.is_lowercase() => {
            first.to_lowercase().chain(chars).collect()
        }
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;
