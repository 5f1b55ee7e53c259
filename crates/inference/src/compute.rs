//! Features and prefixes: what is computed once per picture.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use reasonedit_models::prompt::prefix_pieces;
use reasonedit_nn::kv_cache::KvCache;
use reasonedit_nn::sequence::{ImageFeatures, LogitsAt, Piece, PixelInput, Sequence, SequenceOutput};
use reasonedit_nn::taps::{PooledTaps, TapName};

use crate::cache::{Prefix, PrefixKey};
use crate::error::{EngineError, Result};
use crate::loaded::{Loaded, Models};
use crate::picture::{Picture, Prompt, keys};
use crate::prepare::check_length;
use crate::request::FeatureKey;
use crate::shared::Shared;
use crate::stats::count;

/// The models and what they have computed; lives on the engine's thread.
pub(super) struct Compute<'a> {
    pub(super) models: Models,
    pub(super) shared: &'a Shared,
    pub(super) loaded: &'a Loaded,
    /// Bytes of keys and values per token, learned from the first cache the model hands out.
    kv_token_bytes: usize,
}

/// What a sequence adds to a batch.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Load {
    /// New tokens.
    pub(super) tokens: usize,
    /// Bytes of logits and of the kept cache.
    pub(super) bytes: usize,
}

impl<'a> Compute<'a> {
    pub(super) fn new(models: Models, shared: &'a Shared, loaded: &'a Loaded) -> Self {
        Self { models, shared, loaded, kv_token_bytes: 0 }
    }

    /// Runs one batch that fits the budgets.
    pub(super) fn run(&mut self, batch: &[Sequence], taps: &[TapName]) -> Result<Vec<SequenceOutput>> {
        // On a thread of the pool: from another one, every parallel step of every layer would wake the pool
        // and wait for it.
        let vlm = &self.models.vlm;
        let outputs = rayon::scope(|_| vlm.run(batch, taps))?;
        count(&self.shared.counters.tokens, batch.iter().map(new_tokens).sum());
        if outputs.len() != batch.len() {
            return Err(EngineError::Shape(format!(
                "{} sequences gave {} outputs",
                batch.len(),
                outputs.len()
            )));
        }
        if self.kv_token_bytes == 0
            && let Some(kv) = outputs.iter().find_map(|o| o.cache.as_ref())
        {
            self.kv_token_bytes = kv.bytes() / kv.len.max(1);
        }
        Ok(outputs)
    }

    /// Runs any number of sequences, cut into batches within the budgets, and hands every output on in order.
    pub(super) fn run_all(
        &mut self,
        sequences: &[Sequence],
        taps: &[TapName],
        mut take: impl FnMut(usize, SequenceOutput) -> Result<()>,
    ) -> Result<()> {
        let loads: Vec<Load> = sequences.iter().map(|s| self.load(s)).collect();
        let mut at = 0;
        for size in self.cut(&loads) {
            for (i, output) in self.run(&sequences[at..at + size], taps)?.into_iter().enumerate() {
                take(at + i, output)?;
            }
            at += size;
        }
        Ok(())
    }

    /// What a sequence adds to a batch.
    pub(super) fn load(&self, sequence: &Sequence) -> Load {
        let tokens = new_tokens(sequence);
        let rows = match sequence.logits {
            LogitsAt::None => 0,
            LogitsAt::Last => 1,
            LogitsAt::From(from) => tokens.saturating_sub(from),
        };
        let kept = if sequence.keep_cache { tokens } else { 0 };
        Load {
            tokens,
            bytes: rows * self.loaded.info.vocabulary * size_of::<f32>() + kept * self.kv_token_bytes,
        }
    }

    /// Cuts consecutive loads into batches within the budgets, at least one in each; gives their sizes.
    pub(super) fn cut(&self, loads: &[Load]) -> Vec<usize> {
        let config = &self.shared.config;
        let mut sizes = Vec::new();
        let (mut sum, mut size) = (Load::default(), 0);
        for load in loads {
            let over = sum.tokens + load.tokens > config.batch_tokens
                || sum.bytes + load.bytes > config.working_bytes;
            if size > 0 && over {
                sizes.push(size);
                (sum, size) = (Load::default(), 0);
            }
            sum.tokens += load.tokens;
            sum.bytes += load.bytes;
            size += 1;
        }
        if size > 0 {
            sizes.push(size);
        }
        sizes
    }

