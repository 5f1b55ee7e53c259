//! Pictures, and what a model makes of them that no edit of its last layer changes: the forward up to there
//! runs once for each question, however often and of however many editors it is asked.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use reasonedit_imaging::{DecodeLimits, RgbImage, decode};
use reasonedit_models::{Cut, HiddenStates, ImageFeatures, ModelError, VisionLanguageModel};

use crate::error::Result;

/// A picture, decoded when a model looks at it. What the first model saw is kept.
pub struct Picture {
    pixels: Pixels,
    seen: OnceLock<Seen>,
}

enum Pixels {
    Decoded(RgbImage),
    /// A file, read within limits.
    Encoded(Vec<u8>, DecodeLimits),
}

/// What one model made of it.
struct Seen {
    /// Fingerprint of the model.
    model: String,
    features: Arc<ImageFeatures>,
    replies: Mutex<HashMap<Asked, Arc<ReplyStates>>>,
    vectors: Mutex<HashMap<Known, Arc<Vec<f32>>>>,
}

/// What a vector is of, and the question.
type Known = (&'static str, String);

/// A question with the replies that it can have, and where their states are taken.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Asked {
    text: String,
    replies: Vec<String>,
    cut: Cut,
}

/// Replies to a question, and their hidden states.
pub(crate) struct ReplyStates {
    /// Tokens of each reply.
    pub(crate) tokens: Vec<Vec<u32>>,
    /// Of each reply behind the prompt.
    pub(crate) states: Vec<HiddenStates>,
}

impl Picture {
    /// A picture file. It is decoded each time that pixels are needed, which is once for its features.
    pub fn encoded(file: Vec<u8>, limits: DecodeLimits) -> Self {
        Self { pixels: Pixels::Encoded(file, limits), seen: OnceLock::new() }
    }

    /// Its pixels.
    ///
    /// # Errors
    /// A file that can't be decoded within the limits.
    pub fn with_pixels<T>(&self, use_them: impl FnOnce(&RgbImage) -> Result<T>) -> Result<T> {
        match &self.pixels {
            Pixels::Decoded(pixels) => use_them(pixels),
            Pixels::Encoded(file, limits) => use_them(&decode(file, limits)?.image),
        }
    }

    /// What the model sees in it.
    ///
    /// # Errors
    /// A picture that can't be decoded, or that the model can't take.
    pub fn features(&self, model: &dyn VisionLanguageModel) -> Result<Arc<ImageFeatures>> {
        if let Some(seen) = self.seen_by(model) {
            return Ok(Arc::clone(&seen.features));
        }
        let features = self.with_pixels(|pixels| {
            let input = model.preprocessor().preprocess(pixels)?;
            Ok(model
                .encode_images(&[&input], &[])?
                .pop()
                .ok_or_else(|| ModelError::shape("no features of a picture"))?)
        })?;
        self.seen.get_or_init(|| Seen {
            model: model.info().fingerprint.clone(),
            features: Arc::clone(&features),
            replies: Mutex::default(),
            vectors: Mutex::default(),
        });
        Ok(features)
    }

    /// Memory of what is kept beside the file or the pixels, and of those, in bytes.
    pub fn bytes(&self) -> usize {
        let own = match &self.pixels {
            Pixels::Decoded(pixels) => pixels.as_raw().len(),
            Pixels::Encoded(file, _) => file.len(),
        };
        let Some(seen) = self.seen.get() else { return own };
        let of = |tensor: &candle_core::Tensor| tensor.elem_count() * tensor.dtype().size_in_bytes();
        let features = of(&seen.features.tokens) + seen.features.deepstack.iter().map(of).sum::<usize>();
        let replies = seen.replies.lock();
        let states = replies.values().flat_map(|kept| &kept.states).map(HiddenStates::bytes).sum::<usize>();
        let vectors =
            seen.vectors.lock().values().map(|vector| size_of_val(vector.as_slice())).sum::<usize>();
        own + features + states + vectors
    }

    fn seen_by(&self, model: &dyn VisionLanguageModel) -> Option<&Seen> {
        self.seen.get().filter(|seen| seen.model == model.info().fingerprint)
    }

    /// Replies to a question about it, with their states at a cut, made once.
    ///
    /// # Errors
    /// Those of `make`.
    pub(crate) fn replies(
        &self,
        model: &dyn VisionLanguageModel,
        text: &str,
        replies: &[String],
        cut: Cut,
        make: impl FnOnce() -> Result<ReplyStates>,
    ) -> Result<Arc<ReplyStates>> {
        let asked = Asked { text: text.to_owned(), replies: replies.to_vec(), cut };
        if let Some(kept) = self.seen_by(model).and_then(|seen| seen.replies.lock().get(&asked).cloned()) {
            return Ok(kept);
        }
        let made = Arc::new(make()?);
        if let Some(seen) = self.seen_by(model) {
            seen.replies.lock().insert(asked, Arc::clone(&made));
        }
        Ok(made)
    }

    /// A vector that a question about it is known by under `name`, made once.
    ///
    /// # Errors
    /// Those of `make`.
    pub fn vector(
        &self,
        model: &dyn VisionLanguageModel,
        name: &'static str,
        text: &str,
        make: impl FnOnce() -> Result<Vec<f32>>,
    ) -> Result<Arc<Vec<f32>>> {
        let key = (name, text.to_owned());
        if let Some(kept) = self.seen_by(model).and_then(|seen| seen.vectors.lock().get(&key).cloned()) {
            return Ok(kept);
        }
        let made = Arc::new(make()?);
        if let Some(seen) = self.seen_by(model) {
            seen.vectors.lock().insert(key, Arc::clone(&made));
        }
        Ok(made)
    }
}

impl From<RgbImage> for Picture {
    fn from(pixels: RgbImage) -> Self {
        Self { pixels: Pixels::Decoded(pixels), seen: OnceLock::new() }
    }
}

impl std::fmt::Debug for Picture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // No pixels: a picture may show a patient.
        f.debug_struct("Picture").field("bytes", &self.bytes()).finish_non_exhaustive()
    }
}
