//! The dual embedding E(x, t) = [h(x) ; λ·S(t)] (paper section 3.3): the picture half from a vision tap, the
//! text half from the sentence encoder. The halves are computed apart, since an edit pairs few pictures with
//! few texts in many ways. With a language tap the first half is of picture and text together, and every pair
//! is run by itself.

use reasonedit_codebook::{Embedding, Generation, GenerationId, Seeds};
use reasonedit_imaging::PixelRules;
use reasonedit_inference::{
    CallOptions, EngineHandle, KeyedImage, ModelInfo, Pooled, Pooling, SentenceInfo, TapName, TapStage,
};
use ulid::Ulid;

use crate::config::EmbeddingConfig;
use crate::error::{EditorError, FieldError};
use crate::types::EmbeddingChoice;

/// An embedding that can be computed: what a codebook's keys are made with.
#[derive(Clone, Debug)]
pub struct Embedder {
    /// What it is made by.
    pub embedding: Embedding,
    /// Whether it was chosen for its codebook; else it is the configured one.
    pub chosen: bool,
    tap: TapName,
    pooling: Pooling,
    /// Whether the tap's state depends on the text too.
    of_pairs: bool,
}

/// What of an embedding no configuration has a say in: a codebook keeps to the rules that its keys were made
/// by until it is moved over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyRules {
    /// How the samples of pictures are read.
    pub pixels: PixelRules,
    /// What random choices are seeded by.
    pub seeds: Seeds,
}

impl KeyRules {
    /// Those of codebooks that begin now.
    pub const CURRENT: Self = Self { pixels: PixelRules::CURRENT, seeds: Seeds::CURRENT };

    /// Those of stored keys.
    pub fn of(embedding: &Embedding) -> Self {
        Self { pixels: embedding.pixels, seeds: embedding.seeds }
    }
}

impl Embedder {
    /// The embedding that the configuration asks for on the loaded model.
    ///
    /// # Errors
    /// A tap that the model hasn't, a λ that is no weight.
    pub fn configured(
        config: &EmbeddingConfig,
        model: &ModelInfo,
        encoder: &SentenceInfo,
    ) -> Result<Self, EditorError> {
        let tap = config.tap_of(model).ok_or_else(|| {
            let detail = format!(
                "the model {} has no tap named {}",
                model.name,
                config.tap.as_deref().unwrap_or("vision.N")
            );
            EditorError::Invalid(vec![FieldError::new("/embedding/tap", detail)])
        })?;
        if !is_weight(config.lambda) {
            let detail = "embedding.lambda must be a number of at least 0";
            return Err(EditorError::Invalid(vec![FieldError::new("/embedding/lambda", detail)]));
        }
        Ok(Self::new(tap, config.pooling, config.lambda, (model, encoder)))
    }

    /// The embedding that a person chose, on the loaded model.
    ///
    /// # Errors
    /// A tap that the model hasn't or that sees texts, a λ that is no weight.
    pub fn chosen(
        choice: &EmbeddingChoice,
        model: &ModelInfo,
        encoder: &SentenceInfo,
    ) -> Result<Self, EditorError> {
        let mut faults = Vec::new();
        if !model.taps.iter().any(|t| t.name.0 == choice.tap && t.stage != TapStage::Language) {
            let detail = format!("the model {} has no vision or bridge tap named {}", model.name, choice.tap);
            faults.push(FieldError::new("/tap", detail));
        }
        if !is_weight(choice.lambda) {
            faults.push(FieldError::new("/lambda", "lambda must be a number of at least 0"));
        }
        if !faults.is_empty() {
            return Err(EditorError::Invalid(faults));
        }
        let tap = TapName(choice.tap.clone());
        Ok(Self { chosen: true, ..Self::new(tap, choice.pooling, choice.lambda, (model, encoder)) })
    }