    /// Features of every picture, with at least `taps`: from the request, from the cache, or computed now
    /// (with the taps that are always wanted, so that the next request finds them).
    pub(super) fn features(
        &mut self,
        pictures: &[&Picture],
        taps: &[TapName],
    ) -> Result<HashMap<FeatureKey, Arc<ImageFeatures>>> {
        let mut found = HashMap::new();
        let mut missing: Vec<(&Picture, &PixelInput)> = Vec::new();
        let mut queued = BTreeSet::new();
        for picture in pictures {
            if found.contains_key(&picture.key) {
                continue;
            }
            let given = picture.features.as_ref().filter(|f| taps.iter().all(|t| f.taps.contains_key(t)));
            let features = match given {
                Some(features) => Some(Arc::clone(features)),
                None => self.shared.cache.lock().features(picture.key, taps, picture.urgent),
            };
            if let Some(features) = features {
                found.insert(picture.key, features);
            } else if let Some(pixels) = &picture.pixels
                && queued.insert(picture.key)
            {
                missing.push((picture, pixels));
            }
        }
        missing.retain(|(picture, _)| !found.contains_key(&picture.key));
        let mut wanted: BTreeSet<TapName> = taps.iter().cloned().collect();
        wanted.extend(self.shared.always_taps.read().iter().cloned());
        // In forward order: what the model is asked for doesn't depend on how it was asked for.
        let wanted: Vec<TapName> =
            self.loaded.info.taps.iter().map(|t| &t.name).filter(|t| wanted.contains(*t)).cloned().collect();
        let loads: Vec<Load> = missing
            .iter()
            .map(|(p, pixels)| Load { tokens: p.cost, bytes: pixels.values.len() * 4 })
            .collect();
        let mut at = 0;
        for size in self.cut(&loads) {
            let part = &missing[at..at + size];
            let pixels: Vec<&PixelInput> = part.iter().map(|(_, pixels)| *pixels).collect();
            let vlm = &self.models.vlm;
            let features = rayon::scope(|_| vlm.encode_images(&pixels, &wanted))?;
            if features.len() != part.len() {
                return Err(EngineError::Shape(format!(
                    "{} pictures gave {} features",
                    part.len(),
                    features.len()
                )));
            }
            count(&self.shared.counters.images, part.len());
            let mut cache = self.shared.cache.lock();
            for ((picture, _), features) in part.iter().zip(features) {
                cache.insert_features(picture.key, &features, picture.urgent);
                found.insert(picture.key, features);
            }
            at += size;
        }
        Ok(found)
    }

    /// The prefix of every (pictures, prompt), with at least the language `taps`, computed where it is not
    /// known; `None` for prompts without one.
    ///
    /// # Errors
    /// Those of the model, and [`EngineError::TooLong`].
    pub(super) fn prefixes(
        &mut self,
        asked: &[Asked<'_>],
        taps: &[TapName],
    ) -> Result<Vec<Option<Arc<Prefix>>>> {
        let Prefixes { mut known, missing } = self.find(asked, taps);
        let sequences: Vec<Sequence> = self
            .leads(asked, &missing)?
            .into_iter()
            .map(|pieces| Sequence { past: None, pieces, logits: LogitsAt::None, keep_cache: true })
            .collect();
        let cache = &self.shared.cache;
        self.run_all(&sequences, taps, |at, output| {
            let kv = Arc::new(output.cache.ok_or_else(no_cache)?);
            let prefix = Arc::new(Prefix { kv, taps: output.taps });
            let (key, pictures, _) = &missing[at];
            cache.lock().insert_prefix(key.clone(), &prefix, urgent(pictures));
            known.insert(key.clone(), prefix);
            Ok(())
        })?;
        let known = |(pictures, prompt): &Asked<'_>| {
            if pictures.is_empty() {
                return Ok(None);
            }
            known
                .get(&prefix_key(pictures, prompt))
                .map(|prefix| Some(Arc::clone(prefix)))
                .ok_or_else(|| EngineError::Image("the picture's prefix is not available".into()))
        };
        asked.iter().map(known).collect()
    }

    /// Where every (pictures, prompt) starts: behind a prefix that is known, or with one that is still to be
    /// run.
    ///
    /// # Errors
    /// Those of the model, and [`EngineError::TooLong`].
    pub(super) fn starts(&mut self, asked: &[Asked<'_>]) -> Result<Vec<Start>> {
        let Prefixes { known, missing } = self.find(asked, &[]);
        let leads = self.leads(asked, &missing)?;
        let leads: HashMap<&PrefixKey, Vec<Piece>> = missing.iter().map(|(key, ..)| key).zip(leads).collect();
        let start = |(pictures, prompt): &Asked<'_>| {
            if pictures.is_empty() {
                return Start::default();
            }
            let key = prefix_key(pictures, prompt);
            let past = known.get(&key).map(|prefix| Arc::clone(&prefix.kv));
            Start { past, lead: leads.get(&key).cloned().unwrap_or_default() }
        };
        Ok(asked.iter().map(start).collect())
    }

    /// Keeps the prefix of a prompt that was run together with it.
    ///
    /// # Errors
    /// Those of the device.
    pub(super) fn keep_prefix(
        &self,
        pictures: &[Arc<Picture>],
        prompt: &Prompt,
        start: &Start,
        kv: &KvCache,
    ) -> Result<()> {
        if self.shared.config.cache_bytes == 0 {
            return Ok(());
        }
        let prefix = Prefix { kv: Arc::new(kv.beginning(start.lead_tokens())?), taps: PooledTaps::new() };
        self.shared.cache.lock().insert_prefix(
            prefix_key(pictures, prompt),
            &Arc::new(prefix),
            urgent(pictures),
        );
        Ok(())
    }

