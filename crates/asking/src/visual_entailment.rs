//! "Does this picture show it?": what the unedited model says of statements about a picture (method section
//! 1.3). Evidence is searched, edits are recorded and retrieved facts are verified by this one question.

use std::sync::{Arc, LazyLock};

use reasonedit_imaging::RgbImage;
use reasonedit_imaging::augment::textures;
use reasonedit_inference::{
    Answered, Ask, CallOptions, Conversation, EngineHandle, FeatureKey, KeyedImage, Want,
};

use crate::error::{EditorError, FieldError};
use crate::prompts::Prompts;
use crate::token_budget::TOKENS_PER_BYTE;

/// Side of a picture without content, in pixels.
const SIDE: u32 = 256;
/// Textures among them.
const TEXTURES: u32 = 2;

/// Asks the unedited model.
#[derive(Clone, Copy)]
pub struct EntailmentJudge<'a> {
    /// The engine.
    pub engine: &'a EngineHandle,
    /// How it is asked.
    pub prompts: &'a Prompts,
    /// Of all calls.
    pub options: CallOptions,
}

/// Probabilities that pictures show statements.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Entailment {
    /// A row for every picture, a column for every statement; `None` for a statement that the model's context
    /// has no room for, which is so in all rows alike.
    pub rows: Vec<Vec<Option<f64>>>,
    /// Milliseconds that the questions waited for the engine.
    pub queue_ms: f64,
}

impl EntailmentJudge<'_> {
    /// Asks about every statement with every picture.
    ///
    /// # Errors
    /// A busy or failing engine.
    pub async fn matrix(
        self,
        images: Vec<KeyedImage>,
        statements: &[&str],
    ) -> Result<Entailment, EditorError> {
        let pictures = images.len();
        if statements.is_empty() || images.is_empty() {
            return Ok(Entailment { rows: vec![vec![None; statements.len()]; pictures], queue_ms: 0.0 });
        }
        let askable = self.askable(&images, statements).await?;
        let asked: Vec<&str> =
            statements.iter().zip(&askable).filter(|(_, ok)| **ok).map(|(s, _)| *s).collect();
        if asked.is_empty() {
            return Ok(Entailment { rows: vec![vec![None; statements.len()]; pictures], queue_ms: 0.0 });
        }
        let ask = |image: usize, statement: &&str| Ask {
            image,
            prompt: self.prompts.verify(statement),
            want: Want::FirstToken(vec![self.prompts.yes.clone(), self.prompts.no.clone()]),
        };
        let ask = &ask;
        let asks = (0..pictures).flat_map(|image| asked.iter().map(move |s| ask(image, s))).collect();
        let (answers, times) = self.engine.ask(images, asks, self.options).await?;
        let mut p = answers.iter().map(p_yes).collect::<Result<Vec<f64>, _>>()?.into_iter();
        let mut row = || askable.iter().map(|ok| if *ok { p.next() } else { None }).collect();
        Ok(Entailment { rows: (0..pictures).map(|_| row()).collect(), queue_ms: times.queue_ms })
    }

    /// As [`Self::matrix`], of one picture or a part of it: a probability for every statement, and the
    /// milliseconds waited.
    ///
    /// # Errors
    /// A busy or failing engine.
    pub async fn row(
        self,
        image: KeyedImage,
        statements: &[&str],
    ) -> Result<(Vec<Option<f64>>, f64), EditorError> {
        let Entailment { rows, queue_ms } = self.matrix(vec![image], statements).await?;
        Ok((rows.into_iter().next().unwrap_or_default(), queue_ms))
    }

    /// What the model says of each statement whatever the picture: the mean over pictures without content,
    /// one grey and some textures. (The idea is that of contextual calibration, Zhao et al. 2021.)
    ///
    /// # Errors
    /// A busy or failing engine.
    pub async fn priors(self, statements: &[&str]) -> Result<Vec<Option<f64>>, EditorError> {
        static PICTURES: LazyLock<Vec<KeyedImage>> = LazyLock::new(|| {
            let grey = RgbImage::from_raw(SIDE, SIDE, vec![128; (SIDE * SIDE * 3) as usize]);
            let pictures = grey.into_iter().chain(textures(0, TEXTURES, SIDE));
            let input = |picture: RgbImage| KeyedImage {
                key: FeatureKey { image: *blake3::hash(picture.as_raw()).as_bytes(), area: None },
                picture: Arc::new(picture),
            };
            pictures.map(input).collect()
        });
        let rows = self.matrix(PICTURES.clone(), statements).await?.rows;
        let mean = |at: usize| {
            let of_all: Option<f64> = rows.iter().map(|row| row.get(at).copied().flatten()).sum();
            of_all.map(|sum| sum / rows.len().max(1) as f64)
        };
        Ok((0..statements.len()).map(mean).collect())
    }

    /// Whether each statement can be put to the model with every one of these pictures: to be verified, and
    /// to be scored as a description.
    async fn askable(self, images: &[KeyedImage], statements: &[&str]) -> Result<Vec<bool>, EditorError> {
        let (engine, prompts) = (self.engine, self.prompts);
        let sizes = engine.image_tokens(images).await?;
        let Some((_, costliest)) = sizes.iter().zip(images).max_by_key(|(size, _)| **size) else {
            return Ok(vec![true; statements.len()]);
        };
        let limit = engine.info().await?.max_positions;
        let with = |text: String| Conversation::question(Some(costliest.clone()), text);
        let bare = vec![with(prompts.verify("")), with(prompts.describe.clone())];
        let (mut most, mut describe) = (0, 0);
        for size in engine.prompt_tokens(bare).await? {
            (most, describe) = (most.max(size), size);
        }
        let long = |statement: &str| most + statement.len() * TOKENS_PER_BYTE > limit;
        let (mut fits, mut counted) = (Vec::with_capacity(statements.len()), Vec::new());
        for statement in statements {
            fits.push(!long(statement));
            if long(statement) {
                counted.push(with(prompts.verify(statement)));
            }
        }
        let tokenizer = engine.tokenizer().await?;
        let mut counted = engine.prompt_tokens(counted).await?.into_iter();
        for (statement, fits) in statements.iter().zip(&mut fits).filter(|(_, fits)| !**fits) {
            let verify = counted.next().unwrap_or(usize::MAX);
            *fits = verify <= limit && describe + tokenizer.encode_reply(statement)?.len() <= limit;
        }
        Ok(fits)
    }
}

/// A statement that the model's context has no room for.
pub fn unaskable(pointer: impl Into<String>) -> FieldError {
    FieldError::new(pointer, "the statement is too long for the model to be asked about it with this picture")
}

/// P(yes) / (P(yes) + P(no)) of one verification (method section 1.3); one half when the model gives neither
/// any probability.
fn p_yes(answer: &Answered) -> Result<f64, EditorError> {
    match answer {
        Answered::FirstToken(p) if p.len() == 2 => {
            let sum = p[0] + p[1];
            Ok(if sum > 0.0 { p[0] / sum } else { 0.5 })
        }
        _ => Err(EditorError::unexpected_answer()),
    }
}

#[cfg(test)]
mod tests;