    /// The embedding that stored keys were made with, if the loaded model and encoder are those which made
    /// them.
    pub fn stored(generation: &Generation, model: &ModelInfo, encoder: &SentenceInfo) -> Option<Self> {
        let stored = &generation.embedding;
        let pooling = match stored.pooling.as_str() {
            "mean" => Pooling::Mean,
            "last" => Pooling::Last,
            _ => return None,
        };
        let made = Self::new(TapName(stored.tap.clone()), pooling, stored.lambda, (model, encoder))
            .by(KeyRules::of(stored));
        made.embedding.same_space(stored).then(|| Self {
            embedding: stored.clone(),
            chosen: generation.chosen,
            ..made
        })
    }

    fn new(
        tap: TapName,
        pooling: Pooling,
        lambda: f64,
        (model, encoder): (&ModelInfo, &SentenceInfo),
    ) -> Self {
        let info = model.taps.iter().find(|t| t.name == tap);
        let width = info.map_or(0, |t| t.width);
        let of_pairs = info.is_some_and(|t| t.stage == TapStage::Language);
        let name = match pooling {
            Pooling::Mean => "mean",
            Pooling::Last => "last",
        };
        let mut embedding = Embedding {
            id: GenerationId(Ulid::nil()),
            model_fingerprint: model.fingerprint.clone(),
            tap: tap.0.clone(),
            pooling: name.to_owned(),
            lambda,
            encoder_fingerprint: encoder.fingerprint.clone(),
            vision_dim: width as u32,
            sentence_dim: encoder.width as u32,
            pixels: KeyRules::CURRENT.pixels,
            seeds: KeyRules::CURRENT.seeds,
        };
        embedding.id = derived_id(&embedding);
        Self { embedding, chosen: false, tap, pooling, of_pairs }
    }

    /// The same under another id.
    pub fn under(mut self, id: GenerationId) -> Self {
        self.embedding.id = id;
        self
    }

    /// The same by these rules, and the id of that.
    pub fn by(mut self, rules: KeyRules) -> Self {
        if self.rules() != rules {
            (self.embedding.pixels, self.embedding.seeds) = (rules.pixels, rules.seeds);
            self.embedding.id = derived_id(&self.embedding);
        }
        self
    }

    /// What no configuration has a say in.
    pub fn rules(&self) -> KeyRules {
        KeyRules::of(&self.embedding)
    }

    /// How the samples of pictures are read.
    pub fn pixels(&self) -> PixelRules {
        self.embedding.pixels
    }

    /// What its keys belong to.
    pub fn generation(&self) -> Generation {
        Generation { embedding: self.embedding.clone(), chosen: self.chosen }
    }

    /// The tap it reads of pictures alone; `None` where it reads pairs.
    pub fn picture_tap(&self) -> Option<&TapName> {
        (!self.of_pairs).then_some(&self.tap)
    }

    /// Keys of pairs of a picture and a text, by index, and the time they waited in the queue. Pictures are
    /// looked at while the texts are still being written, where they can be looked at without them.
    ///
    /// # Errors
    /// A busy or failing engine.
    pub async fn keys(
        &self,
        engine: &EngineHandle,
        images: Vec<KeyedImage>,
        texts: impl Future<Output = Result<Vec<String>, EditorError>>,
        pairs: &[(usize, usize)],
        options: CallOptions,
    ) -> Result<(Vec<Vec<f32>>, f64), EditorError> {
        let (firsts, waited, seconds) = if self.of_pairs {
            let texts = texts.await?;
            let wanted = pairs
                .iter()
                .filter_map(|(image, text)| Some((images.get(*image)?.clone(), texts.get(*text)?.clone())));
            let wanted: Vec<(KeyedImage, String)> = wanted.collect();
            let states = self.pairs(engine, wanted, options);
            let ((states, waited), (texts, _)) =
                tokio::try_join!(states, self.texts(engine, texts, options))?;
            (states, waited, texts)
        } else {
            let pictures = self.pictures(engine, images, options);
            let texts = async { self.texts(engine, texts.await?, options).await };
            let ((pictures, waited), (texts, _)) = tokio::try_join!(pictures, texts)?;
            (pictures, waited, texts)
        };
        let key = |(at, (image, text)): (usize, &(usize, usize))| {
            let first = firsts.get(if self.of_pairs { at } else { *image });
            let halves = first.zip(seconds.get(*text));
            halves.map(|(p, t)| join(p, t)).ok_or(EditorError::Internal("a pair was not embedded"))
        };
        Ok((pairs.iter().enumerate().map(key).collect::<Result<_, _>>()?, waited))
    }

