//! Trains the head that tells what bears on a question ([`reasonedit_relevance::RelevanceHead`]).
//!
//! Records give questions, statements, and what each is about ([`Examples`]); the sentence encoder in use
//! embeds them ([`embed`]), and two linear maps are trained on the embeddings ([`train`]).

mod error;
mod examples;
#[cfg(test)]
mod tests;
mod train;

pub use error::HeadError;
pub use examples::Examples;
use reasonedit_inference::{CallOptions, EngineHandle};
pub use train::{HeadReport, HeadSettings, train};

/// Texts embedded at a time.
const TEXTS: usize = 256;

/// Sentence embeddings of all texts of the examples, in their order. `told` is called with how many are done.
///
/// # Errors
/// A failing encoder.
pub async fn embed(
    engine: &EngineHandle,
    examples: &Examples,
    told: impl Fn(usize),
) -> Result<Vec<Vec<f32>>, HeadError> {
    let mut embeddings = Vec::with_capacity(examples.texts().len());
    for texts in examples.texts().chunks(TEXTS) {
        let (some, _) = engine.embed_sentences(texts.to_vec(), CallOptions::default()).await?;
        embeddings.extend(some);
        told(embeddings.len());
    }
    Ok(embeddings)
}
