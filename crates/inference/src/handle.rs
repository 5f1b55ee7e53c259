//! The caller's side of the engine.

use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, RwLock};
use reasonedit_models::Result as ModelResult;
use reasonedit_models::model::{ModelInfo, VisionLanguageModel};
use reasonedit_models::prompt::PromptTokenizer;
use reasonedit_nn::taps::{PooledTaps, Pooling, TapName};
use reasonedit_resilience::blocking;
use tokio::sync::{oneshot, watch};

use crate::cache::FeatureCache;
use crate::config::EngineConfig;
use crate::error::{EngineError, Result};
use crate::loaded::Loaded;
use crate::picture::{Picture, Prompt, TapSelection};
use crate::prepare::{Needs, Texts, ask_units, look_at, shared_prefix};
use crate::queue::{Place, Queue};
use crate::request::{Answered, Ask, CallOptions, EngineTimes, KeyedImage, Priority, SentenceInfo};
use crate::shared::{Readiness, Shared};
use crate::stats::{Counters, EngineStats, count};
use crate::stream::within;
use crate::units::{ImageUnit, ModelCallUnit, PairUnit, SentenceUnit, Units};
use crate::work::{Request, Work};

/// Pictures of one request that are preprocessed and waiting at once: larger requests are fed in parts, so
/// that their pixels don't fill the memory.
const PICTURES_PER_PART: usize = 32;

/// Closes the queue when the last handle goes.
struct Alive(Arc<Shared>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.queue.close();
    }
}

/// Cloneable access to an engine. All methods wait for the models to be loaded.
#[derive(Clone)]
pub struct EngineHandle {
    pub(super) shared: Arc<Shared>,
    _alive: Arc<Alive>,
}

impl std::fmt::Debug for EngineHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EngineHandle").field("state", &*self.shared.state.borrow()).finish_non_exhaustive()
    }
}

impl EngineHandle {
    pub(super) fn new(config: EngineConfig) -> (Self, Arc<Shared>) {
        let counters = Arc::new(Counters::default());
        let shared = Arc::new(Shared {
            queue: Arc::new(Queue::new(config.queue_capacity, Arc::clone(&counters))),
            cache: Mutex::new(FeatureCache::new(config.cache_bytes)),
            always_taps: RwLock::default(),
            counters,
            state: watch::Sender::new(Readiness::Loading),
            loaded: OnceLock::new(),
            load_error: Mutex::default(),
            config,
        });
        let alive = Arc::new(Alive(Arc::clone(&shared)));
        (Self { shared: Arc::clone(&shared), _alive: alive }, shared)
    }

    /// Whether the models are loaded and the engine takes requests.
    pub fn ready(&self) -> bool {
        *self.shared.state.borrow() == Readiness::Ready
    }

    /// Waits until the models are loaded.
    ///
    /// # Errors
    /// Why they could not be: the original error for the first who asks, [`EngineError::Load`] with its text
    /// for the others. [`EngineError::Closed`] after a shutdown.
    pub async fn wait_ready(&self) -> Result<()> {
        self.loaded().await.map(|_| ())
    }

    /// What the vision-language model says of itself.
    ///
    /// # Errors
    /// As [`Self::wait_ready`].
    pub async fn info(&self) -> Result<Arc<ModelInfo>> {
        Ok(Arc::clone(&self.loaded().await?.info))
    }

    /// What the sentence encoder says of itself.
    ///
    /// # Errors
    /// As [`Self::wait_ready`].
    pub async fn sentence_info(&self) -> Result<Arc<SentenceInfo>> {
        Ok(Arc::clone(&self.loaded().await?.sentences))
    }

    /// The model's tokenizer, to count tokens or to render prompts.
    ///
    /// # Errors
    /// As [`Self::wait_ready`].
    pub async fn tokenizer(&self) -> Result<Arc<PromptTokenizer>> {
        Ok(Arc::clone(&self.loaded().await?.tokenizer))
    }