    /// States of pairs at a language tap.
    async fn pairs(
        &self,
        engine: &EngineHandle,
        pairs: Vec<(KeyedImage, String)>,
        options: CallOptions,
    ) -> Result<(Vec<Vec<f32>>, f64), EditorError> {
        let (pooled, times) = engine.embed_pairs(pairs, vec![self.tap.clone()], options).await?;
        let state = |pooled: Pooled| match self.pooling {
            Pooling::Mean => pooled.mean,
            Pooling::Last => pooled.last,
        };
        let states = pooled.into_iter().filter_map(|mut taps| taps.remove(&self.tap).map(state));
        Ok((states.collect(), times.queue_ms))
    }

    /// Picture halves, in the order of `images`, and the time they waited in the queue.
    async fn pictures(
        &self,
        engine: &EngineHandle,
        images: Vec<KeyedImage>,
        options: CallOptions,
    ) -> Result<(Vec<Vec<f32>>, f64), EditorError> {
        if images.is_empty() {
            return Ok((Vec::new(), 0.0));
        }
        let (halves, times) = engine.embed_images(images, self.tap.clone(), self.pooling, options).await?;
        Ok((halves, times.queue_ms))
    }

    /// Text halves, in the order of `texts`, λ applied.
    async fn texts(
        &self,
        engine: &EngineHandle,
        texts: Vec<String>,
        options: CallOptions,
    ) -> Result<(Vec<Vec<f32>>, f64), EditorError> {
        if texts.is_empty() {
            return Ok((Vec::new(), 0.0));
        }
        let (mut halves, times) = engine.embed_sentences(texts, options).await?;
        let lambda = self.embedding.lambda as f32;
        for half in &mut halves {
            for value in half {
                *value *= lambda;
            }
        }
        Ok((halves, times.queue_ms))
    }

    /// One key of both halves.
    ///
    /// # Errors
    /// A busy or failing engine.
    pub async fn key(
        &self,
        engine: &EngineHandle,
        image: KeyedImage,
        text: &str,
        options: CallOptions,
    ) -> Result<(Vec<f32>, f64), EditorError> {
        let (mut keys, waited) =
            self.keys(engine, vec![image], async { Ok(vec![text.to_owned()]) }, &[(0, 0)], options).await?;
        Ok((keys.pop().unwrap_or_default(), waited))
    }
}

/// Whether a number can be λ.
fn is_weight(lambda: f64) -> bool {
    lambda.is_finite() && lambda >= 0.0
}

/// The id of a codebook's first generation follows from what it is: the same model, tap, λ, encoder and rules
/// have the same id wherever keys are made, so that two first edits at once begin the same
/// generation. Later generations have ids of their own.
fn derived_id(embedding: &Embedding) -> GenerationId {
    let mut hasher = blake3::Hasher::new();
    for part in
        [&embedding.model_fingerprint, &embedding.tap, &embedding.pooling, &embedding.encoder_fingerprint]
    {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
    }
    hasher.update(&embedding.lambda.to_le_bytes());
    // The first rules had no name: ids of before stay.
    if embedding.pixels != PixelRules::First {
        hasher.update(format!("{:?}", embedding.pixels).as_bytes());
    }
    if embedding.seeds != Seeds::Ids {
        hasher.update(format!("seeds: {:?}", embedding.seeds).as_bytes());
    }
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    GenerationId(Ulid::from_bytes(bytes))
}

/// `[picture half ; text half]`.
fn join(picture: &[f32], text: &[f32]) -> Vec<f32> {
    let mut key = Vec::with_capacity(picture.len() + text.len());
    key.extend_from_slice(picture);
    key.extend_from_slice(text);
    key
}