    /// Which prefixes are known, from the request or from the cache.
    fn find<'p>(&self, asked: &[Asked<'p>], taps: &[TapName]) -> Prefixes<'p> {
        let mut known: HashMap<PrefixKey, Arc<Prefix>> = HashMap::new();
        let mut missing: Vec<(PrefixKey, &[Arc<Picture>], &Prompt)> = Vec::new();
        let mut queued = HashSet::new();
        for (pictures, prompt) in asked {
            if pictures.is_empty() {
                continue;
            }
            let key = prefix_key(pictures, prompt);
            if known.contains_key(&key) {
                continue;
            }
            let given = match pictures {
                [alone] => alone.prefix.as_ref(),
                _ => None,
            };
            let given = given.filter(|p| taps.iter().all(|t| p.taps.contains_key(t)));
            let prefix = match given {
                Some(prefix) => Some(Arc::clone(prefix)),
                None => self.shared.cache.lock().prefix(&key, taps, urgent(pictures)),
            };
            if let Some(prefix) = prefix {
                known.insert(key, prefix);
            } else if queued.insert(key.clone()) {
                missing.push((key, pictures, prompt));
            }
        }
        missing.retain(|(key, ..)| !known.contains_key(key));
        Prefixes { known, missing }
    }

    /// The pieces of missing prefixes.
    fn leads(
        &mut self,
        asked: &[Asked<'_>],
        missing: &[(PrefixKey, &[Arc<Picture>], &Prompt)],
    ) -> Result<Vec<Vec<Piece>>> {
        // All pictures of the request are offered: another of the same key may hold the pixels.
        let keys: BTreeSet<FeatureKey> =
            missing.iter().flat_map(|(key, ..)| key.images.iter().copied()).collect();
        let offered = asked.iter().flat_map(|(pictures, _)| pictures.iter());
        let pictures: Vec<&Picture> = offered.map(Arc::as_ref).filter(|p| keys.contains(&p.key)).collect();
        let features = self.features(&pictures, &[])?;
        let lead = |(key, _, prompt): &(PrefixKey, &[Arc<Picture>], &Prompt)| {
            let of = |at: usize| {
                let features = key.images.get(at).and_then(|key| features.get(key)).map(Arc::clone);
                features.ok_or_else(|| EngineError::Image("the picture's features are not available".into()))
            };
            let pieces = prefix_pieces(&prompt.prefix, prompt.instruction.as_ref(), of)?;
            check_length(count_tokens(&pieces), self.loaded.info.max_positions)?;
            Ok(pieces)
        };
        missing.iter().map(lead).collect()
    }
}

/// A prompt, and the pictures it is put to in order of appearance.
pub(super) type Asked<'p> = (&'p [Arc<Picture>], &'p Prompt);

/// Prefixes by whether they have to be computed.
struct Prefixes<'p> {
    known: HashMap<PrefixKey, Arc<Prefix>>,
    missing: Vec<(PrefixKey, &'p [Arc<Picture>], &'p Prompt)>,
}

/// Where a prompt starts.
#[derive(Clone, Default)]
pub(super) struct Start {
    /// The prefix, if it was run before.
    pub(super) past: Option<Arc<KvCache>>,
    /// The prefix, if it is still to be run.
    pub(super) lead: Vec<Piece>,
}

impl Start {
    /// Tokens of the prefix that are still to be run.
    pub(super) fn lead_tokens(&self) -> usize {
        count_tokens(&self.lead)
    }

    /// Tokens of the prefix.
    pub(super) fn tokens(&self) -> usize {
        past_len(self.past.as_deref()) + self.lead_tokens()
    }

    /// What is run for these tokens behind it.
    pub(super) fn pieces(&self, tokens: Vec<u32>) -> Vec<Piece> {
        let mut pieces = self.lead.clone();
        if !tokens.is_empty() {
            pieces.push(Piece::Tokens(tokens));
        }
        pieces
    }
}

fn prefix_key(pictures: &[Arc<Picture>], prompt: &Prompt) -> PrefixKey {
    PrefixKey { images: keys(pictures), tokens: Arc::clone(&prompt.prefix_tokens) }
}

/// Whether someone waits for any of them.
fn urgent(pictures: &[Arc<Picture>]) -> bool {
    pictures.iter().any(|picture| picture.urgent)
}

/// Tokens of a sequence that are run now.
pub(super) fn new_tokens(sequence: &Sequence) -> usize {
    count_tokens(&sequence.pieces)
}

fn count_tokens(pieces: &[Piece]) -> usize {
    pieces.iter().map(Piece::tokens).sum()
}

/// Tokens of a sequence that were run before.
pub(super) fn past_len(past: Option<&KvCache>) -> usize {
    past.map_or(0, |kv| kv.len)
}

/// A model that breaks its contract.
pub(super) fn no_cache() -> EngineError {
    EngineError::Shape("the model gave no cache where one was asked for".into())
}