    /// Names the vision and bridge taps that are pooled whenever a picture is looked at, whatever for, so
    /// that a later [`Self::embed_images`] finds them. Replaces the former ones.
    ///
    /// # Errors
    /// [`EngineError::Unsupported`] for a tap the model lacks or that depends on the text; as
    /// [`Self::wait_ready`].
    pub async fn set_always_taps(&self, taps: Vec<TapName>) -> Result<()> {
        TapSelection::vision_only(self.loaded().await?, &taps)?;
        *self.shared.always_taps.write() = taps;
        Ok(())
    }

    /// Counters for metrics.
    pub fn stats(&self) -> EngineStats {
        let mut stats = self.shared.counters.snapshot();
        stats.queue_depth = self.shared.queue.depth();
        stats.queue_capacity = self.shared.config.queue_capacity;
        let cache = self.shared.cache.lock();
        (stats.cache_bytes, stats.cache_entries) = (cache.bytes(), cache.len());
        stats
    }

    /// Refuses new requests, answers those it has, then ends the engine's thread. Returns when that is done.
    pub async fn shutdown(&self) {
        self.shared.queue.close();
        let mut state = self.shared.state.subscribe();
        let ended = |state: &Readiness| matches!(state, Readiness::Closed | Readiness::Failed);
        // An error would mean that the sender is gone, which `self` holds.
        drop(state.wait_for(ended).await);
    }

    /// Embeds pictures at one tap: one pooled vector each, f32, of the tap's width.
    ///
    /// # Errors
    /// As [`Self::embed_images_taps`].
    pub async fn embed_images(
        &self,
        images: Vec<KeyedImage>,
        tap: TapName,
        pooling: Pooling,
        options: CallOptions,
    ) -> Result<(Vec<Vec<f32>>, EngineTimes)> {
        let (pooled, times) = self.embed_images_taps(images, vec![tap.clone()], options).await?;
        let vectors = pooled.into_iter().filter_map(|mut taps| {
            let pooled = taps.remove(&tap)?;
            Some(match pooling {
                Pooling::Mean => pooled.mean,
                Pooling::Last => pooled.last,
            })
        });
        Ok((vectors.collect(), times))
    }

    /// Embeds pictures at several vision and bridge taps.
    ///
    /// # Errors
    /// [`EngineError::Unsupported`] for a tap the model lacks or that depends on the text,
    /// [`EngineError::Image`], [`EngineError::QueueFull`], [`EngineError::DeadlineExceeded`],
    /// [`EngineError::Closed`], and those of the model.
    pub async fn embed_images_taps(
        &self,
        images: Vec<KeyedImage>,
        taps: Vec<TapName>,
        options: CallOptions,
    ) -> Result<(Vec<PooledTaps>, EngineTimes)> {
        within(options.deadline, async {
            let taps = Arc::new(TapSelection::vision_only(self.loaded().await?, &taps)?);
            if let Some(cached) = self.all_cached(&images, &taps, options.priority)? {
                return Ok((cached, EngineTimes::default()));
            }
            let (mut all, mut times) = (Vec::with_capacity(images.len()), EngineTimes::default());
            for part in images.chunks(PICTURES_PER_PART) {
                let place = self.shared.queue.reserve()?;
                let (part, taps) = (part.to_vec(), Arc::clone(&taps));
                let units = self
                    .prepare(move |shared, loaded| {
                        let needs = Needs { taps: &taps, prefix: None };
                        let pictures = look_at(shared, loaded, &part, needs, options.priority)?;
                        let unit = |picture: Arc<Picture>| ImageUnit {
                            cost: picture.cost,
                            picture,
                            taps: Arc::clone(&taps),
                        };
                        Ok(pictures.into_iter().map(unit).collect())
                    })
                    .await?;
                let (pooled, spent) = answer(place, units, Work::Images, options).await?;
                all.extend(pooled);
                times += spent;
            }
            Ok((all, times))
        })
        .await
    }

    /// Embeds pairs of a picture and the user turn's text at any taps; language taps are pooled over the
    /// whole prompt.
    ///
    /// # Errors
    /// As [`Self::embed_images_taps`], and [`EngineError::TooLong`].
    pub async fn embed_pairs(
        &self,
        pairs: Vec<(KeyedImage, String)>,
        taps: Vec<TapName>,
        options: CallOptions,
    ) -> Result<(Vec<PooledTaps>, EngineTimes)> {
        within(options.deadline, async {
            let taps = Arc::new(TapSelection::new(self.loaded().await?, &taps)?);
            let (mut all, mut times) = (Vec::with_capacity(pairs.len()), EngineTimes::default());
            for part in pairs.chunks(PICTURES_PER_PART) {
                let place = self.shared.queue.reserve()?;
                let (part, taps) = (part.to_vec(), Arc::clone(&taps));
                let units = self
                    .prepare(move |shared, loaded| {
                        let mut texts = Texts::new(loaded);
                        let prompts: Vec<_> =
                            part.iter().map(|(_, text)| texts.prompt(1, text)).collect::<Result<_>>()?;
                        let images: Vec<KeyedImage> = part.into_iter().map(|(image, _)| image).collect();
                        let run = if taps.language.is_empty() { None } else { shared_prefix(&prompts) };
                        let needs = Needs { taps: &taps, prefix: run };
                        let pictures = look_at(shared, loaded, &images, needs, options.priority)?;
                        let unit = |(picture, prompt): (Arc<Picture>, Arc<Prompt>)| PairUnit {
                            cost: picture.cost + prompt.suffix.len(),
                            picture,
                            prompt,
                            taps: Arc::clone(&taps),
                        };
                        Ok(pictures.into_iter().zip(prompts).map(unit).collect())
                    })
                    .await?;
                let (pooled, spent) = answer(place, units, Work::Pairs, options).await?;
                all.extend(pooled);
                times += spent;
            }
            Ok((all, times))
        })
        .await
    }

    /// Embeds sentences: one vector each, mean pooled, not normalised.
    ///
    /// # Errors
    /// [`EngineError::QueueFull`], [`EngineError::DeadlineExceeded`], [`EngineError::Closed`], and those of
    /// the encoder.
    pub async fn embed_sentences(
        &self,
        sentences: Vec<String>,
        options: CallOptions,
    ) -> Result<(Vec<Vec<f32>>, EngineTimes)> {
        within(options.deadline, async {
            self.loaded().await?;
            if sentences.is_empty() {
                return Ok((Vec::new(), EngineTimes::default()));
            }
            let place = self.shared.queue.reserve()?;
            let units = sentences.into_iter().map(SentenceUnit).collect();
            answer(place, units, Work::Sentences, options).await
        })
        .await
    }

    /// Puts questions to pictures; answers in the order of `asks`.
    ///
    /// # Errors
    /// [`EngineError::Image`] for an index without picture or a picture that can't be looked at,
    /// [`EngineError::TooLong`], [`EngineError::QueueFull`], [`EngineError::DeadlineExceeded`],
    /// [`EngineError::Closed`], and those of the model.
    pub async fn ask(
        &self,
        images: Vec<KeyedImage>,
        asks: Vec<Ask>,
        options: CallOptions,
    ) -> Result<(Vec<Answered>, EngineTimes)> {
        within(options.deadline, async {
            self.loaded().await?;
            if let Some(ask) = asks.iter().find(|ask| ask.image >= images.len()) {
                return Err(EngineError::Image(format!(
                    "picture {} of a request of {}",
                    ask.image,
                    images.len()
                )));
            }
            // By picture, so that what the questions to one picture share is computed in one batch.
            let mut order: Vec<usize> = (0..asks.len()).collect();
            order.sort_by_key(|&at| asks[at].image);
            let mut answers: Vec<Option<Answered>> = vec![None; asks.len()];
            let mut times = EngineTimes::default();
            for part in parts(&order, |&at| asks[at].image) {
                let place = self.shared.queue.reserve()?;
                let questions: Vec<Ask> = part.iter().map(|&at| asks[at].clone()).collect();
                let images = images.clone();
                let units = self
                    .prepare(move |shared, loaded| {
                        ask_units(shared, loaded, &images, &questions, options.priority)
                    })
                    .await?;
                let (outputs, spent) = answer(place, units, Work::Asks, options).await?;
                times += spent;
                for (&at, output) in part.iter().zip(outputs) {
                    times.prompt_tokens += output.prompt_tokens;
                    answers[at] = Some(output.answered);
                }
            }
            let all: Option<Vec<Answered>> = answers.into_iter().collect();
            Ok((all.ok_or(EngineError::Closed)?, times))
        })
        .await
    }

    /// Calls `call` with the model on the engine's thread, when it is its turn: for experiments that no
    /// request describes. Nothing is cached or batched for it, others wait while it runs (`cost` says about
    /// how many tokens' work it is), and it is called a second time where it fails in a batch with others.
    ///
    /// # Errors
    /// [`EngineError::QueueFull`], [`EngineError::DeadlineExceeded`], [`EngineError::Closed`],
    /// [`EngineError::Panicked`], and what `call` returns.
    pub async fn call_model<T: Send + 'static>(
        &self,
        cost: usize,
        call: impl Fn(&dyn VisionLanguageModel) -> ModelResult<T> + Send + Sync + 'static,
        options: CallOptions,
    ) -> Result<(T, EngineTimes)> {
        within(options.deadline, async {
            self.loaded().await?;
            let place = self.shared.queue.reserve()?;
            let (unit, result) = ModelCallUnit::new(cost, call);
            let (_, times) = answer(place, vec![unit], Work::ModelCalls, options).await?;
            let result = result.lock().take();
            Ok((result.ok_or(EngineError::Closed)?, times))
        })
        .await
    }

    /// Requests that wait, prepared.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.shared.queue.waiting()
    }

    /// Whether new requests are refused.
    #[cfg(test)]
    pub(super) fn refuses(&self) -> bool {
        self.shared.queue.is_closed()
    }

    pub(super) async fn loaded(&self) -> Result<&Loaded> {
        let mut state = self.shared.state.subscribe();
        let now = state.wait_for(|state| *state != Readiness::Loading).await.map(|state| *state);
        match (now, self.shared.loaded.get()) {
            (Ok(Readiness::Ready), Some(loaded)) => Ok(loaded),
            (Ok(Readiness::Failed), _) => {
                let mut slot = self.shared.load_error.lock();
                let error = slot.take().unwrap_or(EngineError::Closed);
                *slot = Some(EngineError::load("the model", error.to_string()));
                Err(error)
            }
            _ => Err(EngineError::Closed),
        }
    }

    /// Runs the caller's part of the work off the async threads.
    pub(super) async fn prepare<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared, &Loaded) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let shared = Arc::clone(&self.shared);
        blocking(move || {
            let loaded = shared.loaded.get().ok_or(EngineError::Closed)?;
            work(&shared, loaded)
        })
        .await
    }

    /// The pooled taps of all pictures, if all are cached: answered without the engine's thread.
    fn all_cached(
        &self,
        images: &[KeyedImage],
        taps: &TapSelection,
        priority: Priority,
    ) -> Result<Option<Vec<PooledTaps>>> {
        let urgent = priority == Priority::Interactive;
        let mut cache = self.shared.cache.lock();
        let found: Option<Vec<_>> =
            images.iter().map(|image| cache.features(image.key, &taps.vision, urgent)).collect();
        drop(cache);
        let Some(found) = found else { return Ok(None) };
        count(&self.shared.counters.cache_hits, images.len());
        let pooled = found.iter().map(|features| super::embed::select(&features.taps, &taps.vision));
        pooled.collect::<Result<_>>().map(Some)
    }
}

/// Submits units and waits for their results.
pub(super) async fn answer<U, O>(
    place: Place,
    units: Vec<U>,
    wrap: fn(Units<U, O>) -> Work,
    options: CallOptions,
) -> Result<(Vec<O>, EngineTimes)> {
    let (reply, result) = oneshot::channel();
    place.submit(Request::new(wrap(Units::new(units, reply)), options));
    result.await.unwrap_or(Err(EngineError::Closed))
}

/// Cuts items that are sorted by picture into parts of at most [`PICTURES_PER_PART`] pictures.
fn parts<T>(items: &[T], picture: impl Fn(&T) -> usize) -> Vec<&[T]> {
    let mut parts = Vec::new();
    let (mut start, mut pictures) = (0, 0);
    for at in 0..items.len() {
        if at == start || picture(&items[at]) != picture(&items[at - 1]) {
            if pictures == PICTURES_PER_PART {
                parts.push(&items[start..at]);
                (start, pictures) = (at, 0);
            }
            pictures += 1;
        }
    }
    if start < items.len() {
        parts.push(&items[start..]);
    }
    parts
}
